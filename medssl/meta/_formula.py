"""Moderators as a formula: `log10_ratio + C(modality)`, `ns(log10_ratio, df=3)`, `a * b`."""

import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic import Formula as Parsed
from formulaic import ModelSpec, model_matrix
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.transforms import stateful_transform

from medssl.errors import UsageError
from medssl.meta.natural_spline import default_knots, natural_spline

__all__ = ["Formula", "parse_formula"]


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula bound to the levels and knots of the table that it was first used on.

    Attributes
    ----------
    text : str
        As given.
    names : tuple of str
        Column names without the intercept.
    terms : dict
        Name of each term to its columns.
    """

    text: str
    names: tuple[str, ...]
    terms: dict[str, tuple[str, ...]]
    _spec: ModelSpec

    def values(self, data) -> np.ndarray:
        """Return the columns [m, p - 1] for a table that has the variables of the formula."""
        if not isinstance(data, pd.DataFrame):
            raise UsageError(f"the model has the formula {self.text!r}; give a table with its variables.")
        _check_variables(self.text, self._spec.required_variables, data)
        matrix = _matrix(self._spec, data, self.text)
        return np.asarray(matrix.drop(columns="Intercept"), dtype=float)


def parse_formula(text: str, data: pd.DataFrame) -> Formula:
    """Bind a formula to a table; unknown or incomplete variables raise `UsageError`."""
    if "~" in text:
        raise UsageError(f"moderators is {text!r}; write the right-hand side only, without a tilde.")
    _check_variables(text, _variables(text), data)
    matrix = _matrix(text, data, text)
    spec = matrix.model_spec
    if "Intercept" not in matrix.columns:
        raise UsageError(f"moderators is {text!r}; the model keeps its intercept, so leave out 0 and -1.")
    columns = list(matrix.columns)
    terms = {
        str(term): tuple(columns[i] for i in places)
        for term, places in spec.term_indices.items() if str(term) != "1"
    }  # fmt: skip
    return Formula(text, tuple(name for name in columns if name != "Intercept"), terms, spec)


def _variables(text: str):
    try:
        return Parsed(text).required_variables
    except (FormulaicError, SyntaxError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise UsageError(f"the formula {text!r} cannot be read ({reason}).") from error


def _matrix(spec, data: pd.DataFrame, text: str) -> pd.DataFrame:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", DataMismatchWarning)  # a level that the fit has not seen
            return model_matrix(spec, data, context={"ns": _spline, "log10": np.log10}, na_action="raise")
    except UsageError:
        raise
    except DataMismatchWarning as error:
        unknown = str(error).partition("{")[2].partition("}")[0]
        raise UsageError(
            f"the formula {text!r} meets the value {unknown}, which the fit has not seen; "
            "predict at values that were in its table."
        ) from error
    except (FormulaicError, ValueError, KeyError, TypeError, SyntaxError, NameError, AttributeError) as error:
        known = ", ".join(map(str, data.columns))
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(
            f"the formula {text!r} cannot be used ({reason}). The table has the columns {known}; "
            "drop or complete rows with missing values."
        ) from error


def _check_variables(text: str, variables, data: pd.DataFrame) -> None:
    missing = sorted(set(map(str, variables)) - set(map(str, data.columns)) - {"ns", "log10", "C"})
    if missing:
        raise UsageError(
            f"the formula {text!r} needs the columns {', '.join(missing)}; "
            f"the table has {', '.join(map(str, data.columns))}."
        )
    for name in set(map(str, variables)) & set(map(str, data.columns)):
        empty = np.flatnonzero(pd.isna(data[name]))
        if len(empty):
            raise UsageError(
                f"column {name} of the formula {text!r} is missing in {len(empty)} rows "
                f"(first in row {empty[0]}). Drop or complete these rows first."
            )


@stateful_transform
def _spline(values, df=None, knots=None, _state=None):
    """Natural cubic spline whose knots are those of the first table."""
    values = np.asarray(values, dtype=float)
    if "knots" not in _state:
        _state["knots"] = default_knots(values, 3 if df is None else df) if knots is None else tuple(knots)
    table = natural_spline(values, knots=_state["knots"])
    return {str(i + 1): table[:, i] for i in range(table.shape[1])}
