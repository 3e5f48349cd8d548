"""The grids of the survey, as plain Python data."""

import runpy
from dataclasses import replace
from itertools import product
from pathlib import Path

from medssl.errors import UsageError
from medssl.experiments.cell import Cell
from medssl.training.pretrain import PretrainConfig
from medssl.training.selection import SelectionConfig
from medssl.training.transfer import TransferConfig

__all__ = ["GRIDS", "grid", "phantom_grid", "real_grid"]

FINE_TUNE = (TransferConfig(), SelectionConfig())
LINEAR_PROBE = (
    TransferConfig(adaptation="linear_probe", learning_rate=1e-2),
    SelectionConfig(learning_rates=(1e-3, 1e-2, 3e-2), fixed_learning_rate=1e-2),
)


def real_grid(
    dataset: str = "pneumoniamnist",
    methods: tuple[str, ...] = ("simclr", "masked_autoencoder"),
    label_counts: tuple[int | None, ...] = (10, 20, 50, 100, 250, 1000, None),
    seeds: tuple[int, ...] = (1, 2, 3, 4, 5),
    sensitivity_counts: tuple[int, ...] = (50, 100, 250),
) -> list[Cell]:
    """Return the cells of the controlled comparison on one real data set.

    Each method, label count and seed is fine-tuned and probed with choices inside the label budget;
    at `sensitivity_counts` the fine-tuning is repeated with choices on the whole validation split.

    Examples
    --------
    >>> len(real_grid(seeds=(1,), sensitivity_counts=()))
    28
    """
    cells = [
        Cell(dataset, n, seed, PretrainConfig(method=method), *protocol)
        for seed, n, protocol, method in product(seeds, label_counts, (FINE_TUNE, LINEAR_PROBE), methods)
    ]
    full = replace(FINE_TUNE[1], validation="full_validation")
    return cells + [
        Cell(dataset, n, seed, PretrainConfig(method=method), FINE_TUNE[0], full)
        for seed, n, method in product(seeds, sensitivity_counts, methods)
    ]


def phantom_grid(
    modality: str = "xray",
    methods: tuple[str, ...] = ("simclr", "masked_autoencoder"),
    label_counts: tuple[int, ...] = (20, 100),
    seeds: tuple[int, ...] = (1, 2),
    images: int = 1000,
    epochs: int = 5,
    difficulty: float = 0.5,
) -> list[Cell]:
    """Return a grid on generated images that two processor cores finish in a minute or two.

    Examples
    --------
    >>> phantom_grid()[0].dataset
    'phantom_xray'
    """
    options = (("n", images), ("difficulty", difficulty))
    return [
        Cell(
            f"phantom_{modality}", n, seed, PretrainConfig(method=method, epochs=epochs), *FINE_TUNE, options
        )
        for seed, n, method in product(seeds, label_counts, methods)
    ]


def _study_grid() -> list[Cell]:
    from medssl.experiments.study import study_grid  # it builds on this module

    return study_grid()


def _imagenet_grid() -> list[Cell]:
    from medssl.experiments.study import imagenet_grid

    return imagenet_grid()


GRIDS = {
    "xray": real_grid,
    "xray_phantom": phantom_grid,
    "study": _study_grid,
    "imagenet": _imagenet_grid,
}


def grid(name: str) -> list[Cell]:
    """Return the cells of a named grid, or of a Python file that defines `cells`.

    Parameters
    ----------
    name : str
        A key of `GRIDS`, or the path of a file ending in ``.py`` with a list of `Cell`, or a function that
        returns one, under the name `cells`. The file is executed: run only files that you trust.

    Raises
    ------
    UsageError
        The name is unknown, or the file defines no cells.
    """
    if name.endswith(".py"):
        return _from_file(Path(name))
    if name not in GRIDS:
        raise UsageError(
            f"unknown grid {name!r}: choose one of {', '.join(GRIDS)}, or name a .py file that defines cells."
        )
    return GRIDS[name]()


def _from_file(path: Path) -> list[Cell]:
    if not path.is_file():
        raise UsageError(f"{path}: there is no such file. Name a Python file that defines cells.")
    cells = runpy.run_path(str(path)).get("cells")
    cells = cells() if callable(cells) else cells
    if not isinstance(cells, list) or not cells or not all(isinstance(cell, Cell) for cell in cells):
        raise UsageError(f"{path}: cells: expected a list of medssl.experiments.Cell with at least one cell.")
    return cells
