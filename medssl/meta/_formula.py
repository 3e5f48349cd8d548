"""Moderators as a formula: `log10_ratio + C(modality)`, `ns(log10_ratio, df=3)`, `a * b`."""

import re
import warnings
from dataclasses import dataclass

import numpy as np
import pandas as pd
from formulaic import Formula as Parsed
from formulaic import ModelSpec, SimpleFormula, model_matrix
from formulaic.errors import DataMismatchWarning, FormulaicError
from formulaic.transforms import stateful_transform

from medssl.errors import UsageError
from medssl.meta.natural_spline import default_knots, natural_spline

__all__ = ["Formula", "formula_variables", "parse_formula"]

FUNCTIONS = {"C", "I", "bs", "log10", "np", "ns"}


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
        matrix = _matrix(self._spec, data, self.text).drop(columns="Intercept")
        values = np.asarray(matrix, dtype=float)
        rows, places = np.nonzero(~np.isfinite(values))
        if len(rows):
            raise UsageError(
                f"the formula {self.text!r} makes a missing or infinite value of {matrix.columns[places[0]]} "
                f"(first in row {rows[0]}). Drop or correct these rows first."
            )
        return values


def parse_formula(text: str, data: pd.DataFrame) -> Formula:
    """Bind a formula to a table; unknown or incomplete variables raise `UsageError`."""
    if not text.strip():
        raise UsageError("moderators is an empty formula; leave it out for a model with the intercept alone.")
    if "~" in text:
        raise UsageError(f"moderators is {text!r}; write the right-hand side only, without a tilde.")
    _check_variables(text, formula_variables(text), data)
    matrix = _matrix(text, data, text)
    spec = matrix.model_spec
    if "Intercept" not in matrix.columns:
        raise UsageError(f"moderators is {text!r}; the model keeps its intercept, so leave out 0 and -1.")
    columns = list(matrix.columns)
    terms = {
        str(term): tuple(columns[i] for i in places)
        for term, places in spec.term_indices.items() if str(term) != "1"
    }  # fmt: skip
    _check_terms(text, terms)
    return Formula(text, tuple(name for name in columns if name != "Intercept"), terms, spec)


def _check_terms(text: str, terms: dict[str, tuple[str, ...]]) -> None:
    for name, columns in terms.items():
        if not columns:
            raise UsageError(
                f"the term {name} of the formula {text!r} has one value in all rows; "
                "it cannot be told from the intercept. Leave it out."
            )


def formula_variables(text: str | None) -> list[str]:
    """Return the names of the columns that a formula reads, sorted; none without a formula.

    Examples
    --------
    >>> formula_variables("log10_ratio + C(modality) + ns(year, df=3)")
    ['log10_ratio', 'modality', 'year']
    """
    if text is None:
        return []
    try:
        parsed = Parsed(text)
    except (FormulaicError, SyntaxError, ValueError) as error:
        raise UsageError(f"the formula {text!r} cannot be read ({_reason(error)}).") from error
    if not isinstance(parsed, SimpleFormula):
        raise UsageError(f"the formula {text!r} has several parts; join its terms with +.")
    return sorted(set(map(str, parsed.required_variables)) - FUNCTIONS)


def _reason(error: Exception) -> str:
    """Return the first sentence of an error in one line, without the colours of a terminal."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[⧛⧚]", "", " ".join(str(error).split())) or type(error).__name__
    return plain.partition(". ")[0].rstrip(".") if "[" not in plain else plain


def _matrix(spec, data: pd.DataFrame, text: str) -> pd.DataFrame:
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):  # `values` names what is not finite
            warnings.simplefilter("error", DataMismatchWarning)  # a level that the fit has not seen
            return model_matrix(spec, data, context={"ns": _spline, "log10": np.log10}, na_action="ignore")
    except UsageError:
        raise
    except DataMismatchWarning as error:
        unknown = str(error).partition("{")[2].partition("}")[0]
        raise UsageError(
            f"the formula {text!r} meets the value {unknown}, which the fit has not seen; "
            "predict at values that were in its table."
        ) from error
    except (FormulaicError, ValueError, KeyError, TypeError, SyntaxError, NameError, AttributeError) as error:
        if isinstance(error.__cause__, UsageError):  # of `ns`
            raise UsageError(f"the formula {text!r} cannot be used: {error.__cause__}") from error
        known = ", ".join(map(str, data.columns))
        raise UsageError(
            f"the formula {text!r} cannot be used ({_reason(error)}). The table has the columns {known}."
        ) from error


def _check_variables(text: str, variables, data: pd.DataFrame) -> None:
    missing = sorted(set(map(str, variables)) - FUNCTIONS - set(data.columns))
    if missing:
        raise UsageError(
            f"the formula {text!r} needs the columns {', '.join(missing)}; "
            f"the table has {', '.join(map(str, data.columns))}."
        )
    for name in sorted(set(map(str, variables)) & set(data.columns)):
        if list(data.columns).count(name) > 1:
            raise UsageError(f"the table has several columns {name}, which the formula {text!r} needs once.")
        empty = np.flatnonzero(pd.isna(data[name]))
        if len(empty):
            raise UsageError(
                f"column {name} of the formula {text!r} is missing in {len(empty)} rows "
                f"(first in row {empty[0]}). Drop or complete these rows first."
            )


@stateful_transform
def _spline(values, df=None, knots=None, _state=None):
    """Natural cubic spline whose knots are those of the first table."""
    if df is not None and knots is not None:
        raise UsageError("ns has both df and knots; give one of them.")
    if "knots" not in _state:
        _state["knots"] = default_knots(values, 3 if df is None else df) if knots is None else tuple(knots)
    table = natural_spline(values, knots=_state["knots"])
    return {str(i + 1): table[:, i] for i in range(table.shape[1])}
