"""Checked effects, variances and design matrices."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.linalg import qr

from medssl.errors import UsageError
from medssl.meta._formula import Formula, parse_formula

__all__ = [
    "Design",
    "DesignRows",
    "check_choice",
    "check_level",
    "design_matrix",
    "effects_and_variances",
    "prediction_matrix",
    "same_index",
    "same_length",
]

INTERCEPT = "intercept"


@dataclass(frozen=True, eq=False)
class DesignRows:
    """What it takes to build rows of a design: column names, and the formula when there was one."""

    names: tuple[str, ...]
    formula: Formula | None = None
    fitted: np.ndarray | None = None  # the rows of the fit [k, p]

    def at(self, moderators) -> tuple[np.ndarray, pd.Index]:
        """Return the rows to predict at; without moderators one row, or the fitted ones."""
        if moderators is not None:
            return prediction_matrix(moderators, self.names, self.formula)
        rows = self.fitted if len(self.names) > 1 else np.ones((1, 1))
        return rows, pd.RangeIndex(len(rows))

    def columns(self, name: str) -> list[int]:
        """Return the numbers of the columns of a coefficient or of a term of the formula."""
        if name in self.names:
            return [self.names.index(name)]
        terms = self.formula.terms if self.formula is not None else {}
        for term, columns in terms.items():
            if "".join(term.split()) == "".join(name.split()):  # `ns(x,df=3)` is `ns(x, df=3)`
                return [self.names.index(column) for column in columns]
        known = ", ".join(dict.fromkeys([*self.names, *terms]))
        raise UsageError(f"the model has no term {name!r}; it has {known}.")


@dataclass(frozen=True, eq=False)
class Design:
    """Column names and values [k, p]; the intercept is the first column."""

    names: tuple[str, ...]
    values: np.ndarray
    formula: Formula | None = None

    @property
    def rows(self) -> DesignRows:
        """How to build more rows of this design."""
        return DesignRows(self.names, self.formula, self.values)


def check_choice(what: str, value: str, allowed) -> str:
    """Return `value` when it is one of `allowed`, else raise `UsageError`."""
    if value not in allowed:
        raise UsageError(f"{what} is {value!r}; it must be one of {', '.join(allowed)}.")
    return value


def check_level(level: float) -> None:
    """Raise `UsageError` when `level` is no coverage between 0 and 1."""
    if not isinstance(level, int | float | np.number) or not 0 < level < 1:
        raise UsageError(f"level is {level!r}; it must lie between 0 and 1, for example 0.95.")


def effects_and_variances(yi, vi) -> tuple[np.ndarray, np.ndarray]:
    """Return effects and sampling variances as float arrays of shape (k,)."""
    y, v = _vector("yi", yi), _vector("vi", vi)
    if len(y) != len(v):
        raise UsageError(f"yi has {len(y)} values and vi has {len(v)}; give one variance for each effect.")
    same_index("yi", yi, "vi", vi)
    bad = np.flatnonzero(v <= 0)
    if len(bad):
        raise UsageError(
            f"vi must be positive; row {bad[0]} is {v[bad[0]]:g} ({len(bad)} such rows). "
            "Give the sampling variance (squared standard error) or leave the row out."
        )
    return y, v


def _vector(name: str, values) -> np.ndarray:
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"{name} is not numeric ({error}).") from error
    if array.ndim != 1:
        raise UsageError(f"{name} has shape {array.shape}; give one dimension, one value for each effect.")
    if len(array) == 0:
        raise UsageError(f"{name} is empty; there is nothing to analyse.")
    _finite(name, array)
    return array


def _finite(name: str, array: np.ndarray) -> None:
    rows = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
    if len(rows):
        raise UsageError(
            f"{name} has missing or infinite values (first in row {rows[0]}, {len(rows)} rows). "
            "Drop or complete these rows first."
        )


def same_index(name: str, first, other_name: str, second) -> None:
    pandas = (pd.Series, pd.DataFrame)
    if isinstance(first, pandas) and isinstance(second, pandas) and not first.index.equals(second.index):
        raise UsageError(
            f"{name} and {other_name} have different row labels, so their rows may not correspond. "
            "Take both from one table, or call .reset_index(drop=True) on each."
        )


def same_length(name: str, values, k: int) -> None:
    """Raise `UsageError` when `values` has another number of rows than the effects."""
    if len(values) != k:
        raise UsageError(f"{name} has {len(values)} rows and yi has {k}; they must agree.")


def design_matrix(moderators, yi, k: int, data=None) -> Design:
    """Return the design with an intercept; collinear or unusable moderators raise `UsageError`."""
    formula = None
    if isinstance(moderators, str):
        formula = _formula(moderators, yi, k, data)
        names, values = formula.names, formula.values(data)
        if not names:
            return Design((INTERCEPT,), np.ones((k, 1)), formula)
    elif data is not None:
        raise UsageError("data is the table of a formula; give moderators as a formula, or leave data out.")
    elif moderators is None:
        return Design((INTERCEPT,), np.ones((k, 1)))
    else:
        names, values = _named_columns(moderators)
        same_length("moderators", values, k)
        same_index("yi", yi, "moderators", moderators)
    names = (INTERCEPT, *names)
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise UsageError(
            f"moderators repeats the name {', '.join(repeated)} (the intercept is added here). "
            "Rename or drop the column."
        )
    design = Design(names, np.column_stack([np.ones(k), values]), formula)
    if k >= len(names):
        _full_rank(design)
    return design


def _formula(text: str, yi, k: int, data) -> Formula:
    if not isinstance(data, pd.DataFrame):
        raise UsageError(
            f"moderators is the formula {text!r}; give a table of moderators as data=, or an array."
        )
    same_length("data", data, k)
    same_index("yi", yi, "data", data)
    return parse_formula(text, data)


def _named_columns(moderators) -> tuple[tuple[str, ...], np.ndarray]:
    if isinstance(moderators, str):
        raise UsageError(f"moderators is the text {moderators!r}; give a table, an array or a series.")
    if isinstance(moderators, pd.Series):
        moderators = moderators.to_frame("x1" if moderators.name is None else moderators.name)
    if isinstance(moderators, pd.DataFrame):
        names = tuple(str(name) for name in moderators.columns)
        columns = [_vector(f"moderator {name!r}", moderators.iloc[:, i]) for i, name in enumerate(names)]
        values = np.column_stack(columns) if columns else np.empty((len(moderators), 0))
    else:
        values = _matrix(moderators)
        names = tuple(f"x{i + 1}" for i in range(values.shape[1]))
    if not names:
        raise UsageError("moderators has no columns; leave it out for a model with the intercept alone.")
    return names, values


def _matrix(moderators) -> np.ndarray:
    try:
        values = np.asarray(moderators, dtype=float)
    except (TypeError, ValueError) as error:
        raise UsageError(f"moderators is not numeric ({error}). Code categories as 0/1 columns.") from error
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.size == 0:
        raise UsageError(f"moderators has shape {values.shape}; give rows by columns.")
    _finite("moderators", values)
    return values


def _full_rank(design: Design) -> None:
    scaled = design.values / np.maximum(np.linalg.norm(design.values, axis=0), np.finfo(float).tiny)
    scaled[:, 1:] -= scaled[:, 1:].mean(axis=0)  # a large mean must not hide in the intercept
    size = np.linalg.norm(scaled, axis=0)
    constant = [name for name, s in zip(design.names[1:], size[1:], strict=True) if s < 1e-12]
    if constant:
        raise UsageError(f"moderator {constant[0]!r} does not vary; it cannot be told from the intercept.")
    _, triangle, order = qr(scaled / size, mode="economic", pivoting=True)
    dependent = [design.names[i] for i, d in zip(order, np.diag(triangle), strict=True) if abs(d) < 1e-9]
    if dependent:
        raise UsageError(
            f"moderators are collinear: {', '.join(dependent)} follows from the other columns. Drop it."
        )


def prediction_matrix(moderators, names: tuple[str, ...], formula=None) -> tuple[np.ndarray, pd.Index]:
    """Return rows [m, p] to predict at, and their labels."""
    wanted = names[1:]
    if formula is not None and wanted:
        return _with_intercept(formula.values(moderators)), moderators.index
    if not wanted:
        raise UsageError("this model has no moderators; call predict() without any.")
    if isinstance(moderators, pd.DataFrame):
        given = [str(name) for name in moderators.columns]
        missing = [name for name in wanted if name not in given]
        extra = [name for name in given if name not in wanted]
        if missing or extra or len(given) != len(wanted):
            raise UsageError(
                f"predict needs the columns {', '.join(wanted)}; missing: {', '.join(missing) or 'none'}, "
                f"not in the model: {', '.join(extra) or 'none'}."
            )
        moderators = moderators.set_axis(given, axis=1)[list(wanted)]
        _, values = _named_columns(moderators)
        return _with_intercept(values), moderators.index
    return _positional_rows(moderators, wanted)


def _positional_rows(moderators, wanted: tuple[str, ...]) -> tuple[np.ndarray, pd.Index]:
    index = moderators.index if isinstance(moderators, pd.Series) and len(wanted) == 1 else None
    values = np.atleast_1d(np.asarray(moderators)) if not isinstance(moderators, str) else moderators
    if isinstance(values, np.ndarray) and values.ndim == 1 and len(wanted) > 1:
        values = values[None, :]
    _, values = _named_columns(values)
    if values.shape[1] != len(wanted):
        raise UsageError(f"predict needs {len(wanted)} columns ({', '.join(wanted)}), not {values.shape[1]}.")
    return _with_intercept(values), pd.RangeIndex(len(values)) if index is None else index


def _with_intercept(values: np.ndarray) -> np.ndarray:
    return np.column_stack([np.ones(len(values)), values])
