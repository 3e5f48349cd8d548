"""Cells of volumes with masks: which volumes are labelled, and how an arm is trained and scored."""

import numpy as np
import torch

from medssl.data._dataset import ImageDataset
from medssl.errors import UsageError
from medssl.evaluation.segmentation import dice, segmentation_scores
from medssl.experiments.cell import Cell
from medssl.training.segmentation import segment
from medssl.training.tensors import Standardisation

__all__ = ["AT_ONCE", "nested_rows", "train_and_score", "volumes_with"]

AT_ONCE = 8  # volumes through an encoder without gradients


def nested_rows(total: int, n: int, seed: int) -> np.ndarray:
    """Return the rows of n labelled volumes: a larger n of the same seed contains a smaller one.

    Every volume holds every structure, so there is nothing to stratify by.

    Raises
    ------
    UsageError
        n is not between 1 and all volumes.

    Examples
    --------
    >>> set(nested_rows(10, 3, 1)) <= set(nested_rows(10, 5, 1))
    True
    """
    if not 1 <= n <= total:
        raise UsageError(f"the number of labelled volumes must lie in 1..{total}, got {n}.")
    return np.random.default_rng([seed, 3]).permutation(total)[:n]


def train_and_score(
    cell: Cell, train: ImageDataset, rows: np.ndarray, test: ImageDataset, encoder: torch.nn.Module,
    standardisation: Standardisation, device: str | None = None,
) -> tuple[np.ndarray, dict]:  # fmt: skip
    """Train a segmentation on some volumes and score the test volumes once.

    Parameters
    ----------
    cell : Cell
        With a `SegmentationConfig`.
    train, test : ImageDataset
        Volumes and masks.
    rows : ndarray of int
        Labelled volumes of `train`.
    encoder, standardisation, device
        As in `medssl.training.segmentation.segment`.

    Returns
    -------
    cases : ndarray
        Dice of each test volume and structure, shape [n, classes - 1].
    about : dict
        The facts of training, and the `scores`.
    """
    classes = len(train.classes)
    done = segment(
        train.images[rows], train.labels[rows], classes, encoder, standardisation, cell.transfer,
        seed=cell.seed, device=device,
    )  # fmt: skip
    found = done.predict(test.images)
    about = {
        "learning_rate": cell.transfer.learning_rate, "held_out_log_loss": {}, "minutes": done.minutes,
        "steps": len(done.history), "final_training_loss": float(np.mean(done.history[-10:])),
        "threads": torch.get_num_threads(), "scores": segmentation_scores(test.labels, found, classes),
    }  # fmt: skip
    return dice(test.labels, found, classes), about


def volumes_with(masks: np.ndarray, classes: int) -> list[int]:
    """Return in how many volumes each class occurs.

    Examples
    --------
    >>> volumes_with(np.array([[[0, 1]], [[0, 0]]]), 3)
    [2, 1, 0]
    """
    flat = masks.reshape(len(masks), -1)
    return [int((flat == label).any(1).sum()) for label in range(classes)]
