"""The images in the figures of the method families: made by the methods' own code from generated images."""

from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from medssl import data, ssl
from medssl.augmentation import augment, policy_for
from medssl.encoders import SmallCNN
from medssl.ssl._bezier import map_intensity
from medssl.ssl._dimensions import in_pixels
from medssl.ssl._windows import crop, standardise_tiles
from medssl.ssl.barlow_twins import cross_correlation
from medssl.ssl.brain_aware_replacement import block_regions, replace_regions
from medssl.ssl.context_restoration import random_pairs, swap_patches
from medssl.ssl.denoising import add_noise
from medssl.ssl.inpainting import random_blocks
from medssl.ssl.jigsaw import permutation_set, random_tiles, shuffle_tiles
from medssl.ssl.masked_autoencoder import hide_at_random
from medssl.ssl.models_genesis import (
    ModelsGenesisConfig,
    distort,
    in_painting_boxes,
    local_pixel_shuffling,
    out_painting_boxes,
    paint,
)
from medssl.ssl.popar import random_orders, shuffle_patches
from medssl.ssl.relative_position import layout_of, random_neighbours
from medssl.ssl.rotation import all_rotations
from medssl.ssl.rubiks_cube import random_cubes, turn_cubes
from medssl.training import Standardisation, to_tensor

__all__ = [
    "MODALITIES", "correlations", "distorted_panels", "few_steps", "hybrid_panels", "puzzle_panels",
    "similarities", "view_panels",
]  # fmt: skip

MODALITIES = {"xray": "X-ray", "ct": "CT", "mri": "MRI", "ultrasound": "Ultrasound"}
Rows = dict[str, list[tuple[str, np.ndarray]]]


def _patients(modality: str, n: int, size: int, seed: int) -> torch.Tensor:
    """Return one generated image of each of n patients, shape [n, 1, size, size]."""
    found = data.load(f"phantom_{modality}", n=4 * n, size=size, seed=seed, difficulty=0.2)
    first = np.unique(found.groups, return_index=True)[1]
    return to_tensor(found.images[np.sort(first)[:n]])


def _picture(image: torch.Tensor) -> np.ndarray:
    return image.detach().squeeze().float().numpy()


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def view_panels(size: int = 64, seed: int = 0) -> Rows:
    """Return two images of each modality with two pretraining views of each."""
    rows = {}
    for modality, label in MODALITIES.items():
        images, generator = _patients(modality, 2, size, seed), _generator(seed)
        views = [augment(images, policy_for(modality, "pretrain"), generator) for _ in range(2)]
        panels = list(zip(("image", "a view", "another\nview"), (images, *views), strict=True))
        rows[label] = [(title, _picture(each[i])) for i in range(2) for title, each in panels]
    return rows


def few_steps(method, images: torch.Tensor, view: Callable, steps: int, seed: int) -> None:
    """Train a method on one batch for a few steps: enough to see what its loss asks for, and no more."""
    optimiser = torch.optim.AdamW(method.parameters(), 2e-3)
    generator = _generator(seed)
    method.train()
    for _ in range(steps):
        optimiser.zero_grad()
        method.loss(images, view, generator).backward()
        optimiser.step()


def _projections(name: str, modality: str, n: int, steps: int, seed: int, **options):
    """Projections of two mild views of a batch, before and after a few steps of a method."""
    torch.manual_seed(seed)
    images, generator = _patients(modality, n, 28, seed), _generator(seed)
    standardise = Standardisation.of((images * 255).to(torch.uint8).numpy())
    policy = policy_for(modality, "fine_tune")

    def view(batch):
        return standardise(augment(batch, policy, generator))

    method, pair = ssl.build(name, SmallCNN(), **options), [view(images) for _ in range(2)]
    found = []
    for count in (0, steps):
        few_steps(method, images, view, count, seed)
        with torch.no_grad():
            found.append([method.projector(method.encoder(each)) for each in pair])
    return found


