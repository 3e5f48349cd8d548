"""Scores of segmentation, case by case and class by class, and the paired comparison of two models.

Masks are arrays [n, depth, height, width] (or [n, height, width]) of class indices, 0 for the background,
which is not scored.
"""

import warnings

import numpy as np

from medssl.errors import UsageError
from medssl.evaluation.bootstrap import PairedGain, _weights

__all__ = ["dice", "paired_dice_gain", "segmentation_scores", "surface_distances"]


def dice(masks: np.ndarray, predictions: np.ndarray, classes: int) -> np.ndarray:
    """Return the Dice coefficient of each case and foreground class: 2 |A and B| / (|A| + |B|).

    Parameters
    ----------
    masks, predictions : ndarray of int
        The truth and a model's masks, of one shape.
    classes : int
        Number of classes, the background included.

    Returns
    -------
    ndarray
        Shape [n, classes - 1], on the 0..1 scale; 1 where neither has a voxel of the class.

    Raises
    ------
    UsageError
        Shapes differ, or a class is outside 0..classes-1.

    References
    ----------
    Dice (1945), "Measures of the amount of ecologic association between species".

    Examples
    --------
    >>> dice(np.array([[[0, 1], [1, 1]]]), np.array([[[0, 0], [1, 1]]]), 2)
    array([[0.8]])
    """
    _check(masks, predictions, classes)
    columns = []
    for label in range(1, classes):
        truth, found = (array.reshape(len(array), -1) == label for array in (masks, predictions))
        total = truth.sum(1) + found.sum(1)
        columns.append(np.where(total == 0, 1.0, 2 * (truth & found).sum(1) / np.maximum(total, 1)))
    return np.stack(columns, 1)


def surface_distances(
    masks: np.ndarray, predictions: np.ndarray, classes: int, spacing: float | tuple[float, ...] = 1.0
) -> tuple[np.ndarray, np.ndarray]:
    """Return the average symmetric surface distance and the 95th percentile of the Hausdorff distance.

    Parameters
    ----------
    masks, predictions, classes
        As in `dice`.
    spacing : float or tuple of float
        Distance of neighbouring voxels, for each axis or for all, in millimetres.

    Returns
    -------
    average, hausdorff_95 : ndarray
        Shape [n, classes - 1], in millimetres, by MONAI.
        Both are 0 where neither has a voxel of the class.
        Where only one of the two has none, there is no surface to measure to: both are then the diagonal
        of the image, which no distance inside it exceeds, so that a structure that was missed counts as
        badly as possible and never as a missing value.

    Raises
    ------
    UsageError
        As `dice`, or a spacing that does not fit.

    Examples
    --------
    >>> truth, found = np.zeros((2, 1, 8, 8), int)
    >>> truth[0, 2:4, 2:4], found[0, 2:4, 3:5] = 1, 1
    >>> [part.round(2).tolist() for part in surface_distances(truth, found, 2)]
    [[[0.5]], [[1.0]]]
    """
    _check(masks, predictions, classes)
    sides = np.array(masks.shape[1:])
    spacing = np.broadcast_to(np.asarray(spacing, float), sides.shape) if np.ndim(spacing) == 0 else spacing
    if len(spacing) != len(sides) or min(spacing) <= 0:
        raise UsageError(f"spacing must be {len(sides)} positive distances or one, got {spacing}.")
    spacing = [float(step) for step in spacing]
    diagonal = float(np.linalg.norm(sides * spacing))
    found = np.array(
        [
            [_distances(truth == label, guess == label, spacing, diagonal) for label in range(1, classes)]
            for truth, guess in zip(masks, predictions, strict=True)
        ]
    )  # [n, classes - 1, 2]
    return found[..., 0], found[..., 1]


