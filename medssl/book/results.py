"""Numbers that a notebook computed and a page may quote, in one small JSON file."""

import math
import numbers
import re
from pathlib import Path

from medssl.book._workspace import workspace
from medssl.errors import UsageError
from medssl.files import read_json, write_json

__all__ = ["Results", "read_results"]

_KEY = re.compile(r"[a-z][a-z0-9_]*")
_LABEL = re.compile(r"[a-z0-9][a-z0-9-]*")


class Results:
    """Collect named results and save them where the pages look for them.

    Parameters
    ----------
    path : str or Path, optional
        The file to write; by default ``workspace().results``.

    Notes
    -----
    The file maps each name to ``{"value": number, "text": what a page shows, "source": label}``,
    where the label is the MyST target before the cell that computed the number.

    Examples
    --------
    >>> import tempfile
    >>> results = Results(Path(tempfile.mkdtemp()) / "results.json")
    >>> results.add("pooled_gain", 0.012, text="0.012 (95% CI 0.003 to 0.021)", cell="xray-pooled")
    >>> results.save()
    >>> read_results(results.path)["pooled_gain"]["source"]
    'xray-pooled'
    """

    def __init__(self, path: str | Path | None = None):
        self.path = Path(path) if path is not None else workspace().results
        self._entries: dict[str, dict] = {}

    def add(self, key: str, value: float | None, *, cell: str, text: str | None = None) -> None:
        """Add one result.

        Parameters
        ----------
        key : str
            Lower-case letters, digits and underscores; each name once.
        value : int or float or None
            The number itself; None where there is none, and `text` then says why.
        cell : str
            The MyST label before the code cell that made the number.
        text : str, optional
            What a page shows; by default the value with three significant digits.

        Raises
        ------
        UsageError
            A malformed or repeated name, a value that is no finite number, an empty text.
        """
        if not _KEY.fullmatch(key):
            raise UsageError(f"result {key!r}: a name has lower-case letters, digits and underscores only")
        if key in self._entries:
            raise UsageError(f"result {key!r} is added twice; give each result a name of its own")
        if not _LABEL.fullmatch(cell):
            raise UsageError(f"result {key!r}: cell {cell!r} is not a MyST label such as 'xray-pooled'")
        number = _plain_number(key, value)
        text = _default_text(number) if text is None else text
        if not text.strip():
            raise UsageError(f"result {key!r}: the text is empty; say what a page shall show")
        self._entries[key] = {"value": number, "text": text, "source": cell}

    def save(self) -> None:
        """Write the file, whole or not at all."""
        write_json(self.path, self._entries)


def read_results(path: str | Path) -> dict[str, dict]:
    """Read a file that `Results.save` wrote: name to value, text and source."""
    return read_json(path)


def _plain_number(key: str, value) -> int | float | None:
    if value is None:
        return None
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    if isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    raise UsageError(
        f"result {key!r}: {value!r} is not a finite number; where there is none, give value=None and a text"
    )


def _default_text(number: int | float | None) -> str:
    if number is None:
        return ""
    return f"{number:,}" if isinstance(number, int) else f"{number:.3g}"
