"""Random transforms of a batch of volumes, each with its own parameters, by the policies of images.

Geometry (crop, rotation, tilt, flip, shift) is one affine resampling; intensity works on values in 0..1.
Rotation is in the plane of the slice, because that is how a patient lies differently from another; the two
tilts out of that plane are smaller, because the scanner's table and the planning of the slices limit them.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from medssl.errors import UsageError

if TYPE_CHECKING:  # the policy's file imports this one
    from medssl.augmentation._batched import Policy

__all__ = ["TILT", "augment_volume", "random_crops"]

TILT = 1 / 3  # largest tilt out of the plane of the slice, as a fraction of the largest rotation in it

_GEOMETRY = ("rotation_degrees", "horizontal_flip", "shift")  # without these and a crop nothing is sampled
_OTHERS = {
    "crop_scale", "keep_top", "contrast", "brightness", "gamma", "bias_field", "depth_gain", "shadow",
    "speckle", "noise", "rician", "blur", "ghosting",
}  # fmt: skip


def augment_volume(volumes: torch.Tensor, policy: Policy, generator: torch.Generator) -> torch.Tensor:
    """Return one random view of each volume.

    A field of the policy means what it means for images: the crop is a box with one scale for all sides, the
    shift acts along all axes, the flip is left-right, the blur is a 3 x 3 x 3 mean, a shadow is narrow across
    the slices as well, and the depth of `depth_gain` and `shadow` is that of the beam, along the rows.

    Parameters
    ----------
    volumes : Tensor
        Shape [batch, 1, depth, height, width], values in 0..1.
    policy : Policy
        Strengths; see the files named by modality.
    generator : torch.Generator
        On the device of `volumes`.

    Returns
    -------
    Tensor
        Same shape and device, values in 0..1.

    Raises
    ------
    UsageError
        The policy turns on a transform that volumes do not have.

    Examples
    --------
    >>> from medssl.augmentation import Policy
    >>> volumes = torch.rand(4, 1, 6, 8, 8)
    >>> torch.equal(augment_volume(volumes, Policy(), torch.Generator()), volumes)
    True
    """
    _require_known(policy)
    draw = _Uniform(volumes, generator)
    with torch.autocast(volumes.device.type, enabled=False):  # it would round the places that are sampled
        return _intensity(_geometry(volumes, policy, draw), policy, draw)


def random_crops(volumes: torch.Tensor, size: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Cut one box out of each volume, at a place of its own that is uniform inside the volume.

    Parameters
    ----------
    volumes : Tensor
        Shape [batch, channels, depth, height, width], of any type.
    size : sequence of int
        Depth, height and width of the boxes.
    generator : torch.Generator
        The boxes are cut on the device of `volumes`, wherever the generator is.

    Returns
    -------
    Tensor
        Shape [batch, channels, *size].

    Raises
    ------
    UsageError
        A box would be larger than the volumes.

    Examples
    --------
    >>> random_crops(torch.rand(4, 1, 16, 32, 32), (8, 24, 24), torch.Generator()).shape
    torch.Size([4, 1, 8, 24, 24])
    """
    batch, channels, *sides = volumes.shape
    fits = len(size) == len(sides) == 3 and all(
        0 < length <= side for length, side in zip(size, sides, strict=True)
    )
    if not fits:
        wanted, given = (" x ".join(map(str, numbers)) for numbers in (size, sides))
        raise UsageError(f"size must be three sides within {given} voxels, got {wanted}.")
    unit = torch.rand(3, batch, generator=generator, device=generator.device).to(volumes.device)
    places = []
    for axis, (length, side) in enumerate(zip(size, sides, strict=True)):
        corner = (unit[axis] * (side - length + 1)).long()
        place = corner[:, None] + torch.arange(length, device=volumes.device)  # [batch, length]
        places.append(place.reshape(batch, 1, *axis * (1,), length, *(2 - axis) * (1,)))
    first = torch.arange(batch, device=volumes.device).reshape(batch, 1, 1, 1, 1)
    second = torch.arange(channels, device=volumes.device).reshape(1, channels, 1, 1, 1)
    return volumes[first, second, *places]


def _require_known(policy):
    """Refuse a transform that this file lacks, rather than leave it out without a word."""
    defaults = {name: field.default for name, field in policy.__dataclass_fields__.items()}
    known = {*_GEOMETRY, *_OTHERS}
    unknown = [
        name for name, default in defaults.items() if name not in known and getattr(policy, name) != default
    ]
    if unknown:
        raise UsageError(f"volumes have no {', '.join(unknown)}: leave it at its default in the policy.")


class _Uniform:
    """Draws one value for each volume, shaped to broadcast over voxels."""

    def __init__(self, volumes, generator):
        self.shape = len(volumes), 1, 1, 1, 1
        self.generator, self.device = generator, volumes.device

    def __call__(self, low: float = -1.0, high: float = 1.0) -> torch.Tensor:  # [batch, 1, 1, 1, 1]
        return low + (high - low) * torch.rand(self.shape, generator=self.generator, device=self.device)

    def normal(self, volumes: torch.Tensor) -> torch.Tensor:
        return torch.randn(volumes.shape, generator=self.generator, device=self.device)


