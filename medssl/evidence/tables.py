"""The tables of the evidence as they lie in the package, and the rows that an analysis takes."""

import csv
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path

import pandas as pd

from medssl.errors import DataError, UsageError
from medssl.evidence.fields import NUMERIC
from medssl.files import atomic_path

__all__ = ["POOLS", "published", "read_rows", "read_table", "table_path", "typed", "write_rows"]

POOLS = ("primary", "sensitivity", "natural_images", "excluded")
TABLES = (
    "published_effects", "corrections", "studies", "paired_gains", "gain_only", "unmatched",
    "dispersion_meaning", "risk_of_bias_manual",
)  # fmt: skip


def published(pool: str | Iterable[str] = "primary", *, supervision: str | None = None) -> pd.DataFrame:
    """Return the published comparisons of one or several pools.

    Parameters
    ----------
    pool : str or iterable of str
        "primary", "sensitivity", "natural_images", "excluded", or "all" for every pool but the excluded
        one, whose rows never enter an analysis.
    supervision : str, optional
        Keep only "self", "weak_metadata" or "weak_labels"; the primary analysis takes "self".

    Returns
    -------
    DataFrame
        The columns of `medssl.evidence.FIELDS`, in the order of the file; scores on 0 to 1, counts and
        fractions as float with NaN where the source does not say, text with "" there.

    Raises
    ------
    UsageError
        An unknown pool or kind of supervision.

    Examples
    --------
    >>> table = published("primary", supervision="self")
    >>> set(table["pool"]), set(table["adaptation"])
    ({'primary'}, {'both_finetuned'})
    """
    wanted = [pool] if isinstance(pool, str) else list(pool)
    wanted = [name for name in POOLS if name != "excluded"] if wanted == ["all"] else wanted
    for name in wanted:
        _known("pool", name, (*POOLS, "all"))
    table = typed(read_table("published_effects"))
    rows = table["pool"].isin(wanted)
    if supervision is not None:
        _known("supervision", supervision, sorted(set(table["supervision"])))
        rows &= table["supervision"] == supervision
    return table[rows].reset_index(drop=True)


def _known(name, value, known):
    if value not in known:
        raise UsageError(f"unknown {name} {value!r}: choose one of {', '.join(known)}.")


def read_table(name: str) -> pd.DataFrame:
    """Return a table of the package as text, with a fresh copy for each call.

    Parameters
    ----------
    name : str
        "published_effects", "corrections", "studies", "paired_gains", "gain_only", "unmatched",
        "dispersion_meaning" or "risk_of_bias_manual".

    Examples
    --------
    >>> read_table("corrections").columns.tolist()
    ['effect_id', 'column', 'before', 'after', 'reason']
    """
    _known("table", name, TABLES)
    return _read_cached(name).copy()


@lru_cache
def _read_cached(name):
    return read_rows(table_path(name)).reset_index(drop=True)


def table_path(name: str) -> Path:
    """Return the file of a table of the package."""
    return Path(__file__).with_name(f"{name}.csv")


def read_rows(path: str | Path) -> pd.DataFrame:
    """Read a CSV file as text; the index holds the line on which each row begins.

    Raises
    ------
    DataError
        No such file, not UTF-8, no header, a name twice in the header, or a row with too few or too
        many cells; the text names the line.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as stream:
            return _parse(path, csv.reader(stream, strict=True))
    except FileNotFoundError as error:
        raise DataError(f"{path}: no such file. Give the path of a CSV table.") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path}: not readable as CSV in UTF-8 ({error}).") from error


def _parse(path, reader):
    header = next(reader, None)
    if not header:
        raise DataError(f"{path}: empty. The first line names the columns.")
    if len(set(header)) < len(header):
        raise DataError(f"{path}, line 1: a column is named twice. Give each column its own name.")
    lines, rows, start = [], [], reader.line_num + 1
    for row in reader:
        if row and len(row) != len(header):
            raise DataError(
                f"{path}, line {start}: {len(row)} cells, but the header has {len(header)}. "
                "Quote cells that contain commas."
            )
        if row:
            lines.append(start)
            rows.append(row)
        start = reader.line_num + 1
    return pd.DataFrame(rows, columns=header, index=pd.Index(lines, name="line", dtype="int64"), dtype=str)


def typed(rows: pd.DataFrame) -> pd.DataFrame:
    """Return a copy with numbers in the numeric columns, NaN where a cell holds none."""
    numbers = {name: pd.to_numeric(rows[name], errors="coerce") for name in NUMERIC if name in rows}
    return rows.assign(**{name: column.astype(float) for name, column in numbers.items()})


def write_rows(path: str | Path, rows: pd.DataFrame) -> Path:
    """Write text rows as CSV, all or nothing."""
    with atomic_path(path) as part, open(part, "w", newline="", encoding="utf-8") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(rows.columns)
        writer.writerows(rows.itertuples(index=False))
    _read_cached.cache_clear()
    return Path(path)
