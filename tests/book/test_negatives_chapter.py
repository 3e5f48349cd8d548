"""The chapter on losses: executed with few draws, and compared with the tables that it reads."""

import json
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

from medssl.book import Results
from medssl.book.execute import Chapter, Task, execute
from medssl.book.negatives_page import (
    chance_table,
    direction_table,
    expectation_table,
    holder_list,
    holder_table,
    in_words,
    joint_test_table,
    outcomes,
    regression_table,
    share_words,
    size_table,
)
from medssl.book.negatives_results import (
    report_chance,
    report_direction,
    report_expectation,
    report_holders,
    report_regression,
)
from medssl.book.prose import typed_numbers
from medssl.evidence import published
from medssl.synthesis.expected_losses import clear_losses, expected_losses, gain_limits, small_study_direction
from medssl.synthesis.loss_regression import LossRegression, loss_regression, single_regressions
from medssl.synthesis.negatives import comparisons, holders, loss_notes, share_table, shares, sizes

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "chapters/when_ssl_did_not_help.py"
TINY = {"replicates": 200, "draws": 40}
FIGURES = ["loss-shares", "loss-ratio-auc", "loss-ratio-dice", "loss-expected"]


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """Execute the chapter and return what it made."""
    chapter = Chapter("when_ssl_did_not_help", SOURCE)
    build = tmp_path_factory.mktemp("build")
    return execute(Task(chapter, profile="quick", values=TINY, root=ROOT, build=build, threads=1))


