"""What a printed dispersion means: of which kind, over what, and how wide.

The grammar, in which x, low and high are numbers on the scale of the score and k is a count:

    SD x | fold SD x | bootstrap SD x | SE x | DeLong SE x | 95%CI low-high | folds x,x,x
    SD x (k runs) | (k-fold) | (k folds) | (k splits) | (over cases) | (over organs) | (digitised) | (x,x,x)
    paired diff SE x | paired diff 95%CI low to high | paired over k organs: diff SE x

One text may join two of them with a semicolon; a paired one belongs to the gain, not to the arm.
"""

import re
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import pandas as pd

from medssl.evidence.tables import read_table

__all__ = ["KINDS", "OVER", "Dispersion", "dispersion_coverage", "dispersions", "parse_dispersion"]

KINDS = ("none", "SD", "SE", "95% interval", "not understood")
OVER = ("runs", "folds", "test_bootstrap", "cases", "organs", "unknown", "")
ARMS = ("baseline", "ssl")

_X = r"[-+]?\d*\.?\d+(?:e-?\d+)?"
_LIST = rf"{_X}(?:\s*,\s*{_X})+"
_SD = re.compile(rf"(?P<word>fold |bootstrap )?SD\s*~?\s*(?P<x>{_X})(?:\s*\((?P<note>[^()]*)\))?")
_SE = re.compile(rf"(?P<word>DeLong )?SE\s*(?P<x>{_X})(?:\s*\((?P<note>[^()]*)\))?")
_CI = re.compile(rf"95\s*%\s*CI\s*\[?\s*(?P<low>{_X})\s*(?:-|to|,)\s*(?P<high>{_X})\s*\]?")
_FOLDS = re.compile(rf"folds\s+(?P<list>{_LIST})")
_PAIRED = re.compile(r"paired (?:over (?P<n>\d+) (?P<over>cases|organs): )?diff (?P<rest>.+)")
_COUNTED = re.compile(r"(?P<n>\d+)[\s-](?P<over>runs?|folds?|splits?)")
_PLAIN = {"over cases": "cases", "over organs": "organs", "digitised": "", "digitised error bar": ""}


@dataclass(frozen=True)
class Dispersion:
    """One printed dispersion.

    Attributes
    ----------
    kind : str
        One of `KINDS`.
    over : str
        What varies: one of `OVER`; "" where the text does not say.
    value : float
        The SD or SE; NaN for an interval.
    low, high : float
        Limits of an interval; NaN otherwise.
    n : float
        Number of runs, folds, splits or organs; NaN where the text does not say.
    half_unit : float
        Half a unit of the last printed digit of `value`: what a printed 0.00 may hide.
    paired : Dispersion or None
        A dispersion of the gain itself that the same text prints.
    """

    kind: str
    over: str = ""
    value: float = np.nan
    low: float = np.nan
    high: float = np.nan
    n: float = np.nan
    half_unit: float = np.nan
    paired: "Dispersion | None" = None


@cache
def parse_dispersion(text: str) -> Dispersion:
    """Read one cell of `baseline_sd_or_ci` or `ssl_sd_or_ci`.

    Parameters
    ----------
    text : str
        The cell; the docstring of the module gives the grammar.

    Returns
    -------
    Dispersion
        `kind` is "none" for a blank cell and "not understood" for anything outside the grammar.

    Examples
    --------
    >>> parsed = parse_dispersion("SD 0.02 (5-fold)")
    >>> parsed.kind, parsed.over, parsed.value, parsed.n
    ('SD', 'folds', 0.02, 5.0)
    >>> parse_dispersion("DeLong SE 0.0262; paired diff SE 0.0375").paired.value
    0.0375
    >>> parse_dispersion("about 2 points").kind
    'not understood'
    """
    if not text.strip():
        return Dispersion("none")
    parts = [_paired_or_arm(part.strip()) for part in text.split(";")]
    arms = [part for is_paired, part in parts if not is_paired]
    paired = [part for is_paired, part in parts if is_paired]
    understood = all(part.kind != "not understood" for _, part in parts)
    if not understood or len(arms) > 1 or len(paired) > 1:
        return Dispersion("not understood")
    return replace(arms[0] if arms else Dispersion("none"), paired=paired[0] if paired else None)


def _paired_or_arm(text):
    paired = _PAIRED.fullmatch(text)
    if not paired:
        return False, _arm(text)
    parsed = _arm(paired["rest"])
    return True, replace(parsed, over=paired["over"] or "cases", n=_number(paired["n"]))


def _arm(text):
    if found := _CI.fullmatch(text):
        return Dispersion("95% interval", low=float(found["low"]), high=float(found["high"]))
    if found := _FOLDS.fullmatch(text):
        return _of_list(found["list"])
    if found := _SE.fullmatch(text):
        return _single(found, "SE", "cases" if found["word"] else "")
    if found := _SD.fullmatch(text):
        return _single(found, "SD", {"fold ": "folds", "bootstrap ": "test_bootstrap"}.get(found["word"], ""))
    return Dispersion("not understood")


