"""Mild views of volumes with their masks: the label of every voxel moves with it."""

import math

import torch
from torch.nn import functional

__all__ = ["mild_view", "random_crop", "resample"]

ROTATION, SCALE, SHIFT = math.radians(10), 0.1, 0.05  # about each axis; of the size; of each side
CONTRAST, BRIGHTNESS = 0.1, 0.05


def mild_view(
    volumes: torch.Tensor, masks: torch.Tensor, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Rotate, scale and shift each volume with its mask, and change contrast and brightness of the volume.

    Nothing is flipped: where anterior and posterior are classes, a mirror image has no right labels.

    Parameters
    ----------
    volumes : Tensor
        Values in 0..1, shape [batch, 1, depth, height, width].
    masks : Tensor of int
        Shape [batch, depth, height, width].
    generator : torch.Generator
        On the device of the volumes.

    Returns
    -------
    volumes, masks : Tensor
        Same shapes; what comes from outside the volume is 0 in both.

    Examples
    --------
    >>> volumes, masks = torch.rand(2, 1, 6, 8, 6), torch.zeros(2, 6, 8, 6, dtype=torch.long)
    >>> [tuple(part.shape) for part in mild_view(volumes, masks, torch.Generator().manual_seed(0))]
    [(2, 1, 6, 8, 6), (2, 6, 8, 6)]
    """
    drawn = torch.rand(len(volumes), 9, generator=generator, device=volumes.device) * 2 - 1  # -1..1
    linear = _rotations(ROTATION * drawn[:, :3]) * (1 + SCALE * drawn[:, 3])[:, None, None]
    volumes, masks = resample(volumes, masks, linear, 2 * SHIFT * drawn[:, 4:7])
    contrast, brightness = (1 + CONTRAST * drawn[:, 7]), BRIGHTNESS * drawn[:, 8]
    mean = volumes.mean((1, 2, 3, 4), keepdim=True)
    volumes = (volumes - mean) * contrast.view(-1, 1, 1, 1, 1) + mean + brightness.view(-1, 1, 1, 1, 1)
    return volumes.clamp(0, 1), masks


def _rotations(angles: torch.Tensor) -> torch.Tensor:
    """Return rotations about three axes, one after the other: angles [batch, 3] to [batch, 3, 3]."""
    total = torch.eye(3, device=angles.device).expand(len(angles), 3, 3)
    for axis, (first, second) in enumerate(((1, 2), (0, 2), (0, 1))):
        turn = torch.eye(3, device=angles.device).repeat(len(angles), 1, 1)
        cosine, sine = angles[:, axis].cos(), angles[:, axis].sin()
        turn[:, first, first], turn[:, second, second] = cosine, cosine
        turn[:, first, second], turn[:, second, first] = -sine, sine
        total = total @ turn
    return total


def resample(
    volumes: torch.Tensor, masks: torch.Tensor, linear: torch.Tensor, shift: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Sample volumes linearly and masks at the nearest voxel, on one and the same grid.

    Parameters
    ----------
    volumes, masks : Tensor
        As in `mild_view`.
    linear : Tensor
        Maps a place of the result, in voxels from the middle, to one of the source; the axes are width,
        height, depth. Shape [batch, 3, 3].
    shift : Tensor
        Added to that, in halves of a side. Shape [batch, 3].

    Examples
    --------
    >>> volumes, masks = torch.rand(1, 1, 2, 2, 4), torch.tensor([[[[0, 1, 2, 3]] * 2] * 2])
    >>> moved = resample(volumes, masks, torch.eye(3)[None], torch.tensor([[0.5, 0.0, 0.0]]))
    >>> moved[1][0, 0, 0].tolist()  # one voxel is a quarter of the side
    [1, 2, 3, 0]
    """
    sides = torch.tensor(volumes.shape[:1:-1], dtype=volumes.dtype, device=volumes.device)
    linear = linear * (sides[None, :] / sides[:, None])  # the grid counts in halves of a side, not in voxels
    matrix = torch.cat([linear, shift[..., None]], 2)  # [batch, 3, 4]
    grid = functional.affine_grid(matrix, list(volumes.shape), align_corners=False)
    labels = masks[:, None].to(volumes.dtype)
    moved = functional.grid_sample(volumes, grid, mode="bilinear", align_corners=False)
    labels = functional.grid_sample(labels, grid, mode="nearest", align_corners=False)
    return moved, labels[:, 0].to(masks.dtype)


def random_crop(
    volumes: torch.Tensor, masks: torch.Tensor, crop: tuple[int, int, int], generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Cut the same random box out of each volume and its mask; shapes as in `mild_view`, sides `crop`.

    Examples
    --------
    >>> volumes, masks = torch.rand(2, 1, 6, 8, 6), torch.zeros(2, 6, 8, 6, dtype=torch.long)
    >>> random_crop(volumes, masks, (4, 4, 6), torch.Generator().manual_seed(0))[0].shape
    torch.Size([2, 1, 4, 4, 6])
    """
    room = torch.tensor(masks.shape[1:], device=volumes.device) - torch.tensor(crop, device=volumes.device)
    drawn = torch.rand(len(volumes), 3, generator=generator, device=volumes.device)
    starts = (drawn * (room + 1)).long().clamp(max=room)  # [batch, 3]; single precision may round up to 1
    boxes = [
        tuple(slice(a, a + side) for a, side in zip(start, crop, strict=True)) for start in starts.tolist()
    ]
    cut = [volume[:, *box] for volume, box in zip(volumes, boxes, strict=True)]
    return torch.stack(cut), torch.stack([mask[box] for mask, box in zip(masks, boxes, strict=True)])
