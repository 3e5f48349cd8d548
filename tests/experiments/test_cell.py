"""Cells as data: names that identify exactly what decides a result."""

import json
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from medssl.errors import UsageError
from medssl.experiments import Cell, grid, record_path
from medssl.experiments.cell import digest, from_dict
from medssl.experiments.grids import phantom_grid, real_grid

CELL = Cell("phantom_xray", 20, 3, dataset_options=(("n", 60), ("difficulty", 0.5)))
OTHER = {
    "dataset": "phantom_ct", "n_labelled": 21, "seed": 4, "dataset_options": (("n", 61), ("difficulty", 0.5)),
    "method": "masked_autoencoder", "encoder": "resnet18", "adaptation": "linear_probe",
    "validation": "full_validation", "learning_rates": (1e-3,), "comparator": "compute_matched",
    "pool": 0.5, "pretrain_on": "phantom_mri", "subset": 7, "corruptions": True,
    "crop": (8, 8, 8),
}  # fmt: skip


def variants(value):
    """The same configuration with one field changed, for each field at any depth."""
    for field in fields(value):
        if field.name == "supervised_on":  # goes with one comparator only, see below
            continue
        old = getattr(value, field.name)
        if is_dataclass(old):
            yield from (
                (f"{field.name}.{name}", replace(value, **{field.name: new})) for name, new in variants(old)
            )
        else:
            new = OTHER[field.name] if field.name in OTHER else old * 2
            assert new != old
            yield field.name, replace(value, **{field.name: new})


VARIANTS = dict(variants(CELL))


@pytest.mark.parametrize("name", VARIANTS)
def test_every_field_is_part_of_the_record_id(name):
    """A cell that differs in any field is another record."""
    assert VARIANTS[name].record_id != CELL.record_id


@pytest.mark.parametrize("name", VARIANTS)
def test_pretraining_is_shared_where_only_labels_differ(name):
    """Data, pretraining and seed identify the encoder; label count, transfer and selection do not."""
    labels = ("n_labelled", "comparator", "subset", "corruptions")
    shared = name in labels or name.startswith(("transfer.", "selection."))
    assert (VARIANTS[name].pretraining_id == CELL.pretraining_id) == shared


@pytest.mark.parametrize("name", VARIANTS)
def test_the_comparator_is_shared_by_methods_and_nothing_else(name):
    """Users of one comparator may differ in their pretraining, but not in the architecture."""
    shared = (name.startswith("pretrain.") and name != "pretrain.encoder") or name in (
        "pool", "pretrain_on", "crop",
    )  # fmt: skip
    assert (VARIANTS[name].arm_id("comparator") == CELL.arm_id("comparator")) == shared
    assert (VARIANTS[name].arm_id("ssl") != CELL.arm_id("ssl")) == (name != "comparator")


def test_the_variants_cover_every_field():
    """The tests above change each field of the cell and of its three configurations once."""
    nested = [field.name for field in fields(CELL) if is_dataclass(getattr(CELL, field.name))]
    count = sum(len(fields(getattr(CELL, name))) for name in nested) + len(fields(CELL)) - len(nested)
    assert len(VARIANTS) == count - 1 >= 27  # supervised_on goes with one comparator only, see below


def test_a_supervised_comparator_names_its_data_set():
    """The name belongs to the record and the comparator, not to the pretrained arm; alone it is refused."""
    cell = replace(CELL, comparator="supervised", supervised_on="phantom_ct")
    other = replace(cell, supervised_on="phantom_mri")
    assert len({CELL.record_id, cell.record_id, other.record_id}) == 3
    assert len({each.arm_id("comparator") for each in (CELL, cell, other)}) == 3
    assert CELL.arm_id("ssl") == cell.arm_id("ssl") == other.arm_id("ssl")
    assert from_dict(json.loads(json.dumps(cell.to_dict()))) == cell
    for damaged in ({"comparator": "supervised"}, {"supervised_on": "phantom_ct"}):
        with pytest.raises(UsageError, match="needs supervised_on"):
            replace(CELL, **damaged)


