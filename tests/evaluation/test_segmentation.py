"""Dice and surface distances in closed form and against MONAI, and their paired bootstrap."""

import numpy as np
import pytest
import torch

from medssl.errors import UsageError
from medssl.evaluation.segmentation import dice, paired_dice_gain, segmentation_scores, surface_distances


def masks(n=3, seed=0, shape=(6, 7, 8)):
    """Random masks of three classes."""
    return np.random.default_rng(seed).integers(0, 3, (n, *shape))


def cubes(offset=0, side=4):
    """One volume of 12 voxels a side with a cube."""
    volume = np.zeros((1, 12, 12, 12), int)
    volume[0, 3 : 3 + side, 3 : 3 + side, 3 + offset : 3 + offset + side] = 1
    return volume


def test_dice_in_closed_form():
    """A cube of side 4 moved by k voxels shares (4 - k) / 4 of itself."""
    for offset, expected in ((0, 1), (1, 0.75), (2, 0.5), (4, 0)):
        assert dice(cubes(), cubes(offset), 2) == pytest.approx(expected)


def test_dice_is_that_of_monai():
    """For each case and foreground class it is the reference's."""
    from monai.metrics import compute_dice

    truth, found = masks(), masks(seed=1)
    one_hot = [torch.eye(3)[torch.as_tensor(array)].movedim(-1, 1) for array in (found, truth)]
    expected = compute_dice(*one_hot, include_background=False).numpy()
    assert dice(truth, found, 3) == pytest.approx(expected)


def test_dice_of_empty_structures():
    """Absent in both is perfect, absent in one is 0."""
    empty = np.zeros_like(cubes())
    assert dice(empty, empty, 2) == 1
    assert dice(cubes(), empty, 2) == 0
    assert dice(empty, cubes(), 2) == 0


def test_dice_works_on_images_and_is_symmetric():
    """Two dimensions do as three, and neither array is special."""
    truth, found = masks(shape=(6, 7)), masks(seed=1, shape=(6, 7))
    assert dice(truth, found, 3).shape == (3, 2)
    assert np.array_equal(dice(truth, found, 3), dice(found, truth, 3))


def loop_distances(truth, found, spacing):
    """Distances of every surface voxel of one mask to the nearest of the other, in both directions."""
    from scipy.ndimage import binary_erosion

    places = [np.argwhere(m & ~binary_erosion(m)) * spacing for m in (truth, found)]
    ways = []
    for a, b in (places, places[::-1]):
        ways.append([min(np.linalg.norm(x - y) for y in b) for x in a])
    return np.mean(ways[0] + ways[1]), max(np.percentile(way, 95) for way in ways)


@pytest.mark.parametrize("spacing", [1.0, (1.0, 0.5, 2.0)])
def test_surface_distances_are_a_loop_over_surface_voxels(spacing):
    """Mean of both directions together, and the larger 95th percentile, in millimetres."""
    truth, found = cubes(), cubes(offset=2, side=3)
    average, hausdorff = surface_distances(truth, found, 2, spacing)
    expected = loop_distances(truth[0] == 1, found[0] == 1, np.broadcast_to(spacing, 3))
    assert (average.item(), hausdorff.item()) == pytest.approx(expected, rel=1e-5)


def test_a_missed_structure_is_the_diagonal_away():
    """Absent in one is the diagonal in millimetres, absent in both is 0, and nothing is NaN."""
    empty, diagonal = np.zeros_like(cubes()), 12 * np.sqrt(1 + 1 + 4)
    for truth, found, expected in ((cubes(), empty, diagonal), (empty, cubes(), diagonal), (empty, empty, 0)):
        for distance in surface_distances(truth, found, 2, (1, 1, 2)):
            assert distance == pytest.approx(expected)


