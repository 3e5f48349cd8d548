"""Cells of volumes with masks: subsets, both arms, records, and what they refuse."""

from dataclasses import replace

import numpy as np
import pytest

from medssl.data._dataset import ImageDataset
from medssl.errors import UsageError
from medssl.evaluation.segmentation import dice
from medssl.experiments import Cell, arms, estimate, run_grid, to_table, verify
from medssl.experiments.cell import from_dict
from medssl.experiments.cost import transfer_passes
from medssl.experiments.volumes import nested_rows, volumes_with
from medssl.training import PretrainConfig
from medssl.training.segmentation import SegmentationConfig, segment

CROP = (8, 8, 8)


def blobs(split: str) -> ImageDataset:
    """Bright boxes in noise, in volumes with sides of 16 voxels."""
    seed = ("train", "val", "test").index(split)
    rng = np.random.default_rng(seed)
    volumes = rng.integers(0, 90, (6, 16, 16, 16), dtype=np.uint8)
    masks = np.zeros_like(volumes)
    for volume, mask, corner in zip(volumes, masks, rng.integers(1, 7, (6, 3)), strict=True):
        box = tuple(slice(start, start + 8) for start in corner)
        volume[box] += 120
        mask[box] = 1
    classes, patients = ("background", "box"), np.arange(6) + 10 * seed
    return ImageDataset("blobs", "mri", split, volumes, masks, classes, patients, "segmentation")


@pytest.fixture
def cell(monkeypatch) -> Cell:
    """A cell of two labelled volumes and three steps."""
    monkeypatch.setattr(arms, "_load", lambda name, split, options: blobs(split))
    monkeypatch.setattr(arms, "_images_sha256", lambda name, options: "blobs")
    config = PretrainConfig("masked_autoencoder", "small_cnn_3d", epochs=1, batch_size=3)
    return Cell("blobs", 2, 1, config, SegmentationConfig(steps=3, crop=CROP), crop=CROP)


def test_subsets_of_volumes_are_nested_and_drawn_by_the_seed():
    """A larger budget contains a smaller one; another seed takes others; impossible ones are refused."""
    assert set(nested_rows(20, 4, 1)) < set(nested_rows(20, 9, 1))
    assert len(set(nested_rows(20, 20, 1))) == 20
    assert nested_rows(20, 4, 1).tolist() != nested_rows(20, 4, 2).tolist()
    with pytest.raises(UsageError, match="labelled volumes"):
        nested_rows(20, 21, 1)


def test_a_class_is_counted_where_it_occurs():
    """Volumes and not voxels."""
    masks = np.zeros((3, 2, 2, 2), int)
    masks[1] = 1
    masks[2, 0, 0, 0] = 2
    assert volumes_with(masks, 3) == [2, 1, 1]


def test_a_cell_of_volumes_survives_its_record(cell):
    """Its configuration comes back from plain data, tuples included; its name says what it does."""
    assert from_dict(cell.to_dict()) == cell
    assert cell.segments
    assert "-segmentation-00002-" in cell.record_id
    assert "crop" not in Cell("d", 2, 1).to_dict()


def test_a_crop_makes_another_encoder_and_no_other_comparator(cell):
    """What pretraining sees of a volume decides the encoder only."""
    whole = replace(cell, crop=None)
    assert whole.pretraining_id != cell.pretraining_id
    assert whole.arm_id("ssl") != cell.arm_id("ssl")
    assert whole.arm_id("comparator") == cell.arm_id("comparator")


@pytest.mark.parametrize("options", [{"comparator": "compute_matched"}, {"corruptions": True}])
def test_what_volumes_do_not_have_is_refused(cell, options):
    """Other comparators and corrupted images are for classification."""
    with pytest.raises(UsageError, match="segmentation is compared with random"):
        replace(cell, **options)


def test_the_record_holds_the_paired_gain_in_dice(cell, tmp_path):
    """Scores are those of training and predicting outside the grid; the gain is their mean difference."""
    (record,) = run_grid([cell], tmp_path / "records", work=tmp_path / "work", progress=False)
    train, test = blobs("train"), blobs("test")
    rows = nested_rows(6, 2, 1)
    found = {}
    for arm in ("ssl", "comparator"):
        encoder, standardise = arms._encoder(cell, arm, tmp_path / "work", "cpu")
        done = segment(
            train.images[rows], train.labels[rows], 2, encoder, standardise, cell.transfer,
            seed=1, device="cpu",
        )  # fmt: skip
        found[arm] = dice(test.labels, done.predict(test.images), 2)
        assert getattr(record, arm).scores["dice"] == pytest.approx(found[arm].mean())
    gain = record.gain["dice"]
    assert gain.value == pytest.approx((found["ssl"] - found["comparator"]).mean(), abs=1e-7)
    assert gain.ci_low <= gain.value <= gain.ci_high
    assert record.class_counts == [2, 2]
    assert (record.n_labelled, record.n_unlabelled, record.n_test) == (2, 6, 6)
    assert record.ssl.steps == 3


def test_tables_hold_the_records_of_their_score(cell, finished, tmp_path):
    """Volumes have no AUC and images no Dice: neither is in the other's table."""
    (record,) = run_grid([cell], tmp_path / "records", work=tmp_path / "work", progress=False)
    both = [record, *finished.found]
    table = to_table(both, "dice")
    assert table[["dataset", "adaptation"]].values.tolist() == [["blobs", "segmentation"]]
    assert table.gain[0] == record.gain["dice"].value
    assert set(to_table(both).dataset) == {"phantom_xray"}


def test_a_record_of_volumes_can_be_repeated(cell, tmp_path):
    """Running it again from nothing gives the same digits."""
    run_grid([cell], tmp_path / "records", work=tmp_path / "work", progress=False)
    (path,) = (tmp_path / "records" / "blobs").iterdir()
    again = verify(path, device="cpu")
    assert again.same
    assert again.holds


def test_the_cost_of_volumes_is_counted(cell):
    """Steps times volumes a step, and one pretraining for both arms."""
    assert transfer_passes(cell, "ssl") == 3 * 2
    costs = estimate([cell], "nowhere", device="cpu")
    assert costs.runs.tolist() == [1, 2]
    assert (costs.minutes > 0).all()
