"""The page of all modalities together: its numbers from other ways, and parts that were not run."""

import json
import re
from pathlib import Path

import jupytext
import numpy as np
import pandas as pd
import pytest

from medssl.book import Results
from medssl.book import whole_study as study_of
from medssl.book import whole_variations as variations
from medssl.book._workspace import Workspace
from medssl.book.modality_study import NOT_RUN
from medssl.book.prose import typed_numbers
from medssl.book.whole_study import WholeStudy
from medssl.evidence import effects as published_effects
from medssl.evidence.shift import source_gains
from medssl.experiments.study import STUDY
from medssl.figures.style import display_name
from medssl.meta import multilevel
from medssl.synthesis.stratum import pool

ROOT = Path(__file__).parents[2]
SECTIONS = (
    study_of.recorded, study_of.model, study_of.gain_by_ratio, study_of.by_labels, study_of.families,
    study_of.beside_published, variations.opponents, variations.pools, variations.sources,
    variations.corrupted, variations.origins,
)  # fmt: skip


def whole_study(folder) -> WholeStudy:
    """The study on the committed records, with results and figures below `folder`."""
    place = Workspace(ROOT, folder, "across", "published")
    place.figures.mkdir()
    return WholeStudy(place, Results(folder / "results.json"))


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    """The study after all its sections, and what each of them shows."""
    whole = whole_study(tmp_path_factory.mktemp("across"))
    return whole, {section.__name__: section(whole) for section in SECTIONS}


@pytest.fixture(scope="module")
def whole(shown) -> WholeStudy:
    return shown[0]


def entry(whole, key) -> dict:
    return whole.results._entries[key]


def prose() -> str:
    cells = jupytext.read(ROOT / "chapters/across.py", fmt="py:percent").cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def cells_of(html: str) -> pd.DataFrame:
    """Return the text of a printed table, by its first column."""
    head, *rows = re.findall(r"<tr.*?</tr>", html.replace("−", "-"), re.DOTALL)
    names = re.findall(r"<th>(.*?)</th>", head)
    values = [re.findall(r"<td>(.*?)</td>", row) for row in rows]
    return pd.DataFrame(values, columns=names).set_index(names[0])


def test_every_quoted_result_exists_and_names_a_labelled_cell(whole):
    """The page quotes only what its sections compute, and each result leads to a label of the page."""
    text = prose()
    named = re.findall(r"\{result\}`([^`]+)`", text)
    assert {name.rpartition(":")[0] for name in named} == {"across"}
    quoted = {name.rpartition(":")[2] for name in named}
    assert quoted <= set(whole.results._entries)
    labels = set(re.findall(r"^\(([a-z-]+)\)=$", text, re.MULTILINE))
    assert {value["source"] for value in whole.results._entries.values()} <= labels
    assert set(re.findall(r"\{ref\}`[^<]*<([a-z-]+)>`", text)) <= labels
    assert typed_numbers(text) == []


def test_counts_are_sums_over_the_modalities(whole):
    """Comparisons and effects are those of all four data sets, losses counted."""
    assert set(whole.main.dataset) == set(STUDY)
    assert entry(whole, "comparisons")["value"] == sum(len(part.main) for part in whole.parts)
    assert entry(whole, "all_effects")["value"] == sum(len(part.effects) for part in whole.parts)
    assert entry(whole, "negative_effects")["value"] == (whole.effects.yi < 0).sum()
    assert entry(whole, "positive")["value"] == (whole.main.gain > 0).sum()


def test_the_model_is_that_of_the_protocol(whole):
    """Gain and slope from a fit made here: a data set is a cluster, correlation 0.6, robust errors."""
    rows = whole.effects[np.isfinite(whole.effects.log10_label_ratio)]
    x = rows.log10_label_ratio - rows.log10_label_ratio.mean()
    fit = multilevel(rows.yi, rows.vi, rows.dataset, pd.DataFrame({"x": x}), rho=0.6)
    robust = fit.robust()
    assert entry(whole, "gain")["value"] == pytest.approx(fit.coef[0])
    assert entry(whole, "slope")["value"] == pytest.approx(fit.coef[1])
    assert f"{robust.ci_low[0]:+.4f}".replace("-", "−") in entry(whole, "gain")["text"]
    alone = multilevel(rows.yi, rows.vi, rows.dataset, rho=0.6)
    assert entry(whole, "mean")["value"] == pytest.approx(alone.coef[0])


def test_the_largest_gain_is_the_largest_of_the_table(shown):
    """It is found among the printed means, in the column of its modality."""
    whole, parts = shown
    table = cells_of(parts["by_labels"].data)
    means = table.map(lambda text: float(text.split(" ")[0]) if text else np.nan)
    assert means.max().max() == pytest.approx(entry(whole, "largest_gain")["value"], abs=5e-4)
    assert means.max().idxmax() in entry(whole, "largest_where")["text"]
    counts = whole.effects.groupby("modality").n_labelled.nunique().rename(display_name)
    assert means.notna().sum().to_dict() == counts.to_dict()


