"""Sections of a study on committed records: numbers from other ways, and parts that were not run."""

import re
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest

from medssl.book import Results
from medssl.book import modality_study as study_of
from medssl.book import modality_variations as variations
from medssl.book._workspace import Workspace
from medssl.book.modality_runs import comparator, live, seeds_as_clusters
from medssl.book.modality_study import NOT_RUN, ModalityStudy
from medssl.evidence import study_effects
from medssl.experiments.records import find_records, load_records, to_table
from medssl.experiments.study import PHASES, STUDY, phase
from medssl.meta import random_effects

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> ModalityStudy:
    """The ultrasound study on its committed records."""
    folder = tmp_path_factory.mktemp("study")
    place = Workspace(ROOT, folder, "ultrasound/study", "published")
    place.figures.mkdir()
    return ModalityStudy(
        place, Results(folder / "results.json"), "ultrasound", "breastmnist", "breast ultrasound"
    )


@pytest.fixture
def fresh(study) -> ModalityStudy:
    """The same study with results of its own."""
    again = ModalityStudy(
        study.place, Results(study.results.path), study.modality, study.dataset, study.title
    )
    vars(again).update({name: value for name, value in vars(study).items() if name in ("records", "table")})
    return again


def entry(study, key) -> dict:
    return study.results._entries[key]


@pytest.mark.parametrize("dataset", STUDY)
def test_records_of_the_study_were_made_after_its_protocol(dataset):
    """Each committed record of a listed cell is younger than the minute in which the protocol was fixed."""
    text = (ROOT / "chapters/methods/protocol.md").read_text(encoding="utf-8")
    fixed = datetime.fromisoformat(re.search(r"Version of \{fact\}`([^`]+)`", text)[1])
    listed = {cell.record_id for name in PHASES for cell in phase(name, dataset)}
    records = [r for r in load_records(find_records(ROOT / "records", dataset)) if r.record_id in listed]
    assert records
    assert min(datetime.fromisoformat(record.finished) for record in records) > fixed


def test_the_plain_comparison_is_the_listed_one(fresh):
    """Main runs are those of the cells against random weights, with the whole pool and the own images."""
    listed = {cell.record_id for cell in phase("labels", "breastmnist")}
    assert set(fresh.main.record_id) <= listed
    assert set(fresh.main.comparator_kind) == {"random"}
    assert set(fresh.main.pool) == {1.0}
    assert not (fresh.main.subset >= 200).any()


def test_counts_are_those_of_the_records(fresh):
    """Comparisons, positive ones and effects below zero are counted from the files."""
    table = to_table(load_records(find_records(ROOT / "records", "breastmnist")))
    listed = {cell.record_id for cell in phase("labels", "breastmnist")}
    table = table[table.record_id.isin(listed)]
    study_of.runs(fresh)
    assert entry(fresh, "comparisons")["value"] == len(table)
    assert entry(fresh, "positive")["value"] == (table.gain > 0).sum()
    assert entry(fresh, "negative_effects")["value"] == (fresh.effects.yi < 0).sum()
    assert entry(fresh, "recorded_cells")["value"] <= entry(fresh, "listed_cells")["value"]
    assert entry(fresh, "recorded_cells")["value"] >= len(table)


def test_the_pooled_gain_is_that_of_the_records(fresh):
    """Refitting outside the section gives its number, and the ends of the line are on the line."""
    study_of.pooled(fresh)
    effects = study_effects(fresh.main)
    fit = random_effects(effects.yi, effects.vi, test="adhoc")
    line = random_effects(effects.yi, effects.vi, effects[["log10_label_ratio"]], test="adhoc")
    assert entry(fresh, "gain")["value"] == pytest.approx(fit.coef[0])
    assert entry(fresh, "slope")["value"] == pytest.approx(line.coef[1])
    ends = effects.log10_label_ratio.agg(["min", "max"]).to_numpy()
    expected = line.coef[0] + line.coef[1] * ends
    found = [entry(fresh, key)["value"] for key in ("gain_fewest", "gain_all")]
    assert found == pytest.approx(expected)


def test_a_figure_is_saved_and_methods_have_their_means(fresh):
    """The forest stands in a folder of its own; the largest mean is that of the method that is named."""
    assert study_of.method_forest(fresh) is not None
    assert (fresh.place.figures / "ultrasound-gain-forest").is_dir()
    means = {name: entry(fresh, f"gain_{name}")["value"] for name in fresh.effects.method.unique()}
    assert entry(fresh, "largest_method")["value"] == max(means.values())