@pytest.fixture(scope="module")
def results(product) -> dict:
    """Return the numbers that the page quotes."""
    return json.loads((product / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Every comparison."""
    return comparisons()


@pytest.fixture(scope="module")
def primary(rows) -> pd.DataFrame:
    """The primary analysis."""
    return rows[rows.set == "primary"]


def prose() -> str:
    """Return the markdown cells of the page."""
    cells = jupytext.read(SOURCE, fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_quoted_result_exists_and_names_a_labelled_cell(results):
    """The page quotes only what it computes, and each result names a label of the page."""
    text = prose()
    quoted = set(re.findall(r"\{result\}`([a-z0-9_]+)`", text))
    assert quoted
    assert quoted <= set(results)
    labels = set(re.findall(r"^\(([a-z-]+)\)=$", text, re.MULTILINE))
    assert {entry["source"] for entry in results.values()} <= labels
    assert set(re.findall(r"\{ref\}`[^<]*<([a-z-]+)>`", text)) <= labels


def test_no_number_is_typed_and_names_do_not_collide():
    """Every number of the page comes from a cell, and its names begin like those of no other page."""
    assert typed_numbers(prose()) == []
    assert all(name.startswith("loss_") for name in re.findall(r"\{result\}`(\w+)`", prose()))


def test_counts_are_those_of_the_table(results, rows, primary):
    """Losses and comparisons are counted from the printed scores."""
    table = published("all")
    gain = (table.ssl_value - table.baseline_value).round(9)
    assert results["loss_every_losses"]["value"] == (gain < 0).sum()
    assert results["loss_every_effects"]["value"] == len(table)
    main = (table.pool == "primary") & (table.supervision == "self")
    assert results["loss_primary_losses"]["value"] == (gain[main] < 0).sum()
    sets = ("primary", "sensitivity", "natural")
    assert sum(results[f"loss_{key}_losses"]["value"] for key in sets) == (gain < 0).sum()
    own = primary.groupby("cluster_id").loss.mean()
    assert results["loss_primary_mean"]["value"] == pytest.approx(own.mean())
    assert results["loss_primary_clusters_without"]["value"] == (own == 0).sum()


def test_words_do_not_contradict_their_numbers(results):
    """Verdicts follow the ranges that stand beside them."""
    for key in ("auc", "dice"):
        expected = {
            name: results[f"loss_expected_{key}_random_{name}"] for name in ("observed", "sampling_high")
        }
        explains = expected["observed"]["value"] <= expected["sampling_high"]["value"]
        verdict = results[f"loss_expected_{key}_random_sampling_verdict"]["text"]
        assert verdict == ("could explain" if explains else "does not explain")
    high = float(re.search(r"to (\d+)\)", results["loss_clear_measured_chance_expected"]["text"])[1])
    below = results["loss_clear_measured_below"]["value"]
    verdict = results["loss_clear_measured_verdict"]["text"]
    assert verdict == "more than" or below <= high + 1
    ratio = results["loss_together_label_ratio"]["text"]
    low, top = re.search(r"CI (\S+) to (\S+)\)", ratio).groups()
    signs = {low[0], top[0]}
    word = {frozenset("+"): "more", frozenset("−"): "fewer"}.get(frozenset(signs), "no clear change of")
    assert ratio.startswith(word)


def test_half_of_the_losses_are_in_that_many_clusters(results, primary):
    """One cluster fewer than the page says holds less than half."""
    counts = primary[primary.loss].cluster_id.value_counts().to_numpy()
    half = results["loss_cluster_half"]["value"]
    assert counts[: half - 1].sum() < counts.sum() / 2 <= counts[:half].sum()


@pytest.mark.parametrize("name", FIGURES)
def test_each_figure_has_its_files(product, name):
    """SVG, PDF, PNG, CSV and card are there, and the card names the cell."""
    folder = product / "figures" / name
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    assert f"({card['cell']})=" in prose()


def test_losses_are_marked_in_the_figure(product, rows):
    """The drawn effects of the AUC figure that lie below zero are those marked as losses."""
    data = pd.read_csv(product / "figures/loss-ratio-auc/loss-ratio-auc.csv")
    drawn = data[data.layer == "effect"]
    assert (drawn.group.str.startswith("Loss") == (drawn.estimate < 0)).all()
    part = rows[(rows.set == "primary") & (rows.metric == "AUC") & (rows.comparator == "random")]
    assert len(drawn) == np.isfinite(part.log10_label_ratio).sum()


def test_outcomes_need_a_variance_of_their_own(rows):
    """A clear loss has a variance of its own and lies below zero, and every loss is marked as one."""
    words = outcomes(rows, gain_limits(rows))
    clear = words == "Loss, interval below zero"
    assert (rows.yi[clear] < 0).all()
    assert "imputed" not in set(rows.variance_origin[clear])
    assert (rows.loss == words.str.startswith("Loss")).all()


def test_tables_say_what_they_were_given(primary):
    """The tables of the page keep every row, and blanks stand where there is no interval."""
    table = share_table(primary, {"modality": "Modality", "task_type": "Task"}, replicates=50)
    shown = share_words(table)
    assert len(shown) == len(table) + 2
    assert shown.level[0] == "Modality:"
    assert shown["95% CI"][shown.level == "detection"].tolist() == [""]
    assert "factor" not in shares(primary, "set", replicates=50)
    assert len(share_words(shares(primary, "set", replicates=50))) == 1
    by_metric = sizes(primary, "metric")
    assert size_table(by_metric)["median loss"].eq("").sum() == (by_metric.losses == 0).sum()
    held = holders(primary)
    assert holder_table(held).name.tolist() == held.level.tolist()
    listed = holder_list(held, loss_notes(), dict(zip(held.level, held.level, strict=True))).splitlines()
    assert len(listed) == len(held)
    silent = set(held.level) - set(loss_notes().cluster_id)
    assert sum("The notes say nothing of it." in line for line in listed) == len(silent)


def test_regressions_are_shown_with_what_is_thin(primary):
    """Thin terms are marked, joint tests without degrees of freedom say so, and blanks are blank."""
    found = loss_regression(primary, ["comparator", "family"], ["log10_label_ratio"])
    shown = regression_table(found.coefficients)
    assert len(shown) == len(found.coefficients) - 1
    assert (shown.iloc[:, -1] == "thin").sum() == found.coefficients.thin[1:].sum()
    alone = single_regressions(primary, ["family"], ["log10_label_ratio"])
    tests = joint_test_table(alone, found.tests.assign(p_value=[0.0001, np.nan, 0.5]))
    columns = tests.set_index("variable")["p beside the others"]
    assert columns["tenfold label ratio"].startswith("< 0.001 (")
    assert {"too few clusters to test"} <= set(columns) or columns["family of methods"].startswith("0.500")
    assert in_words("comparator: other_supervised") == "comparator: other supervised pretraining"


def test_numbers_of_a_regression_come_with_words(tmp_path, primary):
    """Clear terms are listed by sign, thin ones are not, and the label ratio gets a sentence of its own."""
    found = loss_regression(primary, ["comparator"], ["log10_label_ratio"])
    table = found.coefficients.assign(
        ci_low=[0, 0.1, 0.2, -0.3], ci_high=[1, 0.4, 0.5, -0.1], thin=[False, False, True, False]
    )
    results = Results(tmp_path / "results.json")
    report_regression(
        results, LossRegression(found.rows, found.fit, table, found.tests, "", 0.1), "r", cell="c"
    )
    results.save()
    read = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert read["r_thin"]["value"] == 1
    assert read["r_more"]["value"] == 1
    assert read["r_fewer"]["text"].startswith("comparator: other supervised pretraining (")
    assert read["r_label_ratio"]["text"].startswith("more losses (")
    assert read["r_merged"]["text"] == "nothing"


def test_chance_and_expectation_are_reported_as_counted(tmp_path, primary):
    """Counts of clear losses, ranges and places are those of the tables."""
    part = primary[(primary.metric == "AUC") & (primary.comparator == "random")]
    row = expected_losses(part, draws=60) | {"metric": "AUC", "comparator": "random"}
    chance = clear_losses(primary, draws=30)
    results = Results(tmp_path / "results.json")
    report_expectation(results, "e", row, cell="c")
    report_expectation(results, "f", row | {"observed": row["high"] + 0.01, "sampling_high": 1.0}, cell="c")
    report_chance(results, chance, cell="c")
    report_holders(results, holders(primary), "h", cell="c")
    results.save()
    read = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert read["e_place"]["text"] in ("inside", "below", "above")
    assert (read["f_place"]["text"], read["f_sampling_verdict"]["text"]) == ("above", "could explain")
    assert read["loss_clear_measured_below"]["value"] == chance.below[0]
    assert chance_table(chance).iloc[2, 1:].tolist() == chance.below.tolist()
    two = {
        "metric": "Dice",
        "comparator": "random",
        "clusters": 2,
        "observed": 0.5,
        "observed_clusters": 0.25,
    }
    shown = expectation_table(pd.DataFrame([row, two]))
    assert shown["observed"].tolist()[1] == "50% (25%)"
    assert shown["heterogeneity"].tolist()[1] == ""


def test_directions_are_counted(tmp_path, primary):
    """Fitted strata and those that point each way are counted, and only fitted ones are shown."""
    part = primary[(primary.metric == "Dice") & (primary.comparator == "random")]
    table = small_study_direction({"dice": part, "few": part.groupby("cluster_id").head(1).head(4)})
    results = Results(tmp_path / "results.json")
    report_direction(results, table, "d", cell="c")
    results.save()
    read = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    assert (read["d_strata"]["value"], read["d_fitted"]["value"]) == (2, 1)
    assert direction_table(table).stratum.tolist() == ["dice"]
    assert read["d_larger"]["value"] + read["d_smaller"]["value"] <= 1
