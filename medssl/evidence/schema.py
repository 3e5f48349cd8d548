"""Rules for single cells, as a pandera schema over the text of the file."""

import pandas as pd
import pandera.pandas as pa

from medssl.evidence.dispersion import parse_dispersion
from medssl.evidence.fields import COLUMNS, FIELDS, Field
from medssl.evidence.problems import Problem

__all__ = ["check_cells", "check_header", "schema"]

SEPARATOR = " || "
ID = r"E\d{4,6}"
NAME = r"[a-z0-9][a-z0-9_&.-]*"


def check_header(rows: pd.DataFrame) -> list[Problem]:
    """Return a problem for each column that is missing or not known."""
    missing = [name for name in COLUMNS if name not in rows]
    unknown = [name for name in rows if name not in COLUMNS]
    return [
        *(Problem(1, "", name, "the column is missing", "Add it, blank where unknown") for name in missing),
        *(Problem(1, "", name, "the column is not known", "Remove or rename it") for name in unknown),
    ]


def check_cells(rows: pd.DataFrame, fields: tuple[Field, ...] = FIELDS) -> list[Problem]:
    """Return a problem for each cell that breaks a rule of its column.

    Parameters
    ----------
    rows : DataFrame
        Text, indexed by line, with the columns of `fields` and `effect_id`.
    fields : tuple of Field
        Which columns to check.
    """
    names = [field.name for field in fields]
    try:
        schema(fields).validate(rows[names].reset_index(drop=True), lazy=True)
    except pa.errors.SchemaErrors as errors:
        found = errors.failure_cases.drop_duplicates(["column", "check", "index"])
        return [_problem(rows, *case) for case in found[["column", "check", "index"]].itertuples(index=False)]
    return []


def _problem(rows, column, check, position):
    row = rows.iloc[int(position)]
    if SEPARATOR not in str(check):
        check = "{value} occurs twice" + SEPARATOR + "Give each row an id of its own"
    reason, _, remedy = str(check).partition(SEPARATOR)
    return Problem(int(row.name), row["effect_id"], column, reason.format(value=_shown(row[column])), remedy)


def _shown(text):
    return repr(text if len(text) <= 40 else text[:39] + "…")


def schema(fields: tuple[Field, ...] = FIELDS) -> pa.DataFrameSchema:
    """Return the pandera schema: one column a field, each check with its reason and its remedy.

    Examples
    --------
    >>> list(schema().columns)[:3]
    ['effect_id', 'cluster_id', 'study_id']
    """
    return pa.DataFrameSchema({field.name: _column(field) for field in fields}, strict=True)


def _column(field: Field) -> pa.Column:
    checks = [_trimmed()]
    if field.required:
        checks.append(_check(lambda cells: cells != "", "the cell is blank", f"Give {field.help}"))
    if field.allowed:
        checks.append(_one_of(field))
    if field.low is not None:
        checks += _numeric(field)
    if field.name in ("baseline_sd_or_ci", "ssl_sd_or_ci"):
        checks.append(_dispersion())
    checks += [_pattern(pattern) for name, pattern in PATTERNS if name == field.name]
    return pa.Column(str, checks, unique=field.name == "effect_id")


PATTERNS = (("effect_id", ID), ("cluster_id", NAME), ("study_id", NAME))


def _check(test, reason, remedy):
    return pa.Check(test, error=reason + SEPARATOR + remedy)


def _trimmed():
    return _check(lambda cells: cells == cells.str.strip(), "{value} has white space around it", "Remove it")


def _pattern(pattern):
    return _check(
        lambda cells: (cells == "") | cells.str.fullmatch(pattern),
        "{value} is not a name of the right form",
        f"Write one that matches {pattern.replace('{', '{{').replace('}', '}}')}",
    )


def _one_of(field):
    known = list(field.allowed)
    return _check(
        lambda cells: cells.isin(["", *known]), "{value} is not known", f"Choose one of {', '.join(known)}"
    )


def _numeric(field):
    remedy = f"Write {field.help} as a plain number" + (", or leave the cell blank" * (not field.required))
    yield _check(lambda cells: (cells == "") | _number(cells).notna(), "{value} is not a number", remedy)
    limits = f"{'above' if field.open else 'from'} {field.low:g} to {field.high:g}"

    def inside(cells):
        number = _number(cells)
        above = number > field.low if field.open else number >= field.low
        return number.isna() | (above & (number <= field.high))

    yield _check(
        inside, f"{{value}} lies outside {limits}", f"Write a value {limits}; percents are divided by 100"
    )
    if field.whole:
        yield _check(
            lambda cells: _number(cells).isna() | (_number(cells) % 1 == 0),
            "{value} is not a whole number",
            remedy,
        )


def _number(cells):
    return pd.to_numeric(cells, errors="coerce").astype(float)


def _dispersion():
    return _check(
        lambda cells: cells.map(lambda text: parse_dispersion(text).kind != "not understood"),
        "{value} is not understood",
        "Write it as SD 0.01 (5 runs), SE 0.01 or 95%CI 0.8-0.9; medssl.evidence.dispersion has the grammar",
    )