def test_the_published_rows_are_those_of_the_pooled_picture():
    """The same strata as on the page of the published evidence; a thin one is not fitted."""
    table = study_of._published().set_index("modality")
    theirs = published_effects()
    chosen = (theirs.metric == "AUC") & (theirs.comparator == "random") & (theirs["pool"] == "primary")
    ct = pool(theirs[chosen & (theirs.modality == "ct")], "ct").row()
    assert table.loc["ct", ["k", "clusters", "estimate"]].tolist() == pytest.approx(
        [ct["k"], ct["clusters"], ct["estimate"]]
    )
    thin = table.index[table.clusters < 3]
    assert table.loc[thin, "estimate"].isna().all()


def test_sources_are_drawn_with_the_own_images_on_the_diagonal(whole):
    """Each cell is a mean gain; the counts say how many differences are clear."""
    data = pd.read_csv(next((whole.place.figures / "across-gain-by-source").glob("*.csv")))
    cells = data[data.layer == "cell"].pivot(index="row", columns="column", values="value")
    away = pd.concat([part.study_table for part in whole.parts])
    gains = source_gains(pd.concat([whole.main, away[away.pretrain_on.notna()]], ignore_index=True))
    names = [part.dataset for part in whole.parts]
    assert np.diag(cells) == pytest.approx(gains.groupby("dataset").gain_own.mean()[names], abs=1e-6)
    one = gains[(gains.dataset == names[0]) & (gains.pretrain_on == names[1])]
    assert cells.loc[0, 1] == pytest.approx(one.gain.item(), abs=1e-6)
    found = [entry(whole, f"source_{key}")["value"] for key in ("pairs", "better", "worse")]
    assert found == [len(gains), (gains.difference_low > 0).sum(), (gains.difference_high < 0).sum()]


def test_figures_name_all_their_records(whole):
    """Pools and sources are drawn from the runs that were varied and from the plain ones beside them."""
    for name, column in (("across-gain-by-pool", "pool"), ("across-gain-by-source", "pretrain_on")):
        card = json.loads(next((whole.place.figures / name).glob("*.json")).read_text(encoding="utf-8"))
        table = pd.concat([part.study_table for part in whole.parts]).set_index("record_id")
        used = table.loc[[Path(path).stem for path in card["records"]["ids"]]]
        varied = used["pool"] < 1 if column == "pool" else used["pretrain_on"].notna()
        assert varied.any()
        assert not varied.all()


def test_ours_and_the_published_effects_are_counted(whole):
    """Both origins, and a difference with its verdict."""
    assert entry(whole, "ours_effects")["value"] == len(whole.effects)
    assert entry(whole, "ours_clusters")["value"] == len(STUDY)
    difference = entry(whole, "origin_ours")["value"] - entry(whole, "origin_published")["value"]
    assert entry(whole, "origin_difference")["value"] == pytest.approx(difference, abs=1e-6)


def test_parts_without_records_say_so(tmp_path, monkeypatch):
    """Without the varied runs the sections say in words that they were not run, and still name their keys."""
    whole = whole_study(tmp_path)
    for part in whole.parts:
        plain = part.study_table
        kept = (plain.comparator_kind == "random") & (plain["pool"] == 1) & plain.pretrain_on.isna()
        vars(part)["study_table"] = plain[kept]
        monkeypatch.setitem(vars(part), "records", [])
    for section in (variations.opponents, variations.pools, variations.sources, variations.corrupted):
        assert NOT_RUN in section(whole).data
    starts = ("across:against_", "across:pool_", "across:source_", "across:corruptions")
    keys = {name for name in re.findall(r"\{result\}`([^`]+)`", prose()) if name.startswith(starts)}
    assert len(keys) == 11
    assert {entry(whole, key.removeprefix("across:"))["text"] for key in keys} == {NOT_RUN}


def test_a_family_on_too_few_data_sets_is_named_and_not_fitted(tmp_path):
    """It keeps its counts, and its gain is called not fitted."""
    whole = whole_study(tmp_path)
    effects = whole.effects
    few = (effects.method != "jigsaw") | effects.dataset.isin(["breastmnist", "organamnist"])
    vars(whole)["effects"] = effects[few]
    table = cells_of(study_of.families(whole).data)
    assert table.loc["predictive", "data sets"] == "2"
    assert table.loc["predictive", "gain (95% CI)"] == "not fitted"
    assert table.loc["contrastive", "gain (95% CI)"] != "not fitted"


def test_one_opponent_is_told_in_the_singular():
    """Clear gains and losses are counted, and the span is of the means."""
    one, other = {"gain": -0.02}, {"gain": 0.01}
    assert variations._against([one], 0, 1) == "−0.020 on one data set (clear gains: 0, clear losses: 1)"
    assert variations._against([other, one], 1, 1).startswith("−0.020 to +0.010 on 2 data sets")
