"""Add comparisons to the evidence: ids assigned, duplicates refused, nothing half written."""

from pathlib import Path

import pandas as pd

from medssl.errors import DataError, UsageError
from medssl.evidence.fields import COLUMNS, STUDY_COLUMNS, Field
from medssl.evidence.schema import check_cells
from medssl.evidence.table_rules import DESIGN_KEY
from medssl.evidence.tables import read_rows, table_path, typed, write_rows
from medssl.evidence.validate import validate_rows

__all__ = ["add_rows", "known_study", "refusal", "row_of"]


def add_rows(new: pd.DataFrame, path: str | Path | None = None) -> pd.DataFrame:
    """Append comparisons to a table of evidence, all or none.

    Parameters
    ----------
    new : DataFrame
        Rows of text with the columns of `medssl.evidence.fields.COLUMNS`; `effect_id` may be absent or
        blank, and is assigned in any case.
    path : str or Path, optional
        The table; by default that of the package.

    Returns
    -------
    DataFrame
        The rows as they were written, with their ids.

    Raises
    ------
    UsageError
        No rows, an unknown or missing column, or a comparison that is in the table already or twice in
        `new`; the text names the row and the `effect_id` of the other one.
    DataError
        The table with the new rows breaks a rule; the text holds the first problem and their number.
        The file is left as it was.

    Examples
    --------
    >>> import shutil, tempfile
    >>> copy = Path(shutil.copy(table_path("published_effects"), tempfile.mkdtemp()))
    >>> last = read_rows(copy).iloc[[-1]]
    >>> add_rows(last.assign(task="another task"), copy)["effect_id"].tolist()
    ['E1797']
    """
    path = table_path("published_effects") if path is None else Path(path)
    table = read_rows(path)
    new = _complete(new, table)
    _refuse_duplicates(table, new)
    joined = pd.concat([table, new])
    joined.index = pd.RangeIndex(2, len(joined) + 2, name="line")
    problems = validate_rows(joined)
    if len(problems):
        first = problems.iloc[0]
        raise DataError(
            f"{first.effect_id}, column {first.column}: {first.reason}. {first.remedy}. "
            f"{len(problems)} problems in all; {path.name} is left as it was."
        )
    write_rows(path, joined)
    return new


def _complete(new, table):
    new = new.reset_index(drop=True)
    if new.empty:
        raise UsageError("there is no row to add: write one comparison a line below the header.")
    wanted = [name for name in COLUMNS if name != "effect_id"]
    missing = [name for name in wanted if name not in new]
    unknown = [name for name in new if name not in COLUMNS]
    if missing or unknown:
        what = f"lacks the column {missing[0]}" if missing else f"has the unknown column {unknown[0]}"
        raise UsageError(f"the table of new rows {what}: its columns are {', '.join(COLUMNS)}.")
    numbers = table["effect_id"].str.extract(r"^E(\d+)$")[0].dropna().astype(int)
    first = int(numbers.max()) + 1 if len(numbers) else 1
    return new.assign(effect_id=[f"E{first + i:04d}" for i in range(len(new))])[COLUMNS]


def _refuse_duplicates(table, new):
    """The same study, task, data, labels, method, metric, network and comparator."""
    keys = typed(pd.concat([table[COLUMNS], new], ignore_index=True))
    groups = keys.groupby(DESIGN_KEY, dropna=False).ngroup()
    first = keys.index.to_series().groupby(groups).transform("first")
    for position in keys.index[(keys.index >= len(table)) & (first != keys.index)]:
        row, other = keys.loc[position], int(first[position])
        number, before = position - len(table) + 1, other - len(table) + 1
        where = keys.loc[other, "effect_id"] if before < 1 else f"row {before} of the new rows"
        raise UsageError(
            f"new row {number} ({row['study_id']}, {row['task']}, {row['ssl_method']}) is "
            f"the same comparison as {where}: leave it out, or say in task or ssl_method what differs."
        )


def known_study(table: pd.DataFrame, study_id: str) -> dict[str, str]:
    """Return what the table knows of a study already, {} for a new one.

    Examples
    --------
    >>> from medssl.evidence.tables import read_table
    >>> known_study(read_table("published_effects"), "truong2021_transferable")["first_author"]
    'Truong'
    """
    rows = table[table["study_id"] == study_id]
    return {} if rows.empty else rows.iloc[0][STUDY_COLUMNS].to_dict()


def refusal(field: Field, text: str) -> str:
    """Say why `text` cannot stand in a column, or return "".

    Examples
    --------
    >>> from medssl.evidence.fields import FIELDS
    >>> modality = next(field for field in FIELDS if field.name == "modality")
    >>> refusal(modality, "pet")
    "'pet' is not known. Choose one of xray, ct, mri, ultrasound"
    """
    row = pd.DataFrame({"effect_id": ["E0000"], field.name: [text]}, index=[2], dtype=str)
    found = check_cells(row, (field,))
    return f"{found[0].reason}. {found[0].remedy}" if found else ""


def row_of(answers: dict[str, str]) -> pd.DataFrame:
    """Return answers as one row of text, blank where there is none."""
    return pd.DataFrame({name: [answers.get(name, "")] for name in COLUMNS}, dtype=str)
