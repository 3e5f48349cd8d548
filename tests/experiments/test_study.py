"""The controlled study as data: what its protocol promises."""

from pathlib import Path

import pytest

from medssl.data.card import read_card
from medssl.errors import UsageError
from medssl.experiments import Cell, grid
from medssl.experiments.study import METHODS, MORE_METHODS, PHASES, SEEDS, STUDY, phase, study_grid
from medssl.experiments.volume_study import volume_grid
from medssl.ssl import METHODS as KNOWN

PROTOCOL = Path(__file__).parents[2] / "chapters" / "methods" / "protocol.md"


def test_four_modalities_and_their_data_sets():
    """One data set each, all of them known by name, each against labels of another modality."""
    modality = {name: read_card(name).modality for name in STUDY}
    assert sorted(modality.values()) == ["ct", "mri", "ultrasound", "xray"]
    assert all(modality[chosen.elsewhere] != modality[name] for name, chosen in STUDY.items())


@pytest.mark.parametrize("name", STUDY)
def test_labels_are_varied_at_a_fixed_pool(name):
    """At least seven budgets and five methods, five seeds, twice at the two smallest, the whole pool."""
    cells = phase("labels", name)
    assert len(STUDY[name].label_counts) >= 7
    assert STUDY[name].label_counts[-1] is None
    assert len(SEEDS) >= 5
    assert {cell.pretrain.method for cell in cells} == set(METHODS)
    assert {cell.pool for cell in cells} == {1.0}
    for n in STUDY[name].label_counts:
        for method in METHODS:
            replicates = [c for c in cells if (c.n_labelled, c.pretrain.method) == (n, method)]
            assert len(replicates) == (10 if n in STUDY[name].twice else 5)


@pytest.mark.parametrize("name", STUDY)
def test_the_pool_is_varied_at_fixed_labels(name):
    """A sixteenth and a quarter, at one budget, with as many images passed as with the whole."""
    cells = phase("pools", name)
    assert {cell.pool for cell in cells} == {1 / 16, 1 / 4}
    assert {cell.n_labelled for cell in cells} == {STUDY[name].middle}
    assert {cell.pool * cell.pretrain.epochs for cell in cells} == {STUDY[name].epochs}


def test_every_method_is_known_and_the_arms_span_the_families():
    """Eight methods with those for more time."""
    assert len(METHODS) == 5
    assert len(METHODS + MORE_METHODS) == 8
    assert set(METHODS + MORE_METHODS) <= set(KNOWN)


def test_volumes_are_segmented_at_seven_budgets():
    """Three methods, five seeds, subsets of the same random boxes for both arms, every cell in the study."""
    cells = volume_grid()
    assert {cell.dataset for cell in cells} == {"hippocampus"}
    assert all(cell.segments and cell.crop == cell.transfer.crop for cell in cells)
    assert len({cell.n_labelled for cell in cells}) == 7
    assert len({cell.pretrain.method for cell in cells}) == 3
    assert {cell.seed for cell in cells} == set(SEEDS)
    assert set(cells) <= set(study_grid())


def test_no_cell_stands_twice():
    """The whole study has distinct records, and every phase is in it."""
    cells = study_grid()
    assert len({cell.record_id for cell in cells}) == len(cells)
    for name in PHASES:
        for dataset in STUDY:
            assert set(phase(name, dataset)) <= set(cells)


def test_weights_from_imagenet_have_a_grid_of_their_own():
    """Three budgets, five seeds and every method in the larger network; none of it is in the study's grid."""
    cells = grid("imagenet")
    assert len({cell.record_id for cell in cells}) == len(cells) == 4 * len(SEEDS) * 3 * len(METHODS)
    assert {cell.pretrain.encoder for cell in cells} == {"resnet18_large_stem"}
    assert {cell.comparator for cell in cells} == {"imagenet"}
    assert {(cell.dataset, cell.n_labelled) for cell in cells} == {
        (name, n) for name, chosen in STUDY.items() for n in chosen.compared
    }
    assert not any(cell.comparator == "imagenet" for cell in study_grid())


def test_three_seeds_come_first():
    """What a run that is stopped early leaves is three replicates on every data set."""
    cells = study_grid()
    first = [cell for cell in cells if cell.seed in SEEDS[:3]][
        : len(phase("labels", "breastmnist", SEEDS[:3]))
    ]
    assert cells[: len(first)] == first
    position = {cell: place for place, cell in enumerate(cells)}
    late = min(position[cell] for name in STUDY for cell in phase("labels", name, SEEDS[3:]))
    early = max(position[cell] for name in STUDY for cell in phase("labels", name, SEEDS[:3]))
    assert early < late


def test_encoders_of_other_modalities_are_shared(finished):
    """Pretraining on another modality costs no further pretraining."""
    own = {cell.pretraining_id for name in STUDY for cell in phase("labels", name)}
    assert {cell.pretraining_id for name in STUDY for cell in phase("sources", name)} <= own


def test_the_protocol_is_dated_and_names_its_methods():
    """The page stands in the book with its date and its section of deviations."""
    text = PROTOCOL.read_text(encoding="utf-8")
    assert "2026-11-25" in text
    assert "## Deviations" in text


def test_a_grid_is_a_file(tmp_path):
    """A Python file that defines cells is a grid, as a list or as a function."""
    for body in (
        "cells = [Cell('phantom_ct', 20, 1)]",
        "def cells():\n    return [Cell('phantom_ct', 20, 1)]",
    ):
        path = tmp_path / "mine.py"
        path.write_text("from medssl.experiments import Cell\n" + body + "\n")
        assert grid(str(path)) == [Cell("phantom_ct", 20, 1)]


@pytest.mark.parametrize("body", ["cells = []", "cells = [1]", "other = 1"])
def test_a_file_without_cells_is_refused(body, tmp_path):
    """The message names the file and what it should define."""
    path = tmp_path / "mine.py"
    path.write_text(body)
    with pytest.raises(UsageError, match=r"mine\.py: cells: expected a list"):
        grid(str(path))
    with pytest.raises(UsageError, match="no such file"):
        grid(str(tmp_path / "other.py"))