def _geometry(volumes, policy, draw):
    if policy.crop_scale == 1 and not any(getattr(policy, name) for name in _GEOMETRY):
        return volumes
    scale = draw(policy.crop_scale, 1.0)
    largest = policy.rotation_degrees * torch.pi / 180
    turn = _rotation(*(draw() * share * largest for share in (1.0, TILT, TILT)))  # [batch, 3, 3]
    sides = torch.tensor(volumes.shape[:1:-1], dtype=turn.dtype, device=volumes.device)  # width first
    turn = turn * sides / sides[:, None]  # the grid counts in half sides, the turn in voxels
    mirror = torch.where(draw(0.0, 1.0) < policy.horizontal_flip, -1.0, 1.0)
    turn = torch.cat([turn[..., :1] * mirror[:, 0, 0], turn[..., 1:]], -1)
    room = 1 - scale + 2 * policy.shift  # a crop may lie anywhere inside; a shift may leave the volume
    move = [room * draw() for _ in range(3)]  # width, height, depth
    move[1] = scale - 1 if policy.keep_top else move[1]
    move = torch.cat(move, -1)[:, 0, 0].transpose(1, 2)  # [batch, 3, 1]
    matrix = torch.cat([scale[:, 0, 0] * turn, move], -1)  # [batch, 3, 4]
    grid = functional.affine_grid(matrix, list(volumes.shape), align_corners=False)
    return functional.grid_sample(volumes, grid, padding_mode="border", align_corners=False)


def _rotation(axial, coronal, sagittal):
    """Turn in the plane of the slice after the two tilts, on (width, height, depth), shape [batch, 3, 3]."""
    (a, b, c), (p, q, r) = (
        [function(angle).flatten() for angle in (axial, coronal, sagittal)]
        for function in (torch.cos, torch.sin)
    )
    rows = [
        [a * b, a * q * r - p * c, a * q * c + p * r],
        [p * b, p * q * r + a * c, p * q * c - a * r],
        [-q, b * r, b * c],
    ]
    return torch.stack([torch.stack(row, 1) for row in rows], 1)


def _intensity(volumes, policy, draw):
    if policy.blur:
        smooth = functional.avg_pool3d(volumes, 3, 1, 1, count_include_pad=False)
        volumes = torch.lerp(volumes, smooth, draw(0.0, policy.blur))
    if policy.gamma:
        volumes = volumes.clamp_min(1e-4) ** (draw() * policy.gamma).exp()
    if policy.contrast or policy.brightness:
        mean = volumes.mean((2, 3, 4), keepdim=True)
        volumes = (volumes - mean) * (1 + draw() * policy.contrast) + mean + draw() * policy.brightness
    return _noise(_fields(volumes, policy, draw), policy, draw).clamp(0, 1)


def _fields(volumes, policy, draw):
    axes = [torch.linspace(-1, 1, side, device=volumes.device) for side in volumes.shape[2:]]
    axes = [axis.reshape(-1, *(2 - place) * (1,)) for place, axis in enumerate(axes)]  # depth, rows, columns
    if policy.bias_field:
        terms = [*axes, *(one * other for one, other in itertools.combinations(axes, 2))]
        field = sum(draw() * term for term in (*terms, *(axis**2 - 1 / 3 for axis in axes)))
        volumes = volumes * (policy.bias_field * field).exp()
    if policy.depth_gain:
        volumes = volumes * (1 + policy.depth_gain * draw() * axes[1])
    if policy.shadow:
        volumes = volumes * _transmission(*axes, policy.shadow, draw)
    return volumes


def _transmission(slices, rows, columns, strength, draw):
    """Return what one shadow lets through: soft sides, an end at no depth of the beam."""
    across = ((slices - draw()) / draw(0.05, 0.25)) ** 2 + ((columns - draw()) / draw(0.05, 0.25)) ** 2
    below = ((rows - draw(-0.5, 0.5)) / 0.1).sigmoid()
    return 1 - draw(0.0, strength) * (-0.5 * across).exp() * below


def _ghosts(volumes, strength, draw):
    """Add copies displaced by half and a quarter of the columns, as a periodic motion does."""
    half, quarter = (volumes.roll(volumes.shape[4] // part, 4) for part in (2, 4))
    return torch.lerp(volumes, torch.lerp(half, quarter, draw(0.0, 0.5)), draw(0.0, strength))


def _noise(volumes, policy, draw):
    if policy.ghosting:
        volumes = _ghosts(volumes, policy.ghosting, draw)
    if policy.speckle:
        volumes = volumes * (1 + draw(0.0, policy.speckle) * draw.normal(volumes))
    if policy.rician:
        deviation = draw(0.0, policy.rician)
        real = volumes + deviation * draw.normal(volumes)
        volumes = (real**2 + (deviation * draw.normal(volumes)) ** 2).sqrt()
    if policy.noise:
        volumes = volumes + draw(0.0, policy.noise) * draw.normal(volumes)
    return volumes
