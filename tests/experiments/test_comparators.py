"""Other comparators, smaller pools, images of another modality, and corrupted test images."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl import data
from medssl.experiments import arms, run_grid
from medssl.experiments.cell import from_dict
from medssl.training.checkpoint import load_checkpoint


@pytest.fixture
def cell(cells, monkeypatch):
    """A tiny cell; the other data sets that it may name are tiny too."""
    load = arms._load

    def small(name, split, options):
        options = options or (("n", 40), ("size", 16), ("difficulty", 0.2))
        return load(name, split, options)

    monkeypatch.setattr(arms, "_load", small)
    return cells[0]


def encoder_of(path):
    """The weights in a file of a pretrained encoder."""
    return load_checkpoint(path)["encoder"]


def test_a_share_of_the_pool_is_drawn_without_labels(cell):
    """It has its size, depends on the seed, and a larger share of the same seed contains it."""
    half, quarter = replace(cell, pool=0.5), replace(cell, pool=0.25)
    total = len(arms.pool_images(cell))
    assert len(arms.pool_rows(cell)) == total
    assert len(arms.pool_rows(half)) == round(total / 2)
    assert set(arms.pool_rows(quarter)) < set(arms.pool_rows(half))
    assert not np.array_equal(arms.pool_rows(half), arms.pool_rows(replace(half, seed=5)))


def test_a_smaller_pool_makes_another_encoder_and_stands_in_the_record(cell, tmp_path):
    """The record counts the images that pretraining saw; the comparator is the same."""
    smaller = replace(cell, pool=0.5)
    whole, part = run_grid([cell, smaller], tmp_path / "records", work=tmp_path, progress=False)
    assert (whole.n_unlabelled, part.n_unlabelled) == (
        len(arms.pool_images(cell)),
        len(arms.pool_rows(smaller)),
    )
    assert whole.comparator == part.comparator
    assert whole.ssl != part.ssl
    assert from_dict(part.cell) == smaller


def test_images_of_another_modality_share_their_own_encoder(cell, tmp_path):
    """An encoder that learned from other images is the one that those images' own cells use."""
    options = (("n", 40), ("size", 16), ("difficulty", 0.2))
    away = replace(cell, pretrain_on="phantom_mri")
    home = replace(cell, dataset="phantom_mri", dataset_options=())
    first, second = (arms.run_pretraining(each, tmp_path) for each in (away, home))
    assert first == second
    assert len(arms.pool_rows(away)) == len(data.load("phantom_mri", "train", **dict(options)))
    assert first != arms.run_pretraining(cell, tmp_path)


def test_an_encoder_from_elsewhere_is_calibrated_to_the_images_at_hand(cell, tmp_path):
    """Its normalisation has the statistics of the data set that it is transferred to."""
    away = replace(cell, pretrain_on="phantom_mri")
    encoder, standardise = arms._encoder(away, "ssl", tmp_path, None)
    stored = encoder_of(arms.run_pretraining(away, tmp_path))
    assert not torch.equal(encoder.state_dict()["stem.1.running_mean"], stored["stem.1.running_mean"])
    assert torch.equal(encoder.state_dict()["stem.0.weight"], stored["stem.0.weight"])
    assert standardise == arms._encoder(away, "comparator", tmp_path, None)[1]


def test_a_supervised_comparator_learned_from_labels_elsewhere(cell, tmp_path, monkeypatch):
    """It is trained once for a seed, starts from the same random weights, and ends elsewhere."""
    supervised = replace(cell, comparator="supervised", supervised_on="phantom_ct")
    trained, train = [], arms.transfer

    def counted(images, labels, *others, **options):
        trained.append(len(labels))
        short = (*others[:-1], replace(others[-1], least_steps=2, most_steps=2))
        return train(images, labels, *short, **options)

    monkeypatch.setattr(arms, "transfer", counted)
    learned, _ = arms._encoder(supervised, "comparator", tmp_path, None)
    arms._encoder(replace(supervised, n_labelled=8), "comparator", tmp_path, None)
    random, _ = arms._encoder(cell, "comparator", tmp_path, None)
    assert trained == [len(data.load("phantom_ct", "train", n=40, size=16, difficulty=0.2))]
    assert not torch.equal(learned.state_dict()["stem.0.weight"], random.state_dict()["stem.0.weight"])


def test_matched_compute_adds_the_passes_of_pretraining(cell):
    """Steps of the usual schedule, and one for every batch of labelled images that pretraining passed."""
    matched = replace(cell, comparator="compute_matched")
    usual = arms._schedule(matched, "ssl", 4)
    longer = arms._schedule(matched, "comparator", 4)
    images = len(arms.pool_images(cell))
    batch = min(cell.pretrain.batch_size, images)
    passes = 2 * cell.pretrain.epochs * (images // batch) * batch
    assert usual == cell.transfer
    batch = min(cell.transfer.batch_size, 4)  # labelled images of a step
    assert 0 <= longer.steps(4) * batch - (cell.transfer.steps(4) * batch + passes) < batch
    assert arms._schedule(cell, "comparator", 4) == cell.transfer


def test_another_subset_has_the_same_weights(cell):
    """`subset` draws the labelled images in place of the seed, and nothing else."""
    other = replace(cell, subset=9)
    assert not np.array_equal(np.sort(arms.label_rows(cell)), np.sort(arms.label_rows(other)))
    assert np.array_equal(arms.label_rows(other), arms.label_rows(replace(cell, seed=9)))
    assert other.pretraining_id == cell.pretraining_id


def test_corrupted_scores_stand_in_the_record(cell, tmp_path):
    """Both arms are scored on the same corrupted images, which leave the plain scores as they are."""
    worse = replace(cell, corruptions=True)
    plain, found = run_grid([cell, worse], tmp_path / "records", work=tmp_path, progress=False)
    assert plain.corrupted == {}
    assert len(found.corrupted) == 15
    assert found.gain == plain.gain
    assert found.ssl.scores == plain.ssl.scores
    strongest = found.corrupted["noise-3"]
    assert 0 <= strongest.ssl <= 1
    assert strongest.standard_error > 0
