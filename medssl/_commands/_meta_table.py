"""The table of effects that `medssl meta` reads: named columns, checked, in the names that analyses use."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from medssl.errors import DataError, UsageError

__all__ = ["Columns", "read_effects"]


@dataclass(frozen=True)
class Columns:
    """Which column of the file holds what."""

    yi: str
    vi: str
    sei: str | None
    cluster: str | None
    label: str | None

    def wanted(self) -> list[str]:
        """Return the named columns, each once."""
        spread = self.vi if self.sei is None else self.sei
        return list(dict.fromkeys(name for name in (self.yi, spread, self.cluster, self.label) if name))


def read_effects(
    file: Path, columns: Columns, moderators: str | None, *, where: str | None, drop_missing: bool
) -> tuple[pd.DataFrame, int]:
    """Return the effects with `yi`, `vi`, `cluster_id`, `label` beside the columns of the file.

    Also returns how many rows were left out for a missing value in a column that the analysis uses.
    """
    table = _read(file)
    missing = [name for name in columns.wanted() if name not in table]
    if missing:
        known = ", ".join(map(str, table.columns))
        raise UsageError(f"{file} has no column {', '.join(missing)}; it has {known}.")
    table = _kept(file, table, where)
    complete = _complete(file, table, columns, moderators, drop_missing)
    return _named(table[complete].reset_index(drop=True), columns), int((~complete).sum())


def _read(file: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(file)
    except FileNotFoundError as error:
        raise DataError(f"{file}: no such file. Give the path of a CSV table of effects.") from error
    except (OSError, UnicodeDecodeError, pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise DataError(f"{file}: not readable as CSV ({error}).") from error


def _kept(file: Path, table: pd.DataFrame, where: str | None) -> pd.DataFrame:
    if where is None:
        return table
    try:
        kept = table.query(where)
    except Exception as error:  # pandas raises what the expression raises
        raise UsageError(f"--where {where!r} cannot select rows of {file} ({error}).") from error
    if kept.empty:
        raise UsageError(f"--where {where!r} keeps no row of {file}.")
    return kept


def _complete(file, table: pd.DataFrame, columns: Columns, moderators, drop_missing: bool) -> np.ndarray:
    from medssl.meta._formula import formula_variables

    used = columns.wanted() + [name for name in formula_variables(moderators) if name in table]
    empty = table[used].isna()
    rows = np.flatnonzero(empty.any(axis=1))
    if len(rows) and not drop_missing:
        name = empty.columns[empty.iloc[rows[0]].to_numpy()][0]
        raise UsageError(
            f"{file}, line {table.index[rows[0]] + 2}: {name} is missing ({len(rows)} such rows). "
            "Complete them, or leave them out with --drop-missing."
        )
    if len(rows) == len(table):
        raise UsageError(
            f"{file}: every row misses a value in {', '.join(used)}; nothing is left to analyse."
        )
    return ~empty.any(axis=1).to_numpy()


def _named(table: pd.DataFrame, columns: Columns) -> pd.DataFrame:
    spread = _numbers(table, columns.vi) if columns.sei is None else _numbers(table, columns.sei) ** 2
    made = {
        "yi": _numbers(table, columns.yi),
        "vi": spread,
        "cluster_id": table[columns.cluster].astype(str) if columns.cluster else None,
        "label": table[columns.label].astype(str) if columns.label else [f"row {i + 1}" for i in table.index],
    }
    return table.assign(**{name: values for name, values in made.items() if values is not None})


def _numbers(table: pd.DataFrame, name: str) -> pd.Series:
    try:
        return table[name].astype(float)
    except ValueError as error:
        raise UsageError(f"column {name} holds something that is no number ({error}).") from error