def _distances(truth, guess, spacing, diagonal) -> tuple[float, float]:
    if not (truth.any() or guess.any()):
        return 0.0, 0.0
    if not (truth.any() and guess.any()):
        return diagonal, diagonal
    import torch  # with MONAI seconds to import: only those who measure surfaces should wait
    from monai.metrics import compute_average_surface_distance, compute_hausdorff_distance

    pair = [torch.from_numpy(array)[None, None] for array in (guess, truth)]  # [1, 1, *sides]
    options = {"include_background": True, "spacing": spacing}  # the class is the only channel
    with warnings.catch_warnings():  # MONAI calls itself in a way that it has deprecated
        warnings.filterwarnings("ignore", message=".*always_return_as_numpy", category=FutureWarning)
        average = compute_average_surface_distance(*pair, symmetric=True, **options)
        return average.item(), compute_hausdorff_distance(*pair, percentile=95, **options).item()


def segmentation_scores(
    masks: np.ndarray, predictions: np.ndarray, classes: int, spacing: float | tuple[float, ...] = 1.0
) -> dict[str, float]:
    """Return the means over classes, then cases, of Dice and both surface distances.

    Parameters and errors are those of `surface_distances`.

    Returns
    -------
    dict
        ``dice`` (0..1), ``surface_distance`` and ``hausdorff_95`` (millimetres), and ``missed``: the share
        of structures that are in the truth and of which the prediction has no voxel.

    Examples
    --------
    >>> truth = np.zeros((1, 4, 4), int)
    >>> truth[0, 1:3, 1:3] = 1
    >>> segmentation_scores(truth, truth, 2)
    {'dice': 1.0, 'surface_distance': 0.0, 'hausdorff_95': 0.0, 'missed': 0.0}
    """
    average, hausdorff = surface_distances(masks, predictions, classes, spacing)
    present, found = (
        np.stack([(array.reshape(len(array), -1) == label).any(1) for label in range(1, classes)], 1)
        for array in (masks, predictions)
    )
    return {
        "dice": float(dice(masks, predictions, classes).mean()),
        "surface_distance": float(average.mean()),
        "hausdorff_95": float(hausdorff.mean()),
        "missed": float((present & ~found).sum() / max(present.sum(), 1)),
    }


def paired_dice_gain(
    first: np.ndarray,
    comparator: np.ndarray,
    *,
    repeats: int = 2000,
    seed: int = 0,
    groups: np.ndarray | None = None,
    level: float = 0.95,
) -> PairedGain:
    """Return the mean difference in Dice of two models on the same cases, with its bootstrap interval.

    Parameters
    ----------
    first, comparator : ndarray
        Dice of each case and class, as `dice` returns it: shape [n, classes - 1], or [n].
    repeats, seed : int
    groups : ndarray, optional
        Patient of each case: patients are resampled, all their cases together.
    level : float
        Coverage of the percentile interval.

    Notes
    -----
    As `medssl.evaluation.paired_bootstrap`: the interval covers the sampling of test cases only.

    Raises
    ------
    UsageError
        Shapes differ, there are fewer than two cases, or a value is not finite.

    Examples
    --------
    >>> gain = paired_dice_gain(np.array([0.8, 0.9, 0.7]), np.array([0.7, 0.8, 0.6]), repeats=20)
    >>> round(gain.value, 6), round(gain.standard_error, 6)
    (0.1, 0.0)
    """
    if first.shape != comparator.shape or len(first) < 2:
        raise UsageError(f"Dice of {first.shape} and {comparator.shape} cannot be compared case by case.")
    difference = (first - comparator).reshape(len(first), -1).mean(1)  # [n]
    if not np.isfinite(difference).all():
        raise UsageError("the Dice of a case is not finite: leave the case out of both models.")
    same = np.zeros(len(first))  # cases have no class: all are resampled together
    blocks = _weights(same, groups, repeats, np.random.default_rng(seed))
    draws = np.concatenate([weights @ difference / weights.sum(1) for weights in blocks])
    low, high = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2])
    return PairedGain(float(difference.mean()), float(draws.std(ddof=1)), float(low), float(high), len(draws))


def _check(masks, predictions, classes):
    if masks.shape != predictions.shape or masks.ndim < 3 or len(masks) == 0:
        raise UsageError(f"masks {masks.shape} and predictions {predictions.shape} do not fit.")
    for name, array in (("masks", masks), ("predictions", predictions)):
        if array.min() < 0 or array.max() >= classes:
            raise UsageError(f"{name} hold {array.min()}..{array.max()}, expected 0..{classes - 1}.")