def test_the_comparator_is_compared(fresh):
    """With the plain probe in every seed, and with what is published where something is."""
    comparator(fresh)
    assert entry(fresh, "comparator_auc")["value"] > 0.8
    assert "Table 3" in entry(fresh, "published_auc")["text"]


def test_seeds_are_one_value_each(fresh):
    """The mean over seeds of the mean gain of a seed."""
    seeds_as_clusters(fresh)
    rows = fresh.main[fresh.main.subset.isna()]
    whole = rows.groupby("seed").filter(lambda part: len(part) == rows.groupby("seed").size().max())
    expected = whole.groupby("seed").gain.mean().mean()
    assert entry(fresh, "seed_gain")["value"] == pytest.approx(expected)


def test_one_seed_says_nothing_about_seeds(fresh):
    """The results are there in words, so that a page can be built while a study runs."""
    for name in ("table", "study_table", "main"):
        vars(fresh)[name] = getattr(fresh, name).query("seed == 1")
    seeds_as_clusters(fresh)
    assert entry(fresh, "seed_gain")["text"] == "not known from one seed"


def test_the_supervised_comparator_has_its_own_mean(fresh):
    """It is fitted to the runs against the supervised encoder alone, in words that fit its interval."""
    variations.other_comparators(fresh)
    effects = study_effects(fresh.runs(comparator_kind="supervised"))
    fit = random_effects(effects.yi, effects.vi, test="adhoc")
    found = entry(fresh, "gain_supervised")
    assert found["value"] == pytest.approx(fit.coef[0])
    low, high = fit.ci_low[0], fit.ci_high[0]
    words = "a gain" if low > 0 else "a loss" if high < 0 else "no clear difference"
    assert found["text"].startswith(words)
    counts = sorted(effects.n_labelled.unique())
    assert found["text"].endswith(f"(labels: {', '.join(str(n) for n in counts)})")


def test_secondary_scores_are_means_over_seeds(fresh):
    """Each seed is one value, so the interval is wide."""
    variations.secondary(fresh)
    kept = set(fresh.main.record_id)
    by_seed = {}
    for record in fresh.records:
        if record.record_id in kept:
            gain = record.ssl.scores["calibration_error"] - record.comparator.scores["calibration_error"]
            by_seed.setdefault(record.cell["seed"], []).append(gain)
    expected = np.mean([np.mean(values) for values in by_seed.values()])
    assert entry(fresh, "calibration_error")["value"] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("section", "keys"),
    [
        (variations.pools, ["pool_slope"]),
        (variations.sources, ["source_difference"]),
        (variations.split_of_variation, ["variation"]),
        (variations.frozen, ["probe_gain"]),
        (variations.chosen_on_validation, ["choice_budget", "choice_full_validation"]),
        (variations.other_comparators, ["gain_supervised", "gain_matched", "gain_imagenet"]),
    ],
)
def test_what_was_not_run_is_said_in_words(fresh, section, keys):
    """A part without records changes nothing else and is quoted as not run."""
    plain = fresh.main.record_id
    for name in ("table", "study_table"):
        vars(fresh)[name] = fresh.table[fresh.table.record_id.isin(plain)]
    section(fresh)
    assert [entry(fresh, key)["text"] for key in keys] == [NOT_RUN] * len(keys)


def test_other_profiles_train_nothing(fresh, monkeypatch):
    """The live run belongs to the quick profile."""
    monkeypatch.setattr("medssl.book.modality_runs.run_grid", lambda *_, **__: pytest.fail("it trained"))
    assert "no live run" in live(fresh, "published", ("simclr",), (), 1).data


def test_a_change_and_a_difference_of_origins_are_not_called_gains_or_losses():
    """A verdict is told in the words of what was estimated, from the digits that are shown."""
    falls = variations.verdict_words(-0.02, -0.03, -0.01, words=variations.CHANGE)
    assert falls.startswith("a fall, −0.0200")
    smaller = variations.verdict_words(-0.02, -0.03, -0.01, words=variations.ORIGIN)
    assert smaller.startswith("ours are smaller, ")
    assert variations.verdict_words(0.02, 0.01, 0.03).startswith("a gain, +0.0200")
    assert variations.verdict_words(0.02, 0.00001, 0.03).startswith("no clear difference, ")
