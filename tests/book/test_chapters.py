"""The chapters themselves: executed with a tiny budget, and compared with the records they read."""

import json
import re
from pathlib import Path

import pytest

from medssl.book.execute import Chapter, Task, execute
from medssl.evidence import study_effects
from medssl.experiments import find_records, load_records, to_table
from medssl.experiments.study import phase
from medssl.meta import random_effects
from medssl.training import SelectionConfig

ROOT = Path(__file__).parents[2]
TINY = {"live_images": 60, "live_label_counts": [8], "live_seeds": [1, 2], "live_epochs": 1}


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> Path:
    """Execute the X-ray study in the quick profile, live run included, and return its product."""
    chapter = Chapter("xray/study", ROOT / "chapters/xray/study.py")
    build = tmp_path_factory.mktemp("build")
    return execute(Task(chapter, profile="quick", values=TINY, root=ROOT, build=build, threads=1))


@pytest.fixture(scope="module")
def results(study) -> dict:
    """Return the numbers that the study hands to its narrative."""
    return json.loads((study / "results.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def tuned():
    """Return the committed records of fine-tuning with choices inside the budget."""
    listed = {cell.record_id for cell in phase("labels", "pneumoniamnist")}
    table = to_table(load_records(find_records(ROOT / "records", "pneumoniamnist")))
    return table[table.record_id.isin(listed)]


def test_every_quoted_result_exists_and_is_quoted_from_a_labelled_cell(results):
    """The narrative quotes only results of the study, and each result names a label of the study."""
    page = (ROOT / "chapters/xray/recommendations.md").read_text(encoding="utf-8")
    quoted = set(re.findall(r"\{result\}`([a-z_]+)`", page))
    assert quoted
    assert quoted <= set(results)
    labels = set(re.findall(r"^# \(([a-z-]+)\)=$", (ROOT / "chapters/xray/study.py").read_text(), re.M))
    assert {entry["source"] for entry in results.values()} <= labels


def test_the_pooled_gain_is_that_of_the_records(results, tuned):
    """Refitting the model outside the chapter gives the number that the page shows."""
    effects = study_effects(tuned)
    fit = random_effects(effects.yi, effects.vi, test="adhoc")
    assert results["gain"]["value"] == pytest.approx(fit.coef[0], rel=1e-9)
    line = random_effects(effects.yi, effects.vi, effects[["log10_label_ratio"]], test="adhoc")
    assert results["slope"]["value"] == pytest.approx(line.coef[1], rel=1e-9)


def test_counts_are_those_of_the_records(results, tuned):
    """Comparisons, positive ones, seeds and label counts are counted from the files."""
    assert results["comparisons"]["value"] == len(tuned)
    assert results["positive"]["value"] == (tuned.gain > 0).sum()
    assert results["seeds"]["value"] == tuned.seed.nunique() >= 2
    assert results["label_counts"]["value"] == tuned.n_labelled.nunique() >= 6


def test_words_do_not_contradict_the_interval(results):
    """A verdict of a gain or a loss goes with limits of one sign."""
    for name in ("", "_simclr", "_masked_autoencoder", "_fewest", "_all"):
        text = results[f"gain{name}"]["text"]
        low, high = re.search(r"CI (\S+) to ([^)]+)\)", text).groups()
        signs = {low[0], high[0]}
        verdict = results[f"gain{name}_verdict"]["text"]
        expected = {frozenset("+"): "a gain", frozenset("−"): "a loss"}.get(frozenset(signs))
        assert verdict == (expected or "no clear difference")


def test_the_comparator_beats_the_plain_probe(tuned):
    """With all labels the network without pretraining is better than logistic regression in every seed."""
    plain = json.loads((ROOT / "baselines/pneumoniamnist.json").read_text())["scores"]["auc"]
    assert tuned[tuned.n_labelled == tuned.n_labelled.max()].comparator.min() > plain


@pytest.mark.parametrize("name", ["xray-gain-by-label-ratio", "xray-gain-forest", "xray-learning-curves"])
def test_each_figure_has_its_files_and_names_its_records(study, name, tuned):
    """SVG, PDF, PNG, CSV and card are there; the card lists every record that was drawn."""
    folder = study / "figures" / name
    assert {path.suffix for path in folder.iterdir()} == {".svg", ".pdf", ".png", ".csv", ".json"}
    card = json.loads((folder / f"{name}.json").read_text(encoding="utf-8"))
    drawn = tuned[tuned.subset.isna()] if name == "xray-learning-curves" else tuned
    assert card["records"]["ids"] == sorted(drawn.record_id)
    assert card["seeds"] == sorted(tuned.seed.unique())


def test_the_live_run_really_trained(study):
    """The quick profile leaves the figure of its own runs, with one run for each arm and seed."""
    card = json.loads(
        (study / "figures/xray-phantom-learning-curve/xray-phantom-learning-curve.json").read_text()
    )
    assert card["count"] == len(TINY["live_seeds"]) * 3
    assert card["records"]["count"] == len(TINY["live_seeds"]) * 2


def test_the_protocol_in_words_is_the_protocol_in_code():
    """The prose says fifty labels and a quarter; the configuration has to say the same."""
    text = (ROOT / "chapters/xray/study.py").read_text(encoding="utf-8")
    assert "under fifty labels both take one fixed rate" in text
    assert SelectionConfig().least_labels == 50
    assert "a held-out quarter of its own" in text
    assert SelectionConfig().held_out == 0.25
    assert 0 not in {cell.seed for cell in phase("labels", "pneumoniamnist")}
