"""Models Genesis: distort an image in four ways and restore it.

Zhou, Sodha, Rahman Siddiquee, Feng, Tajbakhsh, Gotway and Liang (2019), "Models Genesis: generic autodidactic
models for 3D medical image analysis", and Zhou et al. (2021), "Models Genesis", section 3: non-linear
intensity, local pixel shuffling, out-painting and in-painting, each with its probability, and the squared
error of the restored image as the loss.
Probabilities, sizes and counts are those of the authors' code, whose cubes have sides of 64 voxels, scaled to
the image or the volume; the paper's encoder-decoder has shortcuts, here the decoder sees the last feature map
alone.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._bezier import map_intensity
from medssl.ssl._decoder import Decoder
from medssl.ssl._dimensions import dimensions_of, in_words
from medssl.ssl._windows import box_mask, random_integers

__all__ = [
    "ModelsGenesis",
    "ModelsGenesisConfig",
    "distort",
    "in_painting_boxes",
    "local_pixel_shuffling",
    "out_painting_boxes",
    "paint",
    "shuffle_windows",
]


def shuffle_windows(images: torch.Tensor, corners, lengths, keys: torch.Tensor) -> torch.Tensor:
    """Shuffle the pixels inside windows of the image.

    Every window takes its pixels from the original image; where windows overlap the later one shows.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    corners, lengths : sequence of Tensor of int
        First place and extent of the windows along each axis, each of shape [batch, windows].
    keys : Tensor
        Values in 0..1, shape [batch, windows, places]: the k-th place of a window, in reading order, gets
        the pixel from the place with the k-th smallest key; keys beyond a window's size are not used.

    Examples
    --------
    >>> image, one, two = torch.tensor([[[[1.0, 2.0, 3.0]]]]), torch.tensor([[1]]), torch.tensor([[2]])
    >>> shuffle_windows(image, (one - 1, one), (one, two), torch.tensor([[[0.9, 0.1]]])).tolist()
    [[[[1.0, 3.0, 2.0]]]]
    """
    pixels = images.flatten(1)
    place = torch.arange(keys.shape[2], device=images.device)
    unused, spare = place >= math.prod(lengths)[..., None], pixels.shape[1]
    order = keys.masked_fill(unused, 2.0).argsort(2)  # [batch, windows, places]
    target, source = (_in_image(k, corners, lengths, images.shape[2:]) for k in (place, order))
    target = _last_only(target.masked_fill(unused, spare).flatten(1), spare)
    moved = pixels.gather(1, source.masked_fill(unused, 0).flatten(1))
    return functional.pad(pixels, (0, 1)).scatter(1, target, moved)[:, :-1].reshape(images.shape)


def _in_image(place, corners, lengths, sides):
    """Index, in the flattened image, of places that count in reading order inside windows."""
    index, step = 0, 1
    for corner, length, side in zip(*map(reversed, (corners, lengths, sides)), strict=True):
        index = index + (corner[..., None] + place % length[..., None]) * step
        place, step = place // length[..., None], step * side
    return index


def _last_only(target, spare):
    """Send to the spare place all but the last of the entries that go to the same place."""
    rank = torch.arange(target.shape[1], device=target.device).expand_as(target)
    last = rank.new_full((len(rank), spare + 1), -1).scatter_reduce(1, target, rank, "amax")
    return target.masked_fill(last.gather(1, target) != rank, spare)


def local_pixel_shuffling(images: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Shuffle pixels inside random windows that together have twice the area of the image, or its volume.

    The sides of a window are uniform between 1 pixel and a tenth of the image's, at least 3 pixels.

    Examples
    --------
    >>> local_pixel_shuffling(torch.ones(1, 1, 16, 16), torch.Generator()).unique().tolist()
    [1.0]
    """
    batch, _, *sides = images.shape
    longest = [max(3, side // 10) for side in sides]
    size = math.prod((1 + most) / 2 for most in longest)  # of a window, on average
    shape = batch, round(2 * math.prod(sides) / size)
    lengths = [random_integers(1, most, shape, generator) for most in longest]
    corners = [
        random_integers(0, side - length, shape, generator)
        for side, length in zip(sides, lengths, strict=True)
    ]
    keys = torch.rand(*shape, math.prod(longest), generator=generator, device=images.device)
    return shuffle_windows(images, corners, lengths, keys)


def in_painting_boxes(batch: int, sides: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Return True where an image is painted over: up to five boxes, sides a sixth to a third of the image's.

    A box is drawn with probability 0.95 if the one before it was.

    Returns
    -------
    Tensor of bool
        Shape [batch, 1, *sides].

    Examples
    --------
    >>> in_painting_boxes(4, (28, 28), torch.Generator()).shape
    torch.Size([4, 1, 28, 28])
    """
    lengths = [(side // 6, side // 3) for side in sides]
    return _random_boxes(batch, sides, lengths, 0, generator)


def out_painting_boxes(batch: int, sides: Sequence[int], generator: torch.Generator) -> torch.Tensor:
    """Return True where an image is painted over: all but one to five boxes, sides 3/7 to 4/7 of the image's.

    Returns
    -------
    Tensor of bool
        Shape [batch, 1, *sides].

    Examples
    --------
    >>> out_painting_boxes(4, (28, 28), torch.Generator())[:, 0, 0].all().item()
    True
    """
    lengths = [(side - 4 * side // 7, side - 3 * side // 7) for side in sides]
    return ~_random_boxes(batch, sides, lengths, 1, generator)


def _random_boxes(batch, sides, ranges, least, generator):
    """Up to five boxes an image, with a margin of 3 / 64 of its side, shape [batch, 1, *sides]."""
    corners, lengths = [], []
    for side, (shortest, longest) in zip(sides, ranges, strict=True):
        margin = max(1, round(side * 3 / 64))
        lengths.append(random_integers(shortest, longest, (batch, 5), generator))
        corners.append(random_integers(margin, side - lengths[-1] - margin, (batch, 5), generator))
    goes_on = torch.rand(batch, 5, generator=generator, device=generator.device) < 0.95
    goes_on[:, :least] = True
    drawn = goes_on.long().cumprod(1).bool()[..., *len(sides) * (None,)]
    return (box_mask(corners, lengths, sides) & drawn).any(1, keepdim=True)


def paint(images: torch.Tensor, painted: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
    """Replace painted pixels by noise between the image's minimum and maximum; `unit` is in 0..1.

    Examples
    --------
    >>> image, painted = torch.tensor([[[[0.0, 1.0, 4.0]]]]), torch.tensor([[[[False, True, False]]]])
    >>> paint(image, painted, torch.full((1, 1, 1, 3), 0.5)).tolist()
    [[[[0.0, 2.0, 4.0]]]]
    """
    axes = tuple(range(1, images.ndim))
    low, high = images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)
    return torch.where(painted, low + (high - low) * unit, images)


@dataclass(frozen=True)
class ModelsGenesisConfig:
    """Probabilities of the four distortions; `in_painting` is the share of painted images.

    Painted images that are not in-painted are out-painted.
    """

    non_linear: float = 0.9
    shuffling: float = 0.5
    painting: float = 0.9
    in_painting: float = 0.2

    def __post_init__(self):
        if not all(0 <= value <= 1 for value in vars(self).values()):
            raise UsageError("non_linear, shuffling, painting and in_painting must be between 0 and 1.")


def distort(images: torch.Tensor, config: ModelsGenesisConfig, generator: torch.Generator) -> torch.Tensor:
    """Distort each image at random: shuffle pixels, map intensities, paint outside or inside boxes.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    config : ModelsGenesisConfig
        Probabilities; each image has its own draws.
    generator : torch.Generator
        On the device of `images`.

    Raises
    ------
    UsageError
        A side is shorter than 12 pixels.

    Examples
    --------
    >>> images, never = torch.rand(2, 1, 28, 28), ModelsGenesisConfig(0, 0, 0)
    >>> torch.equal(distort(images, never, torch.Generator()), images)
    True
    """
    batch, _, *sides = images.shape
    if min(sides) < 12:
        least = " x ".join(len(sides) * ["12"])
        raise UsageError(f"{in_words(sides)} are too small: {least} is the least.")

    def unit(*shape):
        return torch.rand(batch, *shape, generator=generator, device=images.device)

    def choose(probability):
        return unit(1, *len(sides) * (1,)) < probability

    images = torch.where(choose(config.shuffling), local_pixel_shuffling(images, generator), images)
    mapped = map_intensity(images, unit(2, 2), unit() < 0.5)
    images = torch.where(choose(config.non_linear), mapped, images)
    inside = choose(config.in_painting)
    boxes = [make(batch, sides, generator) for make in (in_painting_boxes, out_painting_boxes)]
    painted = torch.where(inside, *boxes) & choose(config.painting)
    return paint(images, painted, unit(1, *sides))


class ModelsGenesis(nn.Module):
    """Encoder and a small decoder that is thrown away after pretraining.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = torch.rand(8, 1, 28, 28)
    >>> ModelsGenesis(SmallCNN()).loss(images, lambda x: x, torch.Generator()).ndim
    0
    """

    Config = ModelsGenesisConfig

    def __init__(self, encoder: nn.Module, config: ModelsGenesisConfig | None = None):
        super().__init__()
        self.config = config or ModelsGenesisConfig()
        self.encoder = encoder
        self.decoder = Decoder(encoder.width, encoder.stride, dimensions_of(encoder))

    def loss(self, images: torch.Tensor, view, generator: torch.Generator) -> torch.Tensor:
        """Return the mean squared error of a batch [batch, 1, *sides] over all its pixels."""
        images = view(images)
        features = self.encoder.features(distort(images, self.config, generator))
        return functional.mse_loss(self.decoder(features, *images.shape[2:]), images.float())