def test_scores_are_means_and_count_what_was_missed():
    """Of three structures one is missed; absent and not predicted is neither missed nor wrong."""
    truth = np.concatenate([cubes(), 2 * cubes(), np.zeros_like(cubes())])
    truth[2, 0, 0, 0] = 1
    found = truth.copy()
    found[0] = 0
    scores = segmentation_scores(truth, found, 3)
    assert scores["dice"] == pytest.approx(5 / 6)
    assert scores["surface_distance"] == pytest.approx(12 * 3**0.5 / 6)
    assert scores["hausdorff_95"] == pytest.approx(12 * 3**0.5 / 6)
    assert scores["missed"] == pytest.approx(1 / 3)


def values(n=40, seed=0):
    """Dice of two models on the same cases and two classes."""
    random = np.random.default_rng(seed)
    hard = random.normal(scale=0.1, size=(n, 1))
    return tuple(0.7 + shift + hard + random.normal(scale=0.03, size=(n, 2)) for shift in (0.02, 0.0))


def test_the_gain_is_the_mean_difference_with_the_error_of_the_mean():
    """Over resampled cases the error is that of a mean of differences, within its own chance."""
    first, second = values()
    gain = paired_dice_gain(first, second, repeats=4000)
    difference = (first - second).mean(1)
    assert gain.value == pytest.approx(difference.mean())
    assert gain.standard_error == pytest.approx(difference.std() / np.sqrt(40), rel=0.05)
    assert gain.ci_low < gain.value < gain.ci_high
    assert gain.repeats == 4000


def test_the_models_are_paired():
    """Cases that are hard for both do not widen the interval, and equal models have none."""
    first, second = values()
    assert paired_dice_gain(first, second).standard_error < 0.5 * np.std(first.mean(1)) / np.sqrt(40)
    same = paired_dice_gain(first, first)
    assert (same.value, same.standard_error, same.ci_low, same.ci_high) == (0, 0, 0, 0)


def test_exchanging_the_models_changes_the_sign():
    """Gain and interval are mirrored."""
    there, back = (paired_dice_gain(*pair, repeats=300) for pair in (values(), values()[::-1]))
    assert (back.value, back.ci_low, back.ci_high) == pytest.approx(
        (-there.value, -there.ci_high, -there.ci_low)
    )


def test_two_sides_of_one_patient_are_resampled_together():
    """With each case there twice, the patient's interval is that of single cases, not a narrower one."""
    first, second = values()
    twice = [np.repeat(array, 2, 0) for array in (first, second)]
    alone = paired_dice_gain(first, second, repeats=3000).standard_error
    patients = paired_dice_gain(*twice, repeats=3000, groups=np.repeat(np.arange(40), 2)).standard_error
    naive = paired_dice_gain(*twice, repeats=3000).standard_error
    assert patients == pytest.approx(alone, rel=0.1)
    assert naive == pytest.approx(alone / 2**0.5, rel=0.1)


def test_what_cannot_be_scored_is_refused():
    """Shapes, classes, spacings and numbers that do not fit are usage errors."""
    with pytest.raises(UsageError, match="do not fit"):
        dice(masks(3), masks(2), 3)
    with pytest.raises(UsageError, match=r"predictions hold 0..2, expected 0..1"):
        dice(masks().clip(max=1), masks(), 2)
    with pytest.raises(UsageError, match="spacing must be 3 positive distances or one"):
        surface_distances(masks(), masks(), 3, (1.0, 1.0))
    with pytest.raises(UsageError, match="spacing must be 3 positive distances or one"):
        surface_distances(masks(), masks(), 3, 0.0)
    with pytest.raises(UsageError, match="cannot be compared case by case"):
        paired_dice_gain(np.ones((3, 2)), np.ones((4, 2)))
    with pytest.raises(UsageError, match="cannot be compared case by case"):
        paired_dice_gain(np.ones(1), np.ones(1))
    with pytest.raises(UsageError, match="not finite"):
        paired_dice_gain(np.array([1.0, np.nan]), np.ones(2))
