"""Random transforms of a whole batch at once, each image with its own parameters.

Geometry (crop, rotation, flip) is one affine resampling; intensity works on values in 0..1.
All randomness comes from one generator, so that a run can be resumed bit for bit.
"""

from dataclasses import dataclass

import torch
from torch.nn import functional

from medssl.augmentation._volume import augment_volume

__all__ = ["Policy", "augment"]


@dataclass(frozen=True)
class Policy:
    """How strongly each transform acts; 0 turns it off.

    Parameters
    ----------
    crop_scale : float
        Smallest side of the random square crop, as a fraction of the image side; 1 keeps the whole image.
    rotation_degrees : float
        Rotation is uniform in plus or minus this angle.
    horizontal_flip : float
        Probability of a left-right flip.
    shift : float
        Translation is uniform in plus or minus this fraction of the image side.
    contrast, brightness : float
        Values become (x - mean) * (1 + u * contrast) + mean + v * brightness, u and v uniform in -1..1.
    gamma : float
        Values become x ** exp(u * gamma).
    bias_field : float
        Strength of a smooth quadratic multiplicative field (receiver coil).
    depth_gain : float
        Strength of a linear multiplicative ramp along the rows (time-gain compensation).
    speckle, noise, rician : float
        Largest standard deviation of multiplicative, additive and Rician noise.
    blur : float
        Largest weight of a 3 x 3 mean filter.
    keep_top : bool
        A crop always begins at the upper edge, where the probe is: depth keeps its origin.
    shadow : float
        Largest share of the echo that one acoustic shadow takes away below a random depth.
    ghosting : float
        Largest strength of copies that motion spreads along the columns (phase encoding).
    """

    crop_scale: float = 1.0
    rotation_degrees: float = 0.0
    horizontal_flip: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    brightness: float = 0.0
    gamma: float = 0.0
    bias_field: float = 0.0
    depth_gain: float = 0.0
    speckle: float = 0.0
    noise: float = 0.0
    rician: float = 0.0
    blur: float = 0.0
    keep_top: bool = False
    shadow: float = 0.0
    ghosting: float = 0.0


def augment(images: torch.Tensor, policy: Policy, generator: torch.Generator) -> torch.Tensor:
    """Return one random view of each image.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width], values in 0..1.
    policy : Policy
        Strengths; see the files named by modality.
    generator : torch.Generator
        On the device of `images`.

    Returns
    -------
    Tensor
        Same shape and device, values in 0..1.

    Examples
    --------
    >>> images = torch.rand(4, 1, 8, 8)
    >>> torch.equal(augment(images, Policy(), torch.Generator()), images)
    True
    """
    if images.ndim == 5:
        return augment_volume(images, policy, generator)
    draw = _Uniform(images, generator)
    return _intensity(_geometry(images, policy, draw), policy, draw)


class _Uniform:
    """Draws one value in -1..1 for each image, shaped to broadcast over pixels."""

    def __init__(self, images, generator):
        self.images, self.generator = images, generator

    def __call__(self, low: float = -1.0, high: float = 1.0) -> torch.Tensor:  # [batch, 1, 1, 1]
        unit = torch.rand(len(self.images), 1, 1, 1, generator=self.generator, device=self.images.device)
        return low + (high - low) * unit

    def normal(self, images: torch.Tensor) -> torch.Tensor:
        return torch.randn(images.shape, generator=self.generator, device=images.device)


def _geometry(images, policy, draw):
    if policy.crop_scale == 1 and not (policy.rotation_degrees or policy.horizontal_flip or policy.shift):
        return images
    scale = draw(policy.crop_scale, 1.0)
    angle = draw() * policy.rotation_degrees * torch.pi / 180
    mirror = torch.where(draw(0.0, 1.0) < policy.horizontal_flip, -1.0, 1.0)
    room = 1 - scale + 2 * policy.shift  # a crop may lie anywhere inside; a shift may leave the image
    across, down = room * draw(), room * draw()
    down = scale - 1 if policy.keep_top else down
    matrix = torch.stack(
        [
            torch.cat([scale * mirror * angle.cos(), -scale * angle.sin(), across], -1),
            torch.cat([scale * mirror * angle.sin(), scale * angle.cos(), down], -1),
        ],
        dim=-2,
    )[:, 0, 0]  # [batch, 2, 3]
    grid = _affine_grid(matrix, *images.shape[2:])
    return functional.grid_sample(images, grid, padding_mode="border", align_corners=False)


