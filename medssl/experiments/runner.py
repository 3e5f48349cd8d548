"""Run a grid: what is recorded is not run again, what is finished is kept when a run is killed.

Block by block (a data set and a seed), first the encoders, then the arms in the order of the cells; a
record is written as soon as both its arms are there. The processes share nothing but files that appear whole.
"""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import torch
from tqdm import tqdm

from medssl.errors import RunError, UsageError
from medssl.experiments import arms
from medssl.experiments.cell import Cell
from medssl.experiments.cost import jobs_of, pretraining_passes, transfer_passes
from medssl.experiments.records import load_records, record_path, write_record
from medssl.files import check_writable

__all__ = ["Plan", "plan", "run_grid"]

WORK = Path("_runs")


@dataclass(frozen=True)
class Plan:
    """Cells that are recorded and cells that are not."""

    recorded: list[Cell]
    missing: list[Cell]

    @property
    def encoders(self) -> int:
        """Number of encoders that the missing cells need."""
        return len({cell.pretraining_id for cell in self.missing})


def plan(cells: list[Cell], records: str | Path) -> Plan:
    """Say which cells are recorded below `records`, without running anything."""
    there = [cell for cell in cells if record_path(cell, records).exists()]
    return Plan(there, [cell for cell in cells if not record_path(cell, records).exists()])


def run_grid(
    cells: list[Cell],
    records: str | Path,
    *,
    work: str | Path = WORK,
    workers: int = 1,
    device: str | None = None,
    progress: bool = True,
):
    """Run the cells that are not recorded and return the records of all of them.

    Parameters
    ----------
    cells : list of Cell
    records : path
        Folder of the records; one file a cell.
    work : path
        Folder of encoders and per-case predictions, which are not committed; safe to delete.
    workers : int
        Processes; each takes its share of the cores.
    device : str, optional
        "cpu" or "cuda".
    progress : bool
        Show a bar with the remaining time.

    Returns
    -------
    list of Record
        In the order of `cells`.

    Raises
    ------
    UsageError
        Fewer than one worker.
    RunError
        A worker was killed, or a folder cannot be written; finished parts are kept.
    """
    if workers < 1:
        raise UsageError(f"workers must be at least 1, got {workers}.")
    records, work = Path(records), Path(work)
    todo = plan(cells, records)
    load_records(record_path(cell, records) for cell in todo.recorded)  # damaged ones are named now
    missing = todo.missing
    if missing:
        check_writable(records)
        check_writable(work)
        pool = _pool(workers)
        try:
            with _bar(missing, work, progress) as bar:
                for block in _blocks(missing):
                    _encoders(block, work, device, pool, bar)
                    _arms(block, records, work, device, pool, bar)
        except BrokenProcessPool as error:
            raise RunError(
                "a worker process was killed (often: not enough memory). "
                "Finished parts are kept: run the same command again, with fewer workers."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C nothing new starts
    return load_records(record_path(cell, records) for cell in cells)


def _blocks(cells):
    """Split cells where data set or seed change: early blocks are whole when a long run is stopped."""
    return [list(block) for _, block in groupby(cells, key=lambda cell: (cell.dataset, cell.seed))]


def _bar(missing, work, progress):
    """One bar over the whole run in passed images, whose remaining time weighs long and short jobs."""
    total = sum(job.passes for job in jobs_of(missing, work)) if progress else 0
    return tqdm(total=total, desc="images passed", unit="image", unit_scale=True, disable=not progress)


def _encoders(missing, work, device, pool, bar):
    unique = {cell.pretraining_id: cell for cell in missing}
    todo = [cell for cell in unique.values() if not arms.pretraining_path(cell, work).exists()]
    jobs = {pool.submit(arms.run_pretraining, cell, work, device): cell for cell in todo}
    for job in as_completed(jobs):
        job.result()
        bar.update(0 if bar.disable else pretraining_passes(jobs[job]))


def _arms(missing, records, work, device, pool, bar):
    """Train arms; the parent writes each record when its second arm arrives."""
    waiting = {}
    for cell in missing:
        for arm in ("ssl", "comparator"):
            waiting.setdefault(cell.arm_id(arm), (cell, arm, []))[2].append(cell)
    jobs = {
        pool.submit(arms.run_arm, cell, arm, work, device): (cell, arm, users)
        for cell, arm, users in waiting.values()
        if not _stands(cell, arm, users, records, work, device)
    }
    for job in as_completed(jobs):
        job.result()
        cell, arm, users = jobs[job]
        bar.update(0 if bar.disable else transfer_passes(cell, arm))
        for user in users:
            _record_if_ready(user, records, work, device)


def _stands(cell, arm, users, records, work, device):
    """Say whether an arm is there already; what it completes is recorded."""
    if not arms.arm_path(cell, arm, work).exists():
        return False
    for user in users:
        _record_if_ready(user, records, work, device)
    return True


def _record_if_ready(cell, records, work, device):
    ssl, comparator = (arms.arm_path(cell, arm, work) for arm in ("ssl", "comparator"))
    if ssl.exists() and comparator.exists() and not record_path(cell, records).exists():
        write_record(cell, ssl, comparator, arms.pretraining_path(cell, work), records, device)


def _pool(workers: int):
    if workers == 1:
        return ThreadPoolExecutor(1)  # in this process: nothing to start, data loaded once
    threads = max(torch.get_num_threads() // workers, 1)
    context = multiprocessing.get_context("spawn")  # a forked torch can hang
    return ProcessPoolExecutor(workers, context, torch.set_num_threads, (threads,))
