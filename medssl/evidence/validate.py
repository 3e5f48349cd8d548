"""Check a table of evidence: cells, rows, and rows against each other."""

from pathlib import Path

import pandas as pd

from medssl.errors import DataError
from medssl.evidence.problems import as_table
from medssl.evidence.rules import check_rows
from medssl.evidence.schema import check_cells, check_header
from medssl.evidence.table_rules import check_table
from medssl.evidence.tables import read_rows, table_path, typed

__all__ = ["validate", "validate_rows"]


def validate(path: str | Path | None = None) -> pd.DataFrame:
    """Return what is wrong with a file of evidence.

    Parameters
    ----------
    path : str or Path, optional
        A CSV file with the columns of `medssl.evidence.fields.COLUMNS`; by default the table of the
        package.

    Returns
    -------
    DataFrame
        One row for each problem, in the order of the file: `line`, `effect_id`, `column`, `reason`,
        `remedy`. Empty when nothing is wrong.

    Raises
    ------
    DataError
        The file cannot be read, or has no rows.

    Examples
    --------
    >>> len(validate())
    0
    """
    path = table_path("published_effects") if path is None else path
    rows = read_rows(path)
    if rows.empty:
        raise DataError(f"{path}: it has no rows. Write one comparison a line below the header.")
    return validate_rows(rows)


def validate_rows(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what is wrong with rows of text, indexed by line; `validate` describes the result."""
    problems = check_header(rows)
    if not problems:
        numbers = typed(rows)
        problems = [*check_cells(rows), *check_rows(numbers), *check_table(numbers)]
    return as_table(problems)