def _affine_grid(matrix, height, width):
    """Return the places of `affine_grid`, to rounding, without its small matrix products."""
    rows, columns = (_centres(n, matrix.device) for n in (height, width))
    places = matrix.new_empty(2, len(matrix), height, width)
    for place, (across, down, shift) in zip(places, matrix.permute(1, 2, 0)[..., None, None], strict=True):
        torch.mul(columns.expand(height, width), across, out=place)
        place.add_(down * rows[:, None]).add_(shift)
    return places.permute(1, 2, 3, 0)  # [batch, height, width, 2]


def _centres(n, device):
    return torch.linspace(-1, 1, n, device=device) * (n - 1) / n


def _mean_of_neighbours(images):
    """Return the mean over 3 x 3 pixels inside the image: `avg_pool2d` bit for bit, and faster here."""
    height, width = images.shape[2:]
    padded = functional.pad(images, (1, 1, 1, 1))
    total = padded[..., :height, :width].clone()
    for row in range(3):
        for column in range(3):
            if row or column:
                total += padded[..., row : row + height, column : column + width]
    return total / _neighbours(height, width, images.device)


def _neighbours(height, width, device):
    rows, columns = (3 - (places == 0).float() - (places == n - 1).float() for n, places in (
        (height, torch.arange(height, device=device)), (width, torch.arange(width, device=device)),
    ))  # fmt: skip
    return rows[:, None] * columns


def _intensity(images, policy, draw):
    if policy.blur:
        smooth = _mean_of_neighbours(images)
        images = torch.lerp(images, smooth, draw(0.0, policy.blur))
    if policy.gamma:
        images = images.clamp_min(1e-4) ** (draw() * policy.gamma).exp()
    if policy.contrast or policy.brightness:
        mean = images.mean((2, 3), keepdim=True)
        images = (images - mean) * (1 + draw() * policy.contrast) + mean + draw() * policy.brightness
    return _noise(_fields(images, policy, draw), policy, draw).clamp(0, 1)


def _fields(images, policy, draw):
    rows = torch.linspace(-1, 1, images.shape[2], device=images.device)[:, None]
    columns = torch.linspace(-1, 1, images.shape[3], device=images.device)[None]
    if policy.bias_field:
        field = draw() * rows + draw() * columns + draw() * rows * columns
        field = field + draw() * (rows**2 - 1 / 3) + draw() * (columns**2 - 1 / 3)
        images = images * (policy.bias_field * field).exp()
    if policy.depth_gain:
        images = images * (1 + policy.depth_gain * draw() * rows)
    if policy.shadow:
        images = images * _transmission(rows, columns, policy.shadow, draw)
    return images


def _transmission(rows, columns, strength, draw):
    """Return what one shadow lets through, [batch, 1, height, width]: soft sides, an end at no depth."""
    centre, half_width, depth = draw(), draw(0.05, 0.25), draw(-0.5, 0.5)
    across = (-0.5 * ((columns - centre) / half_width) ** 2).exp()
    below = ((rows - depth) / 0.1).sigmoid()
    return 1 - draw(0.0, strength) * across * below


def _ghosts(images, strength, draw):
    """Add copies displaced by half and a quarter of the columns, as a periodic motion does."""
    half, quarter = images.roll(images.shape[3] // 2, 3), images.roll(images.shape[3] // 4, 3)
    share = draw(0.0, strength)
    return (1 - share) * images + share * torch.lerp(half, quarter, draw(0.0, 0.5))


def _noise(images, policy, draw):
    if policy.ghosting:
        images = _ghosts(images, policy.ghosting, draw)
    if policy.speckle:
        images = images * (1 + draw(0.0, policy.speckle) * draw.normal(images))
    if policy.rician:
        deviation = draw(0.0, policy.rician)
        real = images + deviation * draw.normal(images)
        images = (real**2 + (deviation * draw.normal(images)) ** 2).sqrt()
    if policy.noise:
        images = images + draw(0.0, policy.noise) * draw.normal(images)
    return images
