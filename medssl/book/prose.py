"""Find numbers that somebody typed into a narrative page instead of computing them."""

import re
from typing import NamedTuple

__all__ = ["TypedNumber", "typed_numbers"]

# Bodies of these directives are no prose; every other directive (note, tip ...) holds prose.
_NO_PROSE = {"code", "code-block", "code-cell", "literalinclude", "mermaid", "raw", "math"}
_NO_PROSE |= {"figure-card", "figure", "image", "bibliography", "toctree", "tableofcontents"}
_FENCE = re.compile(r"^\s*(?P<marks>`{3,}|~{3,}|:{3,})\s*(?:\{(?P<directive>[\w-]+)\}(?P<argument>.*))?")
_EXCUSE = re.compile(r"<!--\s*fact\b.*?-->")

# What is removed before digits are looked for, in this order; newlines inside stay.
_OUTSIDE_PROSE = [
    re.compile(r"<!--.*?-->", re.DOTALL),
    re.compile(r"\{[\w:-]+\}(`+).*?\1", re.DOTALL),  # roles: results, citations, facts, references
    re.compile(r"(`+)(?!`).*?(?<!`)\1(?!`)", re.DOTALL),  # code
    re.compile(r"\$\$.*?\$\$", re.DOTALL),
    re.compile(r"(?<!\\)\$[^$\n]+\$"),
    re.compile(r"!?\[(?:[^\[\]]|\[[^\]]*\])*\](?:\([^)]*\)|\[[^\]]*\])"),  # links and images
    re.compile(r"<https?://[^>]*>|https?://\S+"),
    re.compile(r"^\[[^\]]+\]:.*$", re.MULTILINE),  # link definitions
    re.compile(r"^\([^)]*\)=\s*$", re.MULTILINE),  # labels
    re.compile(r"^\s{0,3}#{1,6}\s.*$", re.MULTILINE),  # headings
    re.compile(r"^\s*\d+[.)]\s", re.MULTILINE),  # list markers
    re.compile(r"\b[23]-?D\b"),
    re.compile(r"</?[a-zA-Z][^>]*>"),  # HTML tags
]
# A digit that belongs to a word (T1, ResNet-18 is not one: write {fact}`ResNet-18`) is a name, no number.
_NUMBER = re.compile(r"(?<![\w])[-+−]?\d[\d.,]*\d*\s?%?|(?<![\w])\.\d+")


class TypedNumber(NamedTuple):
    """One number in prose: where it stands and the words around it."""

    line: int
    number: str
    context: str


def typed_numbers(text: str) -> list[TypedNumber]:
    """Return the numbers in the prose of a MyST page.

    Not counted: roles (``{result}``, ``{cite}``, ``{fact}`` ...), code, mathematics, links, labels,
    headings, list markers, directive options, front matter, names such as T1 or 3-D, and lines that
    end in ``<!-- fact -->``.

    Parameters
    ----------
    text : str
        The page's source.

    Returns
    -------
    list of TypedNumber
        In order of appearance, with one-based line numbers.

    Examples
    --------
    >>> typed_numbers("The gain was {result}`gain`.")
    []
    >>> typed_numbers("The gain was 0.03.")[0].number
    '0.03'
    """
    prose = _prose_only(text)
    for pattern in _OUTSIDE_PROSE:
        prose = pattern.sub(_blank, prose)
    found = []
    for number, (line, original) in enumerate(zip(prose.split("\n"), text.split("\n"), strict=True), start=1):
        for match in _NUMBER.finditer(line):
            found.append(TypedNumber(number, match[0].strip().rstrip(".,"), original.strip()[:80]))
    return found


def _blank(match: re.Match) -> str:
    """Replace by newlines and spaces, so that later matches keep their line."""
    return re.sub(r"[^\n]", " ", match[0])


def _prose_only(text: str) -> str:
    """Blank front matter, code blocks, directives that hold no prose, options and excused lines."""
    lines = text.split("\n")
    kept, skipping, options, first = [], None, False, _after_front_matter(lines)
    held: list[str] = []  # marks of open directives that hold prose
    for index, line in enumerate(lines):
        fence = _FENCE.match(line)
        if skipping is not None:
            closes = fence and fence["marks"].startswith(skipping) and not line.strip().strip("`~:")
            skipping = None if closes else skipping
            kept.append("")
        elif fence and held and line.strip() == held[-1]:
            held.pop()
            kept.append("")
        elif fence:
            code = fence["directive"] in _NO_PROSE or (fence["directive"] is None and line.strip()[0] != ":")
            skipping = fence["marks"] if code else None
            held += [] if code else [fence["marks"]]
            options = True
            kept.append("" if code else (fence["argument"] or ""))
        else:
            options = options and bool(re.match(r"\s*:[\w-]+:", line))
            kept.append("" if index < first or options or _EXCUSE.search(line) else line)
    return "\n".join(kept)


def _after_front_matter(lines: list[str]) -> int:
    if lines[0].strip() != "---":
        return 0
    ends = (index for index, line in enumerate(lines[1:], start=1) if line.strip() == "---")
    return next(ends, -1) + 1
