"""Positives from metadata: another image of the same patient, a neighbouring slice, a near frame.

Azizi et al. (2021), "Big self-supervised models advance medical image classification", take different
images of one patient for the two views; neighbouring slices and frames follow the same thought.
With a partner the two views of a pair come from two images; an image without one is its own partner.
"""

import inspect
from dataclasses import dataclass, fields

import numpy as np
import torch

from medssl.errors import UsageError
from medssl.training.tensors import fingerprint

__all__ = ["Partners", "adjacent_slices", "check_arguments", "nearby_frames", "same_patient", "to_covariate"]


@dataclass(frozen=True)
class Partners:
    """Who may be the partner of each row: a stretch of one order of all rows.

    Made by `same_patient`, `adjacent_slices` or `nearby_frames`.

    Parameters
    ----------
    order : Tensor of int64
        Rows sorted so that the candidates of a row stand together, shape [n].
    place : Tensor of int64
        Where each row stands in `order`, shape [n].
    low, high : Tensor of int64
        First place of a row's candidates and the one after the last, shape [n]; the row itself is inside.
    """

    order: torch.Tensor
    place: torch.Tensor
    low: torch.Tensor
    high: torch.Tensor

    def __len__(self) -> int:
        return len(self.order)

    def to(self, device: torch.device | str) -> "Partners":
        """Return the same partners on another device."""
        return Partners(*(getattr(self, field.name).to(device) for field in fields(self)))

    def fingerprint(self) -> int:
        """Return a checksum: a checkpoint must not continue with other partners."""
        return fingerprint(*(getattr(self, field.name).cpu().numpy() for field in fields(self)))

    def draw(self, rows: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        """Draw one partner for each row, each candidate equally likely.

        Parameters
        ----------
        rows : Tensor of int64
            Shape [batch], on the device of the partners.
        generator : torch.Generator
            On the same device; one number a row is drawn, whether it has candidates or not.

        Returns
        -------
        Tensor of int64
            Rows, shape [batch]; a row without candidates is its own partner.
        """
        low, place = self.low[rows], self.place[rows]
        others = self.high[rows] - low - 1  # [batch]
        unit = torch.rand(len(rows), generator=generator, device=rows.device, dtype=torch.float64)
        chosen = low + (unit * others).long()
        chosen = chosen + (chosen >= place)  # steps over the row itself
        return self.order[torch.where(others > 0, chosen, place)]


def same_patient(groups: np.ndarray) -> Partners:
    """Let any other image of the same patient be a partner.

    Parameters
    ----------
    groups : ndarray
        Patient (or other unit) of each image, shape [n].

    Returns
    -------
    Partners

    Raises
    ------
    UsageError
        There are no groups.

    Examples
    --------
    >>> partners = same_patient(np.array(["a", "b", "a"]))
    >>> partners.draw(torch.tensor([0, 1, 2]), torch.Generator()).tolist()
    [2, 1, 0]
    """
    return _within(groups, np.zeros(len(_groups(groups))), 0)


def adjacent_slices(groups: np.ndarray, positions: np.ndarray, distance: int = 1) -> Partners:
    """Let slices of the same volume at most `distance` slices away be partners.

    Parameters
    ----------
    groups : ndarray
        Volume of each slice, shape [n].
    positions : ndarray of int
        Number of each slice in its volume, shape [n].
    distance : int
        At least 1.

    Returns
    -------
    Partners

    Raises
    ------
    UsageError
        Shapes differ, positions are not whole numbers, or the distance is below 1.

    Examples
    --------
    >>> partners = adjacent_slices(np.array([0, 0, 0, 1]), np.array([4, 9, 5, 5]))
    >>> partners.draw(torch.arange(4), torch.Generator()).tolist()
    [2, 1, 0, 3]
    """
    if not np.issubdtype(np.asarray(positions).dtype, np.integer):
        raise UsageError("adjacent_slices: positions must be whole numbers; see nearby_frames for seconds.")
    if distance < 1:
        raise UsageError(f"adjacent_slices: distance must be at least 1 slice, got {distance}.")
    return _within(groups, positions, distance)


def nearby_frames(groups: np.ndarray, positions: np.ndarray, within: float) -> Partners:
    """Let frames of the same clip at most `within` away be partners.

    Parameters
    ----------
    groups : ndarray
        Clip of each frame, shape [n].
    positions : ndarray
        Time of each frame in seconds, or its number, shape [n].
    within : float
        Largest distance, in the unit of `positions`; above 0.

    Returns
    -------
    Partners

    Raises
    ------
    UsageError
        Shapes differ, positions are not finite, or the distance is not above 0.

    Examples
    --------
    >>> partners = nearby_frames(np.zeros(3), np.array([0.0, 0.5, 2.0]), within=1.0)
    >>> partners.draw(torch.arange(3), torch.Generator()).tolist()
    [1, 0, 2]
    """
    if not within > 0:
        raise UsageError(f"nearby_frames: within must be above 0, got {within}.")
    return _within(groups, positions, within)


def _groups(groups):
    if groups is None or np.ndim(groups) != 1 or len(groups) == 0:
        raise UsageError("partners need the group of each image, shape [n]; these data name none.")
    return np.asarray(groups)


def _within(groups, positions, distance):
    groups, positions = _groups(groups), np.asarray(positions)
    if positions.shape != groups.shape or not np.isfinite(positions).all():
        raise UsageError(f"positions must be {len(groups)} finite numbers, one for each image.")
    codes = np.unique(groups, return_inverse=True)[1]
    values, ranks = np.unique(positions, return_inverse=True)
    # group and position as one whole number: a search in it is exact and never leaves the group
    base = codes * (len(values) + 1)
    order = np.argsort(base + ranks, kind="stable")
    keys = (base + ranks)[order]
    first = base + np.searchsorted(values, positions - distance, "left")
    after = base + np.searchsorted(values, positions + distance, "right")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    bounds = (np.searchsorted(keys, first), np.searchsorted(keys, after))
    return Partners(*(torch.from_numpy(array.astype(np.int64)) for array in (order, place, *bounds)))


def to_covariate(values, images: int) -> torch.Tensor:
    """Return a covariate as float32 [n], or raise `UsageError` when it is not one finite number an image."""
    values = np.asarray(values)
    if values.shape != (images,) or values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise UsageError(f"covariate must be {images} finite numbers, one for each image.")
    return torch.from_numpy(values.astype(np.float32))


def check_arguments(name: str, method, partners: Partners | None, covariate, images: int) -> None:
    """Raise `UsageError` when a method cannot take what is given, or lacks what it needs.

    Parameters
    ----------
    name : str
        The method's key, for the text.
    method : type or object
        Its `loss` may have the arguments `partner` and `covariate`; its `needs` names those it cannot miss.
    partners, covariate
        What the loop was given; None where nothing.
    images : int
        Size of the pool.
    """
    given = {"partner": ("partners", partners), "covariate": ("covariate", covariate)}
    accepted = inspect.signature(method.loss).parameters
    for argument, (word, value) in given.items():
        if value is not None and argument not in accepted:
            raise UsageError(f"{name} takes no {word}: leave {word} out or choose a method that uses it.")
        if value is None and argument in getattr(method, "needs", ()):
            raise UsageError(f"{name} needs {word}: give pretrain {word}=..., one for each image.")
    if partners is not None and len(partners) != images:
        raise UsageError(f"partners are of {len(partners)} images, the pool has {images}.")
