"""The chapters on methods: executed, compared with what they read, and their words with their numbers."""

import json
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

from medssl.book import Results
from medssl.book.execute import Chapter, Task, execute
from medssl.book.prose import typed_numbers
from medssl.book.validation import (
    FAMILIES,
    SETS,
    coverage_table,
    differences,
    fewest,
    report_coverage,
    scrolling,
    summarise,
    with_family,
)
from medssl.meta._coverage_designs import RATIOS, SIZES
from medssl.meta._stopping import THRESHOLD
from medssl.meta.agreement import agreement
from medssl.meta.coverage import WORKING_RHO, IndependentSetting, of_setting, read_table, settings, simulate

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "chapters/methods/validation.py"
TINY = {"own_clusters": 5, "own_replicates": 3}
REFERENCE = json.loads((ROOT / "tests/meta/metafor_reference.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def product(tmp_path_factory) -> Path:
    """Execute the validation page and return what it made."""
    build = tmp_path_factory.mktemp("build")
    chapter = Chapter("methods/validation", SOURCE)
    return execute(Task(chapter, profile="quick", values=TINY, root=ROOT, build=build, threads=1))


@pytest.fixture(scope="module")
def results(product) -> dict:
    """Return the numbers that the page quotes."""
    return json.loads((product / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def simulated() -> pd.DataFrame:
    """Return the committed table of coverages."""
    return read_table(ROOT / "simulations/coverage.csv")


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    """Return the comparison with the reference."""
    return with_family(agreement(REFERENCE))


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


def test_no_number_is_typed():
    """The prose types no number except those marked as facts."""
    assert typed_numbers(prose()) == []


def test_facts_and_words_are_those_of_the_code():
    """Numbers that the prose writes as facts or in words are constants of the package."""
    text = prose()
    assert re.findall(r"\{fact\}`([^`]+)`", text) == [f"{THRESHOLD:.5f}", f"{WORKING_RHO:g}"]
    assert "three times the smallest" in text
    assert "a hundred times" in text
    assert RATIOS == {"mild": 3, "diagnostic": 100}
    assert "one to nine effects" in text
    assert (min(SIZES), max(SIZES)) == (1, 9)


def test_the_page_counts_what_was_compared(results, table):
    """Counts by status add up to all numbers, and nothing is unexplained."""
    counts = {key: results[key]["value"] for key in ("within", "nearer", "same", "unexplained")}
    assert sum(counts.values()) == results["compared"]["value"] == len(table)
    assert counts["unexplained"] == 0
    assert results["outside"]["value"] == (~table.agrees).sum()
    assert results["decided_ours"]["value"] == results["decided"]["value"] == (table.nearer != "").sum()


def test_the_page_names_the_versions_of_the_reference(results):
    """Versions are read from the reference."""
    assert results["versions"]["text"] == "R 4.2.2, metafor 3.8.1 and clubSandwich 0.5.8"


def test_every_number_has_a_family_and_every_set_words(table):
    """No quantity or set falls out of the summaries."""
    assert set(table.family) == set(FAMILIES)
    assert set(table.set) == set(SETS)
    for by in (["set"], ["family"], ["set", "family"]):
        assert summarise(table, by).numbers.sum() == len(table)


def test_a_summary_counts_and_takes_maxima(table):
    """Numbers, statuses and largest differences of a set are those of its rows."""
    row = summarise(table, ["set"]).set_index("set").loc["teacher expectations"]
    part = table[table.set == "raudenbush1985"]
    assert row["numbers"] == len(part)
    assert row["within tolerance"] == part.agrees.sum()
    assert float(row["largest difference"]) == pytest.approx(part.relative_difference.max(), rel=0.05)


def test_every_difference_above_rounding_is_listed(table):
    """The list has each number that differs, in full, and no other."""
    listed = differences(table)
    assert len(listed) == (table.relative_difference > 1e-10).sum()
    assert set(listed.nearer) == {"", "ours"}
    values = table.metafor[table.relative_difference > 1e-10]
    np.testing.assert_allclose(listed.metafor.astype(float), values, rtol=1e-9)


def test_the_committed_simulation_is_complete(simulated):
    """Every setting has every row, with the replicates and the seed that the script has."""
    script = (ROOT / "simulations/coverage.py").read_text(encoding="utf-8")
    replicates = {
        kind: int(re.search(rf'"--{kind}", type=int, default=(\d+)', script)[1])
        for kind in ("independent", "dependent")
    }
    assert set(simulated.seed) == {int(re.search(r"^SEED = (\d+)$", script, re.MULTILINE)[1])}
    assert (simulated.replicates == simulated.effects.map(replicates)).all()
    sizes = [of_setting(simulated, setting).sum() for setting in settings()]
    assert sizes == [3] * 24 + [16] * 12
    assert len(simulated) == sum(sizes)


def test_the_committed_simulation_is_what_the_code_gives(simulated):
    """One setting, simulated again in full, gives the committed rows."""
    setting = IndependentSetting(count=5, variances="diagnostic", i2=0.8)
    kept = simulated[of_setting(simulated, setting)].reset_index(drop=True)
    again = simulate(setting, int(kept.replicates[0]), int(kept.seed[0]))
    pd.testing.assert_frame_equal(again, kept, check_dtype=False, rtol=1e-6)


def test_coverages_on_the_page_are_those_of_the_table(results, simulated):
    """Lowest, highest and mean coverage are taken over the settings that the words name."""
    naive = simulated[(simulated.target == "mean") & (simulated.method == "naive")]
    assert results["mean_naive_lowest"]["value"] == pytest.approx(naive.coverage.min())
    assert results["mean_naive_highest"]["value"] == pytest.approx(naive.coverage.max())
    diagnostic = simulated[(simulated.variances == "diagnostic") & (simulated.i2 > 0)]
    mean = diagnostic[diagnostic.method == "knha"].coverage.mean()
    assert results["diagnostic_knha_mean"]["value"] == pytest.approx(mean)
    assert results["diagnostic_knha_mean"]["text"] == f"{100 * mean:.1f}%"


def test_words_on_independent_effects_follow_from_the_numbers(results):
    """Knapp-Hartung is right with mild variances, better but not right with diagnostic ones, and wider."""
    value = {key: entry["value"] for key, entry in results.items()}
    assert abs(value["mild_knha_mean"] - 0.95) < 0.01
    assert value["mild_z_mean"] < value["mild_knha_mean"] - 0.01
    assert value["diagnostic_z_mean"] + 0.01 < value["diagnostic_knha_mean"] < 0.94
    assert value["diagnostic_adhoc_lowest"] > value["diagnostic_knha_lowest"]
    assert value["homogeneous_z_lowest"] > 0.945
    assert value["homogeneous_adhoc_highest"] > 0.98
    assert value["wider"] > 1.1


def test_words_on_dependent_effects_follow_from_the_numbers(results, simulated):
    """Ignoring clusters is worst and does not mend, slopes within clusters are spared, HTZ is careful."""
    value = {key: entry["value"] for key, entry in results.items()}
    for method in ("model", "cr1", "cr2"):
        assert value["mean_naive_lowest"] < value[f"mean_{method}_lowest"] - 0.1
    assert value["cluster_moderator_cr2_lowest"] > value["cluster_moderator_cr1_lowest"]
    assert value["effect_moderator_naive_lowest"] > 0.9
    assert value["robust_wider"] > 1
    assert value["joint_test_cr2_most_missed"] < value["joint_test_model_most_missed"]
    assert value["joint_test_model_most_missed"] < value["joint_test_naive_most_missed"]
    assert value["few_joint_cr2_most_missed"] < 0.025
    naive = simulated[(simulated.method == "naive") & simulated.target.isin(["mean", "cluster moderator"])]
    assert naive[naive["count"] == 40].coverage.max() < 0.85


@pytest.mark.parametrize("kind", ["independent", "dependent"])
def test_each_figure_has_its_files_and_its_record(product, simulated, kind):
    """SVG, PDF, PNG, CSV and card are there; the card counts data sets and names the table."""
    name = f"validation-coverage-{kind}"
    folder = product / "figures" / name
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    part = simulated[simulated.effects == kind]
    assert card["records"]["ids"] == ["coverage"]
    assert card["seeds"] == sorted(set(part.seed))
    names = ["count", "variances", "i2", "rho"]
    assert card["count"] == part.drop_duplicates(names).replicates.sum()


def test_a_coverage_table_sets_methods_side_by_side(simulated):
    """One row a setting, ordered by its first column, with coverage and error in percent, or with widths."""
    part = simulated[simulated.effects == "independent"]
    names, methods = {"variances": "variances", "i2": "I2", "count": "effects"}, {"z": "normal", "knha": "t"}
    shown = coverage_table(part, names, methods)
    assert shown.columns.tolist() == ["variances", "I2", "effects", "normal", "t"]
    assert len(shown) == 24
    first = part[part.method == "knha"].iloc[0]
    assert shown["t"].iloc[0] == f"{100 * first.coverage:.1f} ± {100 * first.coverage_se:.1f}"
    assert shown.iloc[0, :3].tolist() == ["mild", "0", "5"]
    widths = coverage_table(part, names, methods, "mean_width")
    assert widths["t"].iloc[0] == f"{first.mean_width:.2f}"
    clustered = simulated[simulated.effects == "dependent"]
    targets = coverage_table(
        clustered, {"target": "target", "count": "clusters", "rho": "rho"}, {"CR2": "CR2"}
    )
    assert targets.target.tolist() == np.repeat(clustered.target.unique(), 12).tolist()


def test_coverage_in_words_is_lowest_highest_and_mean(tmp_path):
    """The names and texts that a page quotes, and what is missed as the complement."""
    rows = pd.DataFrame({"method": ["CR2", "CR2", "z"], "coverage": [0.9, 0.96, 0.5], "count": [5, 10, 5]})
    results = Results(tmp_path / "results.json")
    report_coverage(results, "mean", rows, cell="demo")
    results.save()
    saved = json.loads((tmp_path / "results.json").read_text())
    assert saved["mean_cr2_lowest"] == {"value": 0.9, "text": "90.0%", "source": "demo"}
    assert saved["mean_cr2_mean"]["text"] == "93.0%"
    assert saved["mean_cr2_most_missed"]["text"] == "10.0%"
    assert saved["mean_z_highest"]["value"] == 0.5
    assert fewest(rows).coverage.tolist() == [0.9, 0.5]


def test_a_long_table_scrolls_in_a_box_that_the_keyboard_reaches():
    """The box has a height of its own and takes the focus."""
    html = scrolling(pd.DataFrame({"a": ["<b>"]})).data
    assert re.search(r"\.medssl-box \{ max-height: \d+rem; overflow: auto", html)
    assert 'tabindex="0"' in html
    assert "&lt;b&gt;" in html
