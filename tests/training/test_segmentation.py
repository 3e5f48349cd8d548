"""Segmentation of volumes: the network, resumption, learning and what is left alone."""

import copy
import sys

import numpy as np
import pytest
import torch
from torch import nn

from medssl.errors import DataError, RunError, UsageError
from medssl.evaluation.segmentation import dice
from medssl.training import Standardisation
from medssl.training.segmentation import SegmentationConfig, segment
from medssl.training.segmentation_network import SegmentationNetwork


class Tiny(nn.Module):
    """Two levels, of strides 2 and 4, with batch normalisation."""

    def __init__(self):
        super().__init__()
        self.first = nn.Sequential(nn.Conv3d(1, 4, 3, 2, 1), nn.BatchNorm3d(4), nn.ReLU())
        self.second = nn.Sequential(nn.Conv3d(4, 8, 3, 2, 1), nn.BatchNorm3d(8), nn.ReLU())

    def pyramid(self, x):
        fine = self.first(x)
        return [fine, self.second(fine)]


def boxes(n=6, seed=0, shape=(8, 12, 10)):
    """Volumes with a bright box of two classes, its lower and upper half, at random places."""
    random = np.random.default_rng(seed)
    volumes, masks = random.integers(30, 90, (n, *shape), dtype=np.uint8), np.zeros((n, *shape), np.uint8)
    for volume, mask in zip(volumes, masks, strict=True):
        a, b, c = (random.integers(1, side - 5) for side in shape)
        mask[a : a + 2, b : b + 4, c : c + 4], mask[a + 2 : a + 4, b : b + 4, c : c + 4] = 1, 2
        volume += (mask > 0).astype(np.uint8) * 60 + (mask == 2).astype(np.uint8) * 60
    return volumes, masks


@pytest.fixture
def job():
    """Volumes, masks, classes, encoder and standardisation: the arguments of `segment`."""
    torch.manual_seed(7)
    volumes, masks = boxes()
    return volumes, masks, 3, Tiny(), Standardisation.of(volumes)


@pytest.fixture
def module():
    """The module of the loop, for the function that ends a run."""
    return sys.modules["medssl.training.segmentation"]


def run(job, config, **options):
    """Train on the processor."""
    return segment(*job, config, device="cpu", **options)


@pytest.mark.parametrize("shape", [(8, 12, 10), (7, 9, 5), (5, 5, 5)])
def test_logits_have_the_size_of_the_volume(shape):
    """Sides of any length come back."""
    network = SegmentationNetwork(Tiny(), 3, (8, 12, 10))
    assert network(torch.zeros(2, 1, *shape)).shape == (2, 3, *shape)


def test_every_level_reaches_the_logits():
    """A change of any map of the pyramid, and of the volume itself, changes the result."""
    network = SegmentationNetwork(Tiny(), 3, (8, 12, 10)).eval()
    x, levels = torch.rand(1, 1, 8, 12, 10), None
    with torch.no_grad():
        levels = network._levels(x)
        plain = network(x)
        for place, level in enumerate(levels):
            other = [map_ + torch.rand_like(map_) * (level is map_) for map_ in levels]
            network._levels = lambda _, other=other: other
            assert not torch.allclose(network(x), plain), place


def test_a_map_of_full_size_replaces_the_volume():
    """An encoder whose first map is as fine as the volume needs no level more."""
    encoder = Tiny()
    encoder.first[0] = nn.Conv3d(1, 4, 3, 1, 1)
    assert len(SegmentationNetwork(encoder, 3, (8, 8, 8)).joins) == 1
    assert len(SegmentationNetwork(Tiny(), 3, (8, 8, 8)).joins) == 2


def test_building_the_network_leaves_the_statistics():
    """The volume that is passed through to learn the channels is not trained on."""
    encoder = Tiny().train()
    SegmentationNetwork(encoder, 3, (8, 8, 8))
    assert encoder.first[1].num_batches_tracked == 0


def test_encoders_without_volumes_are_refused():
    """One without a pyramid, and one for images, are named with what would do."""
    flat = Tiny()
    flat.dimensions = 2
    for encoder in (nn.Conv3d(1, 2, 3), flat):
        with pytest.raises(UsageError, match="has no pyramid of volumes: segmentation needs an encoder such"):
            SegmentationNetwork(encoder, 2, (8, 8, 8))


@pytest.mark.parametrize("crop", [None, (4, 8, 8)])
def test_a_killed_run_goes_on_to_the_same_bits(
    crop, job, module, tmp_path, kill_after_saving, killed, same_weights
):
    """Killed after step 20 and started again, a run ends in the weights of an undisturbed one."""
    config, path = SegmentationConfig(steps=25, crop=crop), tmp_path / "run.pt"
    whole = run(job, config, seed=4)
    survive = kill_after_saving(module)
    with pytest.raises(killed):
        run(job, config, seed=4, checkpoint=path)
    survive()
    torch.manual_seed(99)  # the global state of the second process is another one
    resumed = run(job, config, seed=4, checkpoint=path)
    same_weights(resumed.model, whole.model)
    assert resumed.history == whole.history
    assert len(resumed.history) == 25
    assert np.array_equal(resumed.predict(job[0]), whole.predict(job[0]))


