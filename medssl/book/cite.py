"""Find the card of a figure in the rendered book, and write its citation."""

import difflib
from collections.abc import Callable
from pathlib import Path

from medssl.errors import DataError, UsageError
from medssl.files import read_json

__all__ = ["FORMATS", "citation", "find_card"]

NEEDED = ("figure_id", "title", "author", "book", "version", "commit", "commit_date", "licence", "bibtex")


def find_card(figure_id: str, folder: str | Path) -> dict:
    """Return the JSON card of a figure.

    Parameters
    ----------
    figure_id : str
        As printed under the figure.
    folder : str or Path
        The folder that holds one folder a figure.

    Raises
    ------
    UsageError
        There is no such figure; the text lists those that there are, the nearest first.
    DataError
        The file is there and is no card.
    """
    known = sorted(
        path.parent.name for path in Path(folder).glob("*/*.json") if path.stem == path.parent.name
    )
    if not known:
        raise UsageError(
            f"no figure cards under {folder}. Build the book first (make book), "
            "or name the folder of its figures with --folder."
        )
    if figure_id not in known:
        nearest = difflib.get_close_matches(figure_id, known, n=1)
        hint = f" Did you mean {nearest[0]!r}?" if nearest else ""
        raise UsageError(f"no figure {figure_id!r} under {folder}.{hint} Known: {', '.join(known)}.")
    path = Path(folder) / figure_id / f"{figure_id}.json"
    card = read_json(path)
    missing = [name for name in NEEDED if not isinstance(card, dict) or name not in card]
    if missing:
        raise DataError(f"{path}: not a figure card (no {', '.join(missing)}). Build the book again.")
    return card


def citation(card: dict, style: str = "bibtex") -> str:
    """Return the citation of a card as BibTeX, RIS or a sentence.

    Examples
    --------
    >>> card = {"figure_id": "xray-bubble", "title": "Gain by label ratio", "author": "The medssl authors",
    ...         "book": "medssl", "version": "0.1.0", "commit": "unknown", "commit_date": "unknown",
    ...         "licence": "CC BY 4.0"}
    >>> citation(card, "text")
    'The medssl authors (n.d.). Gain by label ratio. Figure xray-bubble of medssl, version 0.1.0. CC BY 4.0.'
    """
    if style not in FORMATS:
        raise UsageError(f"format is {style!r}; it must be one of {', '.join(FORMATS)}.")
    return FORMATS[style](card)


def _bibtex(card: dict) -> str:
    return card["bibtex"]


def _ris(card: dict) -> str:
    date = [] if card["commit_date"] == "unknown" else [("PY", card["commit_date"][:4])]
    fields = [
        ("TY", "FIGURE"),
        ("AU", card["author"]),
        ("TI", card["title"]),
        ("T2", card["book"]),
        *date,
        ("ET", card["version"]),
        ("ID", card["figure_id"]),
        ("N1", f"{_place(card)}. {card['licence']}."),
        ("ER", ""),
    ]
    return "\n".join(f"{tag}  - {' '.join(value.split())}" for tag, value in fields)


def _text(card: dict) -> str:
    year = "n.d." if card["commit_date"] == "unknown" else card["commit_date"][:4]
    return f"{card['author']} ({year}). {card['title'].rstrip('.')}. {_place(card)}. {card['licence']}."


def _place(card: dict) -> str:
    commit = "" if card["commit"] == "unknown" else f", commit {card['commit'][:12]}"
    changed = " with uncommitted changes" if card.get("uncommitted_changes") else ""
    return f"Figure {card['figure_id']} of {card['book']}, version {card['version']}{commit}{changed}"


FORMATS: dict[str, Callable[[dict], str]] = {"bibtex": _bibtex, "ris": _ris, "text": _text}
