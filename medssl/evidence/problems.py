"""What is wrong with a table: one problem for each cell, with the reason and the remedy."""

from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

__all__ = ["Problem", "as_table", "problems_of"]


@dataclass(frozen=True)
class Problem:
    """One cell that breaks a rule.

    Attributes
    ----------
    line : int
        Line of the file on which the row begins.
    effect_id, column, reason, remedy : str
        Where it is, what is wrong and what to do.
    """

    line: int
    effect_id: str
    column: str
    reason: str
    remedy: str


def problems_of(rows: pd.DataFrame, wrong: pd.Series, column: str, reason, remedy: str) -> Iterator[Problem]:
    """Yield a problem for each row where `wrong` is true.

    Parameters
    ----------
    rows : DataFrame
        Indexed by line, with `effect_id`.
    wrong : Series of bool
        On the same index.
    column, remedy : str
    reason : str or callable
        A callable gets the row.
    """
    for line, row in rows[wrong.to_numpy(bool)].iterrows():
        text = reason(row) if callable(reason) else reason
        yield Problem(int(line), str(row.get("effect_id", "")), column, text, remedy)


def as_table(problems: list[Problem]) -> pd.DataFrame:
    """Return problems as a table, in the order of the file.

    Examples
    --------
    >>> as_table([Problem(2, "E0001", "year", "it is not a number", "Write a year")])["column"].tolist()
    ['year']
    """
    columns = ["line", "effect_id", "column", "reason", "remedy"]
    rows = [[getattr(problem, name) for name in columns] for problem in problems]
    table = pd.DataFrame(rows, columns=columns)
    return table.sort_values(["line", "column"], kind="stable").reset_index(drop=True)
