"""A grid on generated images that takes a second, and the records of it, made once."""

import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from medssl.experiments import Cell, run_grid
from medssl.experiments.grids import phantom_grid
from medssl.training import SelectionConfig


class Killed(BaseException):
    """Stands for a run that ends from outside: nothing in the package may catch it."""


def tiny(cell: Cell) -> Cell:
    """The cell with images of 16 pixels, three steps, and a choice of rates from six labels on."""
    steps = replace(cell.transfer, least_steps=3, most_steps=3)
    selection = SelectionConfig(learning_rates=(1e-3, 3e-3), least_labels=6)
    options = (*cell.dataset_options, ("size", 16))
    return replace(cell, transfer=steps, selection=selection, dataset_options=options)


@dataclass(frozen=True)
class Finished:
    """A grid that has run: its cells, records and folders; tests must not change them."""

    cells: list
    found: list
    records: Path
    work: Path


@pytest.fixture(scope="session")
def cells() -> list[Cell]:
    """Two label counts, two methods, one seed."""
    grid = phantom_grid(images=60, epochs=2, label_counts=(4, 8), seeds=(1,), difficulty=0.2)
    return [tiny(cell) for cell in grid]


@pytest.fixture(scope="session")
def finished(cells, tmp_path_factory) -> Finished:
    """The grid, run without a disturbance."""
    folder = tmp_path_factory.mktemp("grid")
    records, work = folder / "records", folder / "work"
    return Finished(cells, run_grid(cells, records, work=work, progress=False), records, work)


@pytest.fixture
def started(finished, tmp_path) -> Finished:
    """A copy of the finished grid that a test may damage."""
    for name in ("records", "work"):
        shutil.copytree(getattr(finished, name), tmp_path / name)
    return Finished(finished.cells, finished.found, tmp_path / "records", tmp_path / "work")


@pytest.fixture
def killed():
    """The exception of a killed run."""
    return Killed


@pytest.fixture
def without_clock():
    """Return a function that gives a record as plain data without times of day and durations."""

    def strip(value):
        if isinstance(value, dict):
            return {key: strip(item) for key, item in value.items() if key not in ("minutes", "finished")}
        return value

    return lambda record: strip(json.loads(record.model_dump_json()))
