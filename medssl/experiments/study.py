"""The controlled study as data: what its protocol page says, cell by cell.

A phase is a list of cells; phases and seeds come in the order in which they are worth having.
"""

from dataclasses import dataclass, replace
from itertools import product

from medssl.experiments.cell import Cell
from medssl.experiments.grids import FINE_TUNE
from medssl.experiments.volume_study import volume_grid
from medssl.training.pretrain import PretrainConfig

__all__ = ["METHODS", "PHASES", "STUDY", "StudyData", "imagenet_grid", "phase", "study_grid"]

# contrastive, redundancy reduction, two generative ones and a predictive one; then those for more time
METHODS = ("simclr", "barlow_twins", "masked_autoencoder", "models_genesis", "jigsaw")
MORE_METHODS = ("byol", "moco", "rotation")
SEEDS = (1, 2, 3, 4, 5)
POOLS = (1 / 16, 1 / 4)


@dataclass(frozen=True)
class StudyData:
    """One data set of the study.

    Parameters
    ----------
    name : str
        A name of `medssl.data.available()`.
    epochs : int
        Passes of pretraining over the whole pool.
    label_counts : tuple of int or None
        Label budgets; None is every label of the training split.
    twice : tuple of int
        The smallest budgets, where each seed draws a second subset.
    elsewhere : str
        Data set of another modality whose labels the supervised comparator learns.
    compared : tuple of int or None
        Budgets of the supervised comparator.
    middle : int
        Budget at which pool, source, subsets and matched compute are varied.
    """

    name: str
    epochs: int
    label_counts: tuple[int | None, ...]
    twice: tuple[int, ...]
    elsewhere: str
    compared: tuple[int | None, ...]
    middle: int


STUDY = {
    data.name: data
    for data in (
        StudyData(
            "breastmnist", 100, (10, 20, 50, 100, 200, 350, None), (10, 20), "organamnist",
            (20, 100, None), 100,
        ),
        StudyData(
            "pneumoniamnist", 30, (10, 20, 50, 100, 250, 1000, None), (10, 20), "organamnist",
            (20, 100, None), 100,
        ),
        StudyData(
            "brain_tumour_64", 20, (10, 20, 50, 100, 250, 1000, None), (10, 20), "organamnist",
            (20, 100, None), 100,
        ),
        StudyData(
            "organamnist", 4, (20, 50, 100, 250, 1000, 5000, None), (20, 50), "pneumoniamnist",
            (20, 100, None), 100,
        ),
    )
}  # fmt: skip


def _cell(data: StudyData, n, seed, method, **options) -> Cell:
    return Cell(data.name, n, seed, PretrainConfig(method=method, epochs=data.epochs), *FINE_TUNE, **options)


def _labels(data, seed, methods):
    """Every budget; test images are also corrupted at the middle one and with all labels."""
    cells = [
        _cell(data, n, seed, method, corruptions=n in (data.middle, None))
        for n, method in product(data.label_counts, methods)
    ]
    again = product(data.twice, methods)
    return cells + [_cell(data, n, seed, method, subset=100 + seed) for n, method in again]


def _supervised(data, seed, methods):
    common = {"comparator": "supervised", "supervised_on": data.elsewhere}
    return [
        _cell(data, n, seed, method, corruptions=n in (data.middle, None), **common)
        for n, method in product(data.compared, methods)
    ]


def _matched(data, seed, methods):
    return [
        _cell(data, data.middle, seed, method, comparator="compute_matched", corruptions=True)
        for method in methods
    ]


def _pools(data, seed, methods):
    """A smaller pool is passed over more often, so that every pretraining passes as many images."""
    cells = []
    for pool, method in product(POOLS, ("simclr", "masked_autoencoder")):
        cell = _cell(data, data.middle, seed, method, pool=pool)
        longer = replace(cell.pretrain, epochs=round(data.epochs / pool))
        cells.append(replace(cell, pretrain=longer))
    return cells


def _sources(data, seed, methods):
    """Pretrain on the images of another modality, with the schedule of that data set."""
    others = [other for other in STUDY.values() if other.name != data.name]
    return [
        replace(
            _cell(data, data.middle, seed, "simclr", pretrain_on=other.name),
            pretrain=PretrainConfig(method="simclr", epochs=other.epochs),
        )
        for other in others
    ]


def _subsets(data, seed, methods):
    """Other subsets with the same seed: with the cells above, subsets crossed with seeds."""
    return [_cell(data, data.middle, seed, "simclr", subset=subset) for subset in (201, 202, 203, 204)]


def _imagenet(data, seed, methods):
    """A larger network, which ImageNet has weights for; not in the study's grid, for they are the user's."""
    cells = []
    for n, method in product(data.compared, methods):
        cell = _cell(data, n, seed, method, corruptions=n in (data.middle, None))
        larger = replace(cell.pretrain, encoder="resnet18_large_stem")
        cells.append(replace(cell, pretrain=larger, comparator="imagenet"))
    return cells


PHASES = {
    "labels": _labels,
    "supervised": _supervised,
    "sources": _sources,
    "subsets": _subsets,
    "matched": _matched,
    "pools": _pools,
}


def phase(name: str, dataset: str, seeds=SEEDS, methods=METHODS) -> list[Cell]:
    """Return the cells of one phase on one data set, seed by seed.

    Examples
    --------
    >>> len(phase("labels", "breastmnist", seeds=(1,), methods=("simclr",)))
    9
    """
    return [cell for seed in seeds for cell in PHASES[name](STUDY[dataset], seed, methods)]


def study_grid() -> list[Cell]:
    """Return the whole study in the order of its worth: first three seeds everywhere, then the rest.

    Examples
    --------
    >>> {cell.dataset for cell in study_grid()} == {*STUDY, "hippocampus"}
    True
    """
    few, rest, variations = SEEDS[:3], SEEDS[3:], ("sources", "subsets")
    turns = [(few, ("labels", "supervised")), (few, variations), (rest, ("labels", "supervised"))]
    turns += [(rest, variations), (SEEDS, ("pools",)), (SEEDS, ("matched",))]
    cells = []
    for seeds, names in turns:
        cells += [c for dataset, name in product(STUDY, names) for c in phase(name, dataset, seeds)]
        cells += volume_grid(seeds) if "labels" in names else []
    for dataset in STUDY:
        cells += phase("labels", dataset, SEEDS, MORE_METHODS)
    return cells


def imagenet_grid() -> list[Cell]:
    """Return the comparison with weights from ImageNet, which must be on this machine.

    Examples
    --------
    >>> {cell.comparator for cell in imagenet_grid()}
    {'imagenet'}
    """
    return [cell for seed in SEEDS for data in STUDY.values() for cell in _imagenet(data, seed, METHODS)]
