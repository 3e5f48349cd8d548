"""The page of the volumes: its numbers from other ways, and its prose."""

import re
from datetime import datetime
from pathlib import Path

import jupytext
import numpy as np
import pytest

from medssl.book import Results
from medssl.book import volume_page as study_of
from medssl.book._workspace import Workspace
from medssl.book.prose import typed_numbers
from medssl.book.volume_page import VolumeStudy
from medssl.experiments.volume_study import VOLUME_SEEDS, volume_grid
from medssl.meta import random_effects

ROOT = Path(__file__).parents[2]
SECTIONS = ("runs", "curves", "gain_by_ratio", "pooled", "surfaces", "graded")


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> VolumeStudy:
    """The committed records after all sections."""
    folder = tmp_path_factory.mktemp("volumes")
    place = Workspace(ROOT, folder, "volumes", "published")
    place.figures.mkdir()
    study = VolumeStudy(place, Results(folder / "results.json"))
    for section in SECTIONS:
        getattr(study_of, section)(study)
    return study


def entry(study, key) -> dict:
    return study.results._entries[key]


def test_every_quoted_result_exists_and_names_a_labelled_cell(study):
    """The page quotes only what its sections compute; each result leads to a label; no number is typed."""
    cells = jupytext.read(ROOT / "chapters/volumes.py", fmt="py:percent").cells
    text = "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")
    named = re.findall(r"\{result\}`([^`]+)`", text)
    assert {name.rpartition(":")[0] for name in named} == {"volumes"}
    assert {name.rpartition(":")[2] for name in named} <= set(study.results._entries)
    labels = set(re.findall(r"^\(([a-z-]+)\)=$", text, re.MULTILINE))
    assert {value["source"] for value in study.results._entries.values()} <= labels
    assert typed_numbers(text) == []


def test_records_are_younger_than_the_part_of_the_protocol_that_lists_them(study):
    """The minute of the addition stands in the protocol, and every record was finished after it."""
    text = (ROOT / "chapters/methods/protocol.md").read_text(encoding="utf-8")
    added = datetime.fromisoformat(re.search(r"- \{fact\}`([^`]+)`: the segmentation of hippo", text)[1])
    assert study.records
    assert min(datetime.fromisoformat(record.finished) for record in study.records) > added


def test_counts_are_those_of_the_records(study):
    """Comparisons, positive ones, and how much of the listed part is there."""
    assert entry(study, "comparisons")["value"] == len(study.records)
    positive = sum(record.gain["dice"].value > 0 for record in study.records)
    assert entry(study, "positive")["value"] == positive
    assert entry(study, "recorded_cells")["value"] <= entry(study, "listed_cells")["value"]
    assert entry(study, "listed_cells")["value"] == len(volume_grid())
    assert 2 <= entry(study, "seeds")["value"] <= len(VOLUME_SEEDS)


def test_an_effect_is_the_mean_gain_over_seeds(study):
    """Of one method and count, with the variance over seeds and the mean squared error over volumes."""
    row = study.effects.iloc[0]
    runs = study.runs[(study.runs.method == row.method) & (study.runs.n_labelled == row.n_labelled)]
    assert row.yi == pytest.approx(runs.gain.mean())
    variance = runs.gain.var() / len(runs) + (runs.standard_error**2).mean()
    assert row.vi == pytest.approx(variance)


def test_the_pooled_gain_is_refitted(study):
    """Mean, slope and ends come from a fit that is made here again."""
    effects = study.effects
    mean = random_effects(effects.yi, effects.vi, test="adhoc")
    line = random_effects(effects.yi, effects.vi, effects[["log10_label_ratio"]], test="adhoc")
    assert entry(study, "gain")["value"] == pytest.approx(mean.coef[0])
    assert entry(study, "slope")["value"] == pytest.approx(line.coef[1])
    most = line.coef[0] + line.coef[1] * effects.log10_label_ratio.max()
    assert entry(study, "gain_all")["value"] == pytest.approx(most)


def test_the_plateau_is_the_first_count_near_the_best(study):
    """All smaller counts lie further below the best mean Dice of the comparator than the minimal gain."""
    runs = study.runs.drop_duplicates(["n_labelled", "seed"])
    means = runs.groupby("n_labelled").comparator.mean()
    plateau = entry(study, "plateau")["value"]
    assert means[plateau] >= means.max() - 0.01
    assert (means[means.index < plateau] < means.max() - 0.01).all()
    assert entry(study, "best_dice")["value"] == pytest.approx(means.max())


def test_distances_are_paired_by_seed(study):
    """The mean over seeds of the mean difference of a seed's cells."""
    by_seed = {}
    for record in study.records:
        difference = record.ssl.scores["surface_distance"] - record.comparator.scores["surface_distance"]
        by_seed.setdefault(record.cell["seed"], []).append(difference)
    expected = np.mean([np.mean(values) for values in by_seed.values()])
    assert entry(study, "surface_distance")["value"] == pytest.approx(expected)


def test_figures_are_saved(study):
    """Learning curves and gains have folders of their own."""
    names = {path.name for path in study.place.figures.iterdir()}
    assert {"volumes-learning-curves", "volumes-gain-by-label-ratio"} <= names
