"""What a grid costs before it is run: image passes by arithmetic, seconds by a short measurement."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from medssl import encoders
from medssl.experiments import arms
from medssl.experiments.cell import Cell
from medssl.training import images_seen, pretrain, split_budget, transfer
from medssl.training.segmentation import segment
from medssl.training.tensors import Standardisation, pick_device

__all__ = ["Job", "estimate", "jobs_of", "missing_cells", "pretraining_passes", "transfer_passes"]


@dataclass(frozen=True)
class Job:
    """One encoder or one arm that is still to be trained: kind, one of its cells, and image passes."""

    kind: str
    cell: Cell
    passes: int


def missing_cells(cells: list[Cell]) -> pd.DataFrame:
    """Return cells in a table that can be read: what is varied, label counts and seeds in one row.

    Examples
    --------
    >>> missing_cells([Cell("phantom_ct", n, 1) for n in (None, 20)]).labels.tolist()
    ['20 all']
    """
    columns = ["dataset", "method", "adaptation", "variation", "labels", "seeds", "cells"]
    groups = {}
    for cell in cells:
        key = (cell.dataset, cell.pretrain.method, cell.transfer.adaptation, _variation(cell))
        groups.setdefault(key, []).append(cell)
    rows = []
    for key, group in groups.items():
        counts = sorted({cell.n_labelled or np.inf for cell in group})
        labels = " ".join("all" if n == np.inf else str(n) for n in counts)
        seeds = " ".join(map(str, sorted({cell.seed for cell in group})))
        rows.append((*key, labels, seeds, len(group)))
    return pd.DataFrame(rows, columns=columns)


def _variation(cell):
    """Name what a cell changes of the plain comparison."""
    parts = [] if cell.comparator == "random" else [f"against {cell.comparator.replace('_', ' ')}"]
    parts += [f"pool {cell.pool:.3g}"] if cell.pool < 1 else []
    parts += [f"pretrained on {cell.pretrain_on}"] if cell.pretrain_on else []
    parts += ["another subset"] if cell.subset is not None else []
    parts += ["full validation"] if cell.selection.validation == "full_validation" else []
    return ", ".join(parts)


def pretraining_passes(cell: Cell) -> int:
    """Return how many images pass in the pretraining of a cell, each once an epoch.

    Examples
    --------
    >>> pretraining_passes(Cell("phantom_xray", 20, 0, dataset_options=(("n", 60),)))
    1800
    """
    return images_seen(cell.pretrain, len(arms.pool_rows(cell)))


def transfer_passes(cell: Cell, arm: str) -> int:
    """Return how many labelled images pass in the training of an arm, the choice of its rate included."""
    n, choice = len(arms.label_rows(cell)), cell.selection
    if cell.segments:
        return cell.transfer.steps * min(cell.transfer.batch_size, n)
    schedule = arms._schedule(cell, arm, n)
    final = schedule.steps(n) * min(schedule.batch_size, n)
    if n < choice.least_labels and choice.validation == "budget":
        return final
    kept = n if choice.validation == "full_validation" else _fitted(cell)
    trial = cell.transfer.steps(kept) * min(cell.transfer.batch_size, kept)
    return final + len(choice.learning_rates) * trial


def _fitted(cell):
    """Return how many labels of the budget a trial of one learning rate is trained on."""
    train, rows = arms.load_split(cell, "train"), arms.label_rows(cell)
    groups = None if train.groups is None else train.groups[rows]
    return len(split_budget(train.labels[rows], cell.seed, cell.selection.held_out, groups)[0])


def jobs_of(cells: list[Cell], work: str | Path) -> list[Job]:
    """Return the encoders and arms that the cells need and that do not stand below `work`."""
    work, encoders_, arms_ = Path(work), {}, {}
    for cell in cells:
        encoders_.setdefault(cell.pretraining_id, cell)
        for arm in ("ssl", "comparator"):
            arms_.setdefault(cell.arm_id(arm), (cell, arm))
    jobs = [
        Job("pretraining", cell, pretraining_passes(cell))
        for cell in encoders_.values()
        if not arms.pretraining_path(cell, work).exists()
    ]
    return jobs + [
        Job("transfer", cell, transfer_passes(cell, arm))
        for cell, arm in arms_.values()
        if not arms.arm_path(cell, arm, work).exists()
    ]


def estimate(
    cells: list[Cell],
    work: str | Path,
    *,
    workers: int = 1,
    device: str | None = None,
    progress: bool = False,
) -> pd.DataFrame:
    """Estimate the minutes that the cells take on this machine.

    Parameters
    ----------
    cells : list of Cell
        Those that are not recorded.
    work : path
        Folder of finished encoders and predictions, which cost nothing.
    workers : int
        Processes that share the work.
    device : str, optional
    progress : bool

    Returns
    -------
    DataFrame
        One row for each data set, kind of work and method: `runs`, `images_per_second` (of one process) and
        `minutes` (of all processes together, with equal shares).

    Notes
    -----
    The speed of each row is measured with a few steps on the images themselves.
    Other work on the machine makes the estimate and the run slower, not always alike.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(max(threads // workers, 1))
    try:
        groups = {}
        for job in jobs_of(cells, work):
            groups.setdefault(_key(job), []).append(job)
        bar = tqdm(groups.items(), desc="measuring", unit="speed", disable=not progress)
        rows = [_row(key, jobs, workers, device) for key, jobs in bar]
    finally:
        torch.set_num_threads(threads)
    return pd.DataFrame(rows, columns=["dataset", "kind", "method", "runs", "images_per_second", "minutes"])


def _key(job):
    if job.kind == "transfer":
        return job.cell.dataset, job.kind, ""
    return job.cell.pool_dataset[0], job.kind, job.cell.pretrain.method


def _row(key, jobs, workers, device):
    measure = _pretraining_speed if jobs[0].kind == "pretraining" else _transfer_speed
    speed = measure(jobs[0].cell, device)
    minutes = sum(job.passes for job in jobs) / speed / 60 / workers
    return (*key, len(jobs), speed, minutes)


def _pretraining_speed(cell, device, batches: int = 3) -> float:
    """Return images a second: two runs of different length, so that what happens once falls out."""
    pool = arms.pool_images(cell)
    size = min(cell.pretrain.batch_size, len(pool))
    images = pool.images[:size]

    def run(epochs):
        config = replace(cell.pretrain, epochs=epochs)
        return pretrain(images, pool.modality, config, device=device, crop=cell.crop).minutes * 60

    run(1)
    return size * batches / max(run(1 + batches) - run(1), 1e-6)


def _transfer_speed(cell, device, steps: int = 20) -> float:
    train = arms.load_split(cell, "train")
    size = min(cell.transfer.batch_size, len(train))
    encoder = encoders.build(cell.pretrain.encoder).to(pick_device(device)).cpu()
    if cell.segments:
        return _segmentation_speed(cell, train, encoder, device)
    config = replace(cell.transfer, least_steps=steps, most_steps=steps)
    labels = np.arange(size) % len(train.classes)
    common = (train.images[:size], labels, len(train.classes), encoder, train.modality)
    done = transfer(*common, Standardisation.of(train.images[:size]), config, device=device)
    return size * steps / max(done.minutes * 60, 1e-6)


def _segmentation_speed(cell, train, encoder, device, steps: int = 3) -> float:
    size = min(cell.transfer.batch_size, len(train))
    images, masks = train.images[:size], train.labels[:size]
    config, standardise = replace(cell.transfer, steps=steps), Standardisation.of(images)
    done = segment(images, masks, len(train.classes), encoder, standardise, config, device=device)
    return size * steps / max(done.minutes * 60, 1e-6)