def test_an_easy_task_is_learnt(job):
    """The loss falls, and both classes of new volumes are found where they are."""
    done = run(job, SegmentationConfig(steps=120, learning_rate=1e-2, augment=False))
    volumes, masks = boxes(8, seed=1)
    assert np.mean(done.history[-5:]) < 0.5 * np.mean(done.history[:5])
    assert dice(masks, done.predict(volumes), 3).mean(0).min() > 0.6


def test_the_encoder_that_was_passed_is_not_changed(job, same_weights):
    """Weights, statistics and mode of the caller's stay; those of the result have moved."""
    encoder = job[3].train()
    before = copy.deepcopy(encoder)
    done = run(job, SegmentationConfig(steps=3))
    same_weights(encoder, before)
    assert encoder.training
    assert not torch.equal(done.model.encoder.first[0].weight, before.first[0].weight)


def test_both_arms_start_from_one_decoder(job):
    """Decoder, order and views are the seed's, whatever the encoder's weights."""
    torch.manual_seed(8)
    other = (*job[:3], Tiny(), job[4])
    config = SegmentationConfig(steps=1, learning_rate=1e-12)
    first, second = (run(arguments, config, seed=3).model.joins.state_dict() for arguments in (job, other))
    for key, value in first.items():
        assert torch.allclose(value, second[key], atol=1e-6), key


def test_the_seed_decides(job, same_weights):
    """The same seed gives the same bits, another seed others."""
    config = SegmentationConfig(steps=2)
    first = run(job, config, seed=1)
    torch.rand(3)
    same_weights(first.model, run(job, config, seed=1).model)
    assert run(job, config, seed=2).history != first.history


def test_prediction_is_of_whole_volumes_and_does_not_train(job, same_weights):
    """Trained on boxes, it predicts every voxel, whatever the batch, and changes nothing."""
    done = run(job, SegmentationConfig(steps=2, crop=(4, 8, 8)))
    before = copy.deepcopy(done.model.train())
    masks = done.predict(job[0])
    same_weights(done.model, before)
    assert masks.shape == job[0].shape
    assert masks.dtype == np.uint8
    assert np.array_equal(masks, done.predict(job[0], batch_size=1))


def test_checkpoints_of_another_run_and_damaged_ones_are_refused(job, tmp_path):
    """Another seed, another mask and a truncated file each have their error."""
    path, config = tmp_path / "run.pt", SegmentationConfig(steps=20)
    run(job, config, checkpoint=path)
    other = (job[0], np.roll(job[1], 1, 1), *job[2:])
    for arguments, seed in ((job, 1), (other, 0)):
        with pytest.raises(UsageError, match=r"run\.pt: this checkpoint belongs to another run"):
            run(arguments, config, seed=seed, checkpoint=path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"run\.pt: not a readable checkpoint"):
        run(job, config, checkpoint=path)


def test_a_diverging_run_is_an_error_that_names_the_remedy(job):
    """A loss that is not finite ends the run."""
    with pytest.raises(RunError, match=r"segment: .* not finite .*Lower learning_rate"):
        run(job, SegmentationConfig(steps=20, learning_rate=1e30))


def test_wrong_arguments_are_refused(job):
    """Shapes, types, classes and boxes that do not fit each have their error."""
    volumes, masks, _, *others = job
    config = SegmentationConfig(steps=1)
    for given, message in (
        ((volumes[:3], masks, 3), "shapes must agree"),
        ((volumes[:0], masks[:0], 3), "with n >= 1"),
        ((volumes[0], masks[0], 3), r"volumes must be uint8 \[n, depth, height, width\], got uint8"),
        ((volumes / 255, masks, 3), "got float64"),
        ((volumes, masks, 2), r"masks hold 0..2, expected 0..1"),
    ):
        with pytest.raises(UsageError, match=message):
            run((*given, *others), config)
    with pytest.raises(UsageError, match=r"crop \(4, 20, 4\) is larger than a volume"):
        run(job, SegmentationConfig(crop=(4, 20, 4)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"steps": 0}, "batch_size and steps must be at least 1"),
        ({"batch_size": 0}, "batch_size and steps must be at least 1"),
        ({"crop": (4, 4)}, "crop must be three positive sides"),
        ({"crop": [4, 4, 4]}, "crop must be three positive sides"),
        ({"crop": (4, 4, 0)}, "crop must be three positive sides"),
    ],
)
def test_impossible_configurations_are_refused(fields, message):
    """Each field says what it must be; an unknown one raises."""
    with pytest.raises(UsageError, match=message):
        SegmentationConfig(**fields)
    with pytest.raises(TypeError, match="dropout"):
        SegmentationConfig(dropout=0.5)