def similarities(modality: str, n: int, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Return the cosines between two views of each image of a batch, before and after steps of SimCLR."""
    pairs = _projections("simclr", modality, n, steps, seed)
    units = [[functional.normalize(each) for each in pair] for pair in pairs]
    names = ("Before training", "After a few steps")
    return {name: (first @ second.T).numpy() for name, (first, second) in zip(names, units, strict=True)}


def correlations(modality: str, n: int, dimensions: int, steps: int, seed: int) -> dict[str, np.ndarray]:
    """Return correlations of the dimensions of two views, before and after steps of Barlow Twins."""
    options = {"projection": dimensions, "off_diagonal": 0.1}
    pairs = _projections("barlow_twins", modality, n, steps, seed, **options)
    names = ("Before training", "After a few steps")
    return {name: cross_correlation(*pair).numpy() for name, pair in zip(names, pairs, strict=True)}


def distorted_panels(modality: str = "xray", size: int = 64, seed: int = 0) -> Rows:
    """Return image, input and target of the generative methods, and the distortions of Models Genesis."""
    images, generator = _patients(modality, 2, size, seed), _generator(seed)
    patch, swapped, sides = size // 8, round(0.15 * size), (size, size)
    grey = images.mean((1, 2, 3), keepdim=True)
    hidden = in_pixels(hide_at_random(images, patch, 0.6, generator), patch)
    blocks = random_blocks(2, sides, 4, 0.25, generator)
    pairs = random_pairs(2, 10, sides, swapped, generator)
    tasks = {
        "Masked\nautoencoder,\nSimMIM": (
            torch.where(hidden, grey, images),
            torch.where(hidden, images, grey),
        ),
        "Inpainting": (torch.where(blocks, grey, images), torch.where(blocks, images, grey)),
        "Context\nrestoration": (swap_patches(images, *pairs, swapped), images),
        "Denoising": (add_noise(images, 0.5 * images.std().item(), generator).clamp(0, 1), images),
    }
    titles = ("image", "the network\nsees", "it must\ngive")
    rows = {
        label: [
            (title, _picture(each[i]))
            for i in range(2)
            for title, each in zip(titles, (images, *task), strict=True)
        ]
        for label, task in tasks.items()
    }
    return rows | {"Models\nGenesis": _genesis(images[:1], generator)}


def _genesis(image: torch.Tensor, generator: torch.Generator):
    unit, sides = torch.rand(image.shape, generator=generator), image.shape[2:]
    curve = torch.tensor([[[0.1, 0.8], [0.2, 0.9]]])  # bends upwards: dark tissue becomes bright
    never = torch.zeros(1, dtype=torch.bool)
    parts = {
        "non-linear\nintensity": map_intensity(image, curve, never),
        "local\nshuffling": local_pixel_shuffling(image, generator),
        "out-\npainting": paint(image, out_painting_boxes(1, sides, generator), unit),
        "in-\npainting": paint(image, in_painting_boxes(1, sides, generator), unit),
        "drawn at\nrandom": distort(image, ModelsGenesisConfig(), generator),
    }
    return [("it must\ngive", _picture(image)), *((name, _picture(each)) for name, each in parts.items())]


def puzzle_panels(modality: str = "mri", size: int = 64, seed: int = 0) -> Rows:
    """Return what the predictive methods show to the network: turns, tiles, neighbours and cubes."""
    image, generator = _patients(modality, 1, size, seed), _generator(seed)
    turned = all_rotations(image)[0]
    turns = ("not turned", "a quarter", "a half", "three quarters")
    tiles = random_tiles(image, 3, generator)
    order = torch.tensor(permutation_set(9, 3))[2:]
    (top, left), label = random_neighbours(1, (size, size), layout_of((size, size), 0.3), generator)
    pair = crop(image, (top, left), layout_of((size, size), 0.3).patch)[0]
    frames = [_framed(image, top[0, i], left[0, i], pair.shape[-1]) for i in range(2)]
    place = (
        "above left", "above", "above right", "left", "right", "below left", "below", "below right",
    )[int(label)]  # fmt: skip
    return {
        "Rotation": list(zip(turns, map(_picture, turned), strict=True)),
        "Jigsaw": [
            ("image", _picture(image)), ("tiles in order", _mosaic(tiles[0])),
            ("one of the\npermutations", _mosaic(shuffle_tiles(tiles, order)[0])),
        ],
        "Relative\nposition": [
            ("first patch", _picture(frames[0])), (f"second:\n{place}", _picture(frames[1])),
            ("seen first", _unit(pair[0])), ("seen second", _unit(pair[1])),
        ],
    } | _cube_rows(image, generator)  # fmt: skip


def _unit(patch: torch.Tensor) -> np.ndarray:
    """Show a standardised patch: two deviations to each side fill the scale."""
    return _picture(standardise_tiles(patch) / 4 + 0.5).clip(0, 1)


def _framed(image, top, left, side):
    framed = image.clone()
    framed[..., top : top + side, left : left + side] = 1
    inner = slice(top + 1, top + side - 1), slice(left + 1, left + side - 1)
    framed[(..., *inner)] = image[(..., *inner)]
    return framed


def _mosaic(tiles: torch.Tensor) -> np.ndarray:
    """Lay tiles [n * n, side, side] in a square with bright lines between them."""
    grid = round(len(tiles) ** 0.5)
    padded = functional.pad(tiles, (1, 1, 1, 1), value=1.0).reshape(grid, grid, *(tiles.shape[1] + 2,) * 2)
    return _picture(torch.cat([torch.cat(list(row), 1) for row in padded], 0))


def _cube_rows(image: torch.Tensor, generator: torch.Generator) -> Rows:
    depth = torch.linspace(0.4, 1, 16)[:, None, None]
    cubes = random_cubes((image[0] * depth)[None, None], generator)  # [1, 8, depth, height, width]
    order = torch.tensor(permutation_set(8, 2))[1:]
    turned = torch.rand(1, 8, 2, generator=generator) < 0.5
    moved = turn_cubes(shuffle_tiles(cubes.flatten(3), order).reshape(cubes.shape), turned)
    middle = cubes.shape[2] // 2
    names = ("cubes in\norder,", "permuted\nand turned,")
    halves = [
        (f"{name} {half}", _mosaic(each[0, part, middle]))
        for name, each in zip(names, (cubes, moved), strict=True)
        for half, part in (("front", slice(4)), ("back", slice(4, 8)))
    ]
    return {"Rubik's cube": halves}


def hybrid_panels(modality: str = "xray", size: int = 64, steps: int = 40, seed: int = 0) -> Rows:
    """Return what the hybrid methods see and must give."""
    torch.manual_seed(seed)
    images, generator = _patients(modality, 8, size, seed), _generator(seed)
    view = augment(images, policy_for(modality, "pretrain"), generator)
    distorted = distort(images, ModelsGenesisConfig(), generator)
    hidden = in_pixels(hide_at_random(images, size // 8, 0.7, generator), size // 8)
    orders = random_orders(8, 16, generator)
    regions = block_regions((size, size), 4)
    replaced = torch.rand(8, 16, generator=generator) < 0.4
    mixed, _ = replace_regions(images, torch.arange(8).roll(1), replaced, regions)
    image, other = images[:1], images[-1:]
    panels = {
        "DiRA": [
            ("image", image), ("discriminate:\na view", view[:1]), ("restore from\nthis", distorted[:1]),
            ("restored after\na few steps", _restored(images, distorted, steps, seed)[:1]),
        ],
        "POPAR": [
            ("image", image), ("patches\nshuffled", shuffle_patches(image, orders[:1], (4, 4))),
            ("or appearance\ndistorted", distorted[:1]), ("it must give\n(and the order)", image),
        ],
        "SMIT": [
            ("image", image), ("the student\nsees", torch.where(hidden[:1], image.mean(), image)),
            ("the teacher\nsees", image), ("or the other\nview", view[:1]),
        ],
        "Brain-aware\nreplacement": [
            ("image", image), ("another image", other), ("regions", regions[None, None] / 16),
            ("synthetic", mixed[:1]),
        ],
    }  # fmt: skip
    return {label: [(title, _picture(each)) for title, each in row] for label, row in panels.items()}


def _restored(images, distorted, steps: int, seed: int) -> torch.Tensor:
    """Train DiRA in its second stage on one batch, and restore it."""
    standardise = Standardisation.of((images * 255).to(torch.uint8).numpy())
    method = ssl.build("dira", SmallCNN())
    method.stage.fill_(2)
    few_steps(method, images, standardise, steps, seed)
    with torch.no_grad():
        found = method.decoder(method.encoder.features(standardise(distorted)), *images.shape[2:])
    return (found * standardise.deviation + standardise.mean).clamp(0, 1)
