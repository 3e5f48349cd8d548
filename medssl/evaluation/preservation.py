"""Label preservation: whether a classifier still tells the classes apart after augmentation.

A view that hides the lesion has lost its label, and no method can learn it from there.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd
import torch

from medssl.augmentation import Policy, augment, policy_for
from medssl.errors import UsageError
from medssl.evaluation.bootstrap import paired_bootstrap

__all__ = ["PLAIN", "label_preservation", "random_views"]

PLAIN = "plain"


def label_preservation(
    model: Callable[[np.ndarray], np.ndarray],
    images: np.ndarray,
    labels: np.ndarray,
    modality: str,
    *,
    policies: Mapping[str, Policy] | None = None,
    groups: np.ndarray | None = None,
    views: int = 2,
    repeats: int = 400,
    seed: int = 0,
) -> pd.DataFrame:
    """Score a trained classifier on test images as they are and on random views of them.

    Parameters
    ----------
    model : callable
        Maps uint8 images to class probabilities [n, classes], such as `medssl.training.Transferred.predict`.
    images : ndarray of uint8
        Test images, shape [n, height, width].
    labels : ndarray of int
        Shape [n].
    modality : str
        Chooses the two policies where `policies` names none.
    policies : mapping of str to Policy, optional
        Policies by name; by default "fine_tune" and "pretrain" of the modality.
    groups : ndarray, optional
        Patient of each image; an image by itself without it.
    views : int
        Random views of each image.
    repeats, seed : int
        Of the bootstrap, and of both the views and the bootstrap.

    Returns
    -------
    DataFrame
        One row for the images as they are (policy "plain") and one for each policy: `policy`, `auc` with
        `auc_low` and `auc_high`, `change` (AUC of the views minus that of the images) with `change_low` and
        `change_high`.

    Raises
    ------
    UsageError
        Fewer than one view.

    Notes
    -----
    Intervals are percentile intervals over resampled patients or images, all their views together; images
    and views are paired.
    A fall has two causes that this check does not part: the view may have lost the label, or the classifier
    may not know such views. The views on which it was trained are the fine-tuning ones.

    Examples
    --------
    >>> images = np.repeat(np.uint8([40, 60, 180, 200]), 64).reshape(4, 8, 8)
    >>> bright = lambda x: np.stack([1 - x.mean((1, 2)) / 255, x.mean((1, 2)) / 255], 1)
    >>> found = label_preservation(bright, images, np.array([0, 0, 1, 1]), "ct", repeats=20)
    >>> found[["policy", "auc"]].values.tolist()
    [['plain', 1.0], ['fine_tune', 1.0], ['pretrain', 1.0]]
    """
    if views < 1:
        raise UsageError(f"views must be at least 1, got {views}.")
    if policies is None:
        policies = {purpose: policy_for(modality, purpose) for purpose in ("fine_tune", "pretrain")}
    groups = np.arange(len(images)) if groups is None else groups
    cases = np.tile(labels, views), np.tile(groups, views)
    plain = np.tile(model(images), (views, 1))
    options = {"repeats": repeats, "seed": seed}
    rows = [_row(PLAIN, *cases, plain, plain, options)]
    for name, policy in policies.items():
        shown = model(random_views(images, policy, views, seed))
        rows.append(_row(name, *cases, shown, plain, options))
    return pd.DataFrame(rows)


def random_views(images: np.ndarray, policy: Policy, views: int, seed: int) -> np.ndarray:
    """Return random views of uint8 images as uint8, shape [views * n, height, width], one pass after another.

    Examples
    --------
    >>> random_views(np.zeros((2, 8, 8), np.uint8), Policy(noise=0.1), 3, 0).shape
    (6, 8, 8)
    """
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.from_numpy(np.tile(images, (views, 1, 1)))[:, None] / 255  # [views * n, 1, height, width]
    return (augment(pixels, policy, generator)[:, 0] * 255).round().to(torch.uint8).numpy()


def _row(name, labels, groups, shown, plain, options):
    """Compare with a coin, whose AUC is 1/2 in every resample, and with the images as they are."""
    coin = np.full_like(plain, 1 / plain.shape[1])
    alone = paired_bootstrap(labels, shown, coin, groups=groups, **options)
    change = paired_bootstrap(labels, shown, plain, groups=groups, **options)
    return {
        "policy": name,
        "auc": 0.5 + alone.value, "auc_low": 0.5 + alone.ci_low, "auc_high": 0.5 + alone.ci_high,
        "change": change.value, "change_low": change.ci_low, "change_high": change.ci_high,
    }  # fmt: skip
