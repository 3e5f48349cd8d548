"""The part of the study that segments volumes, as data: what its protocol page says, cell by cell."""

from itertools import product

from medssl.experiments.cell import Cell
from medssl.training.pretrain import PretrainConfig
from medssl.training.segmentation import SegmentationConfig

__all__ = ["VOLUMES", "VOLUME_COUNTS", "VOLUME_METHODS", "VOLUME_SEEDS", "volume_grid"]

VOLUMES = "hippocampus"
VOLUME_METHODS = ("simclr", "masked_autoencoder", "jigsaw")
VOLUME_COUNTS = (2, 4, 8, 16, 32, 64, None)
VOLUME_SEEDS = (1, 2, 3, 4, 5)
CROP = (32, 32, 32)  # voxels; the structure is about 22 x 39 x 26 of them, so a box often cuts it
PRETRAIN = {"encoder": "small_cnn_3d", "epochs": 30, "batch_size": 16}
SEGMENT = SegmentationConfig(steps=200, crop=CROP)


def volume_grid(
    seeds: tuple[int, ...] = VOLUME_SEEDS,
    methods: tuple[str, ...] = VOLUME_METHODS,
    counts: tuple[int | None, ...] = VOLUME_COUNTS,
) -> list[Cell]:
    """Return the cells of the hippocampus volumes, seed by seed.

    Examples
    --------
    >>> len(volume_grid(seeds=(1,)))
    21
    """
    return [
        Cell(VOLUMES, n, seed, PretrainConfig(method, **PRETRAIN), SEGMENT, crop=CROP)
        for seed, n, method in product(seeds, counts, methods)
    ]