def _single(found, kind, over):
    parsed = Dispersion(kind, over, float(found["x"]), half_unit=_half_unit(found["x"]))
    note = (found["note"] or "").strip()
    if counted := _COUNTED.fullmatch(note):
        over = "runs" if counted["over"].startswith("run") else "folds"
        return replace(parsed, over=over, n=float(counted["n"]))
    if re.fullmatch(_LIST, note):
        return replace(parsed, n=_of_list(note).n, over=over or "folds")
    if note and note not in _PLAIN:
        return Dispersion("not understood")
    return replace(parsed, over=over or _PLAIN.get(note, ""))


def _of_list(text):
    values = np.array([float(x) for x in text.split(",")])
    return Dispersion("SD", "folds", float(values.std(ddof=1)), n=float(len(values)), half_unit=0.0)


def _half_unit(digits):
    return 0.5 * 10.0 ** -len(digits.partition(".")[2]) if "e" not in digits else 0.0


def _number(text):
    return np.nan if text is None else float(text)


def dispersions(table: pd.DataFrame) -> pd.DataFrame:
    """Return the dispersions of both arms of each row, with what they are over.

    Parameters
    ----------
    table : DataFrame
        Rows as `medssl.evidence.published` returns them.

    Returns
    -------
    DataFrame
        For each arm ("baseline", "ssl") the columns `ARM_kind`, `ARM_over`, `ARM_value`, `ARM_low`,
        `ARM_high`, `ARM_n` and `ARM_half_unit`, and `paired_kind`, `paired_over`, `paired_value`,
        `paired_low`, `paired_high` for a dispersion of the gain. The index is that of `table`.

    Notes
    -----
    Where the text does not say what varies, `dispersion_meaning.csv` does, study by study and with the
    place in the reading notes; a study that it does not name is "unknown".

    Examples
    --------
    >>> from medssl.evidence import published
    >>> rows = published("all")
    >>> rows = rows[rows["study_id"] == "truong2021_transferable"]
    >>> set(dispersions(rows)["ssl_over"]), set(dispersions(rows)["ssl_n"])
    ({'folds'}, {5.0})
    """
    columns = {}
    for arm in ARMS:
        parsed = [parse_dispersion(text) for text in table[f"{arm}_sd_or_ci"]]
        for name in ("kind", "over", "value", "low", "high", "n", "half_unit"):
            columns[f"{arm}_{name}"] = [getattr(each, name) for each in parsed]
        columns[f"{arm}_paired"] = [each.paired for each in parsed]
    found = pd.DataFrame(columns, index=table.index)
    for arm in ARMS:
        found = _with_meaning(found, arm, table["study_id"])
    return _with_paired(found)


def _with_meaning(found, arm, studies):
    meaning = read_table("dispersion_meaning").set_index(["study_id", "kind"])
    meaning = meaning[~meaning.index.duplicated()]
    keys = pd.MultiIndex.from_arrays([studies, found[f"{arm}_kind"]])
    matched = meaning.reindex(keys).set_axis(found.index)
    silent = (found[f"{arm}_over"] == "") & ~found[f"{arm}_kind"].isin(["none", "not understood"])
    over = found[f"{arm}_over"].mask(silent, matched["over"].fillna("unknown"))
    n = found[f"{arm}_n"].fillna(pd.to_numeric(matched["n"], errors="coerce").where(silent))
    return found.assign(**{f"{arm}_over": over, f"{arm}_n": n})


def _with_paired(found):
    paired = found["ssl_paired"].combine_first(found["baseline_paired"])
    blank = Dispersion("none")
    each = [blank if not isinstance(part, Dispersion) else part for part in paired]
    names = ("kind", "over", "value", "low", "high")
    columns = {f"paired_{name}": [getattr(part, name) for part in each] for name in names}
    return found.drop(columns=["ssl_paired", "baseline_paired"]).assign(**columns)


def dispersion_coverage(table: pd.DataFrame | None = None) -> pd.DataFrame:
    """Count the dispersion texts of each kind, and list every text that was not understood.

    Parameters
    ----------
    table : DataFrame, optional
        Rows as `medssl.evidence.published` returns them; by default all rows of the package.

    Returns
    -------
    DataFrame
        One row for each kind, what it is over, and whether a paired dispersion comes with it: `cells`,
        `distinct_texts` and `studies`; `text` is blank there. Each text that was not understood has a row
        of its own, with the text. `cells` adds up to twice the number of rows of `table`.

    Examples
    --------
    >>> coverage = dispersion_coverage()
    >>> int((coverage["kind"] == "not understood").sum())
    0
    """
    rows = read_table("published_effects") if table is None else table
    found = dispersions(rows)
    cells = pd.concat(_cells(rows, found, arm) for arm in ARMS)
    unclear = cells["kind"] == "not understood"
    cells["text"] = cells["cell"].where(unclear, "")
    groups = cells.groupby(["kind", "over", "paired", "text"], sort=True)
    return groups.agg(
        cells=("cell", "size"), distinct_texts=("cell", "nunique"), studies=("study_id", "nunique")
    ).reset_index()


def _cells(rows, found, arm):
    texts = rows[f"{arm}_sd_or_ci"]
    return pd.DataFrame(
        {
            "cell": texts,
            "kind": found[f"{arm}_kind"],
            "over": found[f"{arm}_over"],
            "paired": [parse_dispersion(text).paired is not None for text in texts],
            "study_id": rows["study_id"],
        }
    )
