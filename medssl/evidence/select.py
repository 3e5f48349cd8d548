"""Choose rows of the evidence by their categories, and write them for other programs."""

import json
import re

import pandas as pd

from medssl.errors import UsageError
from medssl.evidence.fields import COLUMNS

__all__ = ["FILTERS", "FORMATS", "export", "select"]

FILTERS = {
    "modality": "modality",
    "comparator": "baseline_type",
    "family": "ssl_family",
    "pool": "pool",
    "study": "study_id",
    "metric": "metric",
}
FORMATS = ("csv", "json", "ris", "bibtex")


def select(rows: pd.DataFrame, **wanted: list[str] | None) -> pd.DataFrame:
    """Keep the rows whose categories are among those wanted.

    Parameters
    ----------
    rows : DataFrame
        Rows of the evidence table.
    **wanted : list of str or None
        Keys of `FILTERS`; None or an empty list keeps all.

    Returns
    -------
    DataFrame

    Raises
    ------
    UsageError
        A value that no row has, or nothing left.

    Examples
    --------
    >>> from medssl.evidence import published
    >>> part = select(published("all"), modality=["mri"], comparator=["random"])
    >>> set(part["modality"])
    {'mri'}
    """
    kept = rows
    for name, values in wanted.items():
        column = rows[FILTERS[name]]
        for value in values or []:
            if value not in set(column):
                known = ", ".join(sorted(set(column) - {""}))
                raise UsageError(f"no row has {name} {value!r}: choose among {known}.")
        kept = kept[column[kept.index].isin(values)] if values else kept
    if kept.empty:
        raise UsageError("no row has all the chosen categories together: leave one of them out.")
    return kept


def export(rows: pd.DataFrame, format: str) -> str:
    """Write rows as text for another program.

    Parameters
    ----------
    rows : DataFrame
        Rows of text, with the columns of `medssl.evidence.fields.COLUMNS`.
    format : str
        "csv" or "json": the rows; "ris" or "bibtex": the studies behind them, each once, with the number
        of effects in a note.

    Returns
    -------
    str
        Ends in a line break.

    Raises
    ------
    UsageError
        An unknown format.

    Examples
    --------
    >>> from medssl.evidence.tables import read_table
    >>> rows = read_table("published_effects")
    >>> print(export(rows[rows["study_id"] == "vu2021_medaug"], "ris").splitlines()[0])
    TY  - GEN
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}: choose one of {', '.join(FORMATS)}.")
    if format == "csv":
        return rows[COLUMNS].to_csv(index=False, lineterminator="\n")
    if format == "json":
        return json.dumps(rows[COLUMNS].to_dict("records"), indent=1, ensure_ascii=False) + "\n"
    write = _ris if format == "ris" else _bibtex
    studies = rows.groupby("study_id", sort=True)
    return "\n".join(write(part.iloc[0], len(part)) for _, part in studies)


def _note(count):
    return f"{count} comparison{'s' * (count != 1)} in the evidence table of medssl"


def _doi(study):
    found = re.match(r"10\.\d{4,}/\S+", study["doi_or_arxiv"])
    return found[0] if found else ""


def _arxiv(study):
    found = re.match(r"arXiv:(\d{4}\.\d{4,5})$", study["doi_or_arxiv"])
    return found[1] if found else ""


def _ris(study, count):
    arxiv = _arxiv(study)
    fields = {
        "TY": "GEN",
        "ID": study["study_id"],
        "AU": study["first_author"],
        "PY": study["year"],
        "TI": study["title"],
        "T2": study["venue"],
        "DO": _doi(study),
        "UR": f"https://arxiv.org/abs/{arxiv}" if arxiv else "",
        "N1": _note(count),
    }
    lines = [f"{tag}  - {value}" for tag, value in fields.items() if value]
    return "\n".join([*lines, "ER  - ", ""])


def _bibtex(study, count):
    arxiv = _arxiv(study)
    fields = {
        "author": f"{study['first_author']} and others" if study["first_author"] else "",
        "title": study["title"],
        "year": study["year"],
        "howpublished": study["venue"],
        "doi": _doi(study),
        "eprint": arxiv,
        "archiveprefix": "arXiv" if arxiv else "",
        "note": _note(count),
    }
    lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{{study['study_id']},", *lines, "}", ""])


def _escaped(text):
    return re.sub(r"([&%#_$])", r"\\\1", text)