@pytest.mark.parametrize("pool", [0.0, 1.5])
def test_a_pool_is_a_share(pool):
    """Nothing and more than everything are refused."""
    with pytest.raises(UsageError, match="pool must be above 0"):
        replace(CELL, pool=pool)


def test_records_of_before_keep_their_names():
    """Fields that came later are absent at their defaults: a committed record is still the cell's own."""
    cell = real_grid(seeds=(1,))[0]
    assert cell.record_id == "pneumoniamnist-simclr-fine_tune-00010-s01-" + digest(cell.to_dict())
    assert list(cell.to_dict()) == [
        "dataset", "n_labelled", "seed", "pretrain", "transfer", "selection", "dataset_options",
    ]  # fmt: skip
    assert record_path(cell, Path(__file__).parents[2] / "records").exists()


def test_the_two_arms_never_share_a_file():
    """Arms have different names, and there are two of them."""
    assert CELL.arm_id("ssl") != CELL.arm_id("comparator")
    with pytest.raises(UsageError, match="unknown arm 'supervised': 'ssl' or 'comparator'"):
        CELL.arm_id("supervised")


@pytest.mark.parametrize("cell", [CELL, *VARIANTS.values()])
def test_a_cell_survives_its_own_text(cell):
    """What stands in a record is the cell again, also after JSON."""
    text = json.dumps(cell.to_dict())
    assert from_dict(json.loads(text)) == cell
    assert from_dict(json.loads(text)).record_id == cell.record_id


def test_a_budget_of_all_labels_survives_too():
    """None stands for every label."""
    cell = replace(CELL, n_labelled=None)
    assert from_dict(json.loads(json.dumps(cell.to_dict()))) == cell
    assert "-all-" in cell.record_id


@pytest.mark.parametrize(
    "damage",
    [
        lambda config: config | {"budget": 3},
        lambda config: config | {"pretrain": config["pretrain"] | {"width": 3}},
        lambda config: {key: value for key, value in config.items() if key != "selection"},
        lambda config: config | {"transfer": config["transfer"] | {"adaptation": "prompt"}},
    ],
)
def test_a_configuration_that_is_none_is_refused(damage):
    """Unknown and missing keys and impossible values are errors."""
    with pytest.raises(UsageError, match=r"not the configuration of a cell|unknown adaptation"):
        from_dict(damage(CELL.to_dict()))


def test_digests_are_stable():
    """The identity of recorded cells may not drift: these digits are fixed for good."""
    assert digest({"a": 1, "b": [1, 2.5, None]}) == "253130eeb719"
    assert digest([1, 2]) != digest([2, 1])


def test_the_grid_of_radiographs_is_the_protocol():
    """Two methods, seven counts, five seeds, both adaptations, and the flagged sensitivity runs."""
    cells = grid("xray")
    flagged = [cell for cell in cells if cell.selection.validation == "full_validation"]
    assert len(cells) == 5 * 7 * 2 * 2 + 5 * 3 * 2
    assert len({cell.record_id for cell in cells}) == len(cells)
    assert {cell.n_labelled for cell in cells} == {10, 20, 50, 100, 250, 1000, None}
    assert len(flagged) == 30
    assert {cell.transfer.adaptation for cell in flagged} == {"fine_tune"}
    assert len({cell.pretraining_id for cell in cells}) == 10


@pytest.mark.parametrize("name", ["xray", "xray_phantom"])
def test_both_arms_of_a_grid_choose_by_one_rule(name):
    """Cells of two methods differ in nothing else, so they share their comparators."""
    cells = grid(name)
    assert 2 * len({cell.arm_id("comparator") for cell in cells}) == len(cells)


def test_grids_take_parameters():
    """The functions behind the names make other grids."""
    assert {cell.dataset for cell in phantom_grid("mri")} == {"phantom_mri"}
    assert len(real_grid("breastmnist", methods=("simclr",), seeds=(1, 2), sensitivity_counts=(50,))) == 30


def test_an_unknown_grid_names_the_known_ones():
    """A misspelt grid is an error that lists what exists."""
    with pytest.raises(UsageError, match="unknown grid 'xrays': choose one of xray, xray_phantom"):
        grid("xrays")
