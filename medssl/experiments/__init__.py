"""The controlled comparison: cells as data, one record a cell, a runner that never repeats itself."""

from medssl.experiments.baseline import ensure_plain_probe, plain_probe
from medssl.experiments.cell import Cell
from medssl.experiments.cost import estimate
from medssl.experiments.grids import GRIDS, grid
from medssl.experiments.records import find_records, load_records, record_path, to_table
from medssl.experiments.runner import plan, run_grid
from medssl.experiments.verify import Verification, verify

__all__ = [
    "GRIDS",
    "Cell",
    "Verification",
    "ensure_plain_probe",
    "estimate",
    "find_records",
    "grid",
    "load_records",
    "plain_probe",
    "plan",
    "record_path",
    "run_grid",
    "to_table",
    "verify",
]
