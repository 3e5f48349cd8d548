"""The figure card: a figure's files, words, provenance and citation, kept together under a stable id."""

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from html import escape
from pathlib import Path

from medssl.errors import UsageError
from medssl.figures._files import whole_folder, write_files
from medssl.figures._provenance import UNKNOWN, Provenance, provenance
from medssl.figures.drawing import Drawing
from medssl.files import read_json, sha256_of, write_json

__all__ = ["FigureCard", "save_figure"]

KINDS = ("svg", "pdf", "png", "csv", "json")
SLUG = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LICENCE = "CC BY 4.0"
AUTHOR = "The medssl authors"
BOOK = "medssl: an executable survey of self-supervised pretraining in radiology"
_TITLES: dict[Path, str] = {}  # what this process has saved where, to notice an id used twice


@dataclass(frozen=True, repr=False)
class FigureCard:
    """What is known of a saved figure; the JSON card holds these fields.

    Attributes
    ----------
    figure_id, title, caption, alt_text : str
        The caption states n, the meaning of the intervals and the seeds.
    count, unit : int, str
        The n of the figure, and of what.
    interval : str
        What the drawn intervals mean.
    seeds : tuple of int
        Random seeds of the runs in the figure; empty when there is none.
    chapter, cell : str
        The chapter that drew it, and the label of its cell ("" when not given).
    records : dict
        `count`, `ids` and one `sha256` over all records in the figure.
    version, commit, commit_date, uncommitted_changes
        The code that drew it; the date is the commit's.
    data_sha256 : str
        SHA-256 of the CSV file.
    files : dict
        SHA-256 of each other file by its kind.
    author, book, licence, bibtex : str
        How to cite it.
    """

    figure_id: str
    title: str
    caption: str
    alt_text: str
    count: int
    unit: str
    interval: str
    seeds: tuple[int, ...]
    chapter: str
    cell: str
    records: dict
    version: str
    commit: str
    commit_date: str
    uncommitted_changes: bool
    data_sha256: str
    files: dict[str, str]
    author: str
    book: str
    licence: str
    bibtex: str
    folder: Path | None = None

    def html(self, prefix: str | None = None, *, embed: bool = False) -> str:
        """Return the figure as HTML: image, alternative text, caption, links to its files.

        Parameters
        ----------
        prefix : str, optional
            The folder of figures as seen from the page; by default as seen from the rendered chapter.
        embed : bool
            Whether to put the SVG into the page, so that a downloaded notebook shows it too.
        """
        base = f"{self._prefix() if prefix is None else prefix}/{self.figure_id}/{self.figure_id}"
        source = self._embedded() if embed else f"{base}.svg"
        links = [f'<a href="{escape(base)}.{kind}">{kind.upper()}</a>' for kind in KINDS]
        style = "max-width: 100%; height: auto"
        return (
            f'<figure class="medssl-figure" id="{escape(self.figure_id)}">\n'
            f'<img src="{escape(source)}" alt="{escape(self.alt_text)}" style="{style}">\n'
            f"<figcaption><p>{escape(self.caption)}</p>\n"
            f'<p class="medssl-figure-files">{" · ".join(links)} · '
            f"<code>medssl cite {escape(self.figure_id)}</code></p></figcaption>\n</figure>"
        )

    def _prefix(self) -> str:
        return "../" * (self.chapter.count("/") + 1) + "figures"  # pages are chapters/<chapter>.html

    def _embedded(self) -> str:
        if self.folder is None:
            raise UsageError(f"figure {self.figure_id}: its folder is not known, so it cannot be embedded.")
        content = (self.folder / f"{self.figure_id}.svg").read_bytes()
        return f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"

    def _repr_html_(self) -> str:
        return self.html(embed=True)

    def __repr__(self) -> str:
        return f"FigureCard({self.figure_id!r}: {self.caption} Alternative text: {self.alt_text})"


def save_figure(
    drawing: Drawing,
    figure_id: str,
    *,
    folder: str | Path,
    title: str,
    caption: str,
    records: Mapping[str, str] | Iterable[str | Path],
    seeds: Sequence[int],
    interval: str,
    chapter: str,
    cell: str = "",
) -> FigureCard:
    """Save a drawing as SVG, PDF, PNG (300 dpi), CSV and JSON under ``folder/figure_id/``, all or nothing.

    An unchanged figure gives unchanged bytes: only the card depends on the commit, and nothing on the time.

    Parameters
    ----------
    drawing : Drawing
        What a drawing function returned.
    figure_id : str
        A stable lower-case slug such as "xray-gain-by-label-ratio".
    folder : str or Path
        The folder of the chapter's figures.
    title : str
        A few words, for the citation.
    caption : str
        What is shown; n, `interval` and `seeds` are added to it.
    records : mapping of id to SHA-256, or iterable of ids or paths
        The records in the figure; files given as paths are hashed.
    seeds : sequence of int
        Random seeds of the runs in the figure; empty when none was drawn from.
    interval : str
        What bars and bands mean, for example "Bands: 95% confidence and prediction".
    chapter, cell : str
        For example "xray/study", and the label of the cell that draws.

    Returns
    -------
    FigureCard
        Shows itself in a notebook.

    Raises
    ------
    UsageError
        A malformed or repeated id, an empty text, an alternative text with numbers that the data do not hold.
    RunError
        The folder cannot be written.
    """
    texts = {"title": title, "caption": caption, "interval": interval, "chapter": chapter}
    _check(drawing, figure_id, {**texts, "the alternative text": drawing.alt})
    target = Path(folder).resolve() / figure_id
    _not_taken(target, title, chapter)
    with whole_folder(target) as part:
        hashes = write_files(drawing, part / figure_id, title)
        fields = {
            "figure_id": figure_id,
            "title": title,
            "caption": _full_caption(caption, drawing, interval, seeds),
            "alt_text": drawing.alt,
            "count": drawing.count,
            "unit": drawing.unit,
            "interval": interval,
            "seeds": tuple(int(seed) for seed in seeds),
            "chapter": chapter,
            "cell": cell,
            "records": _records(records),
            **asdict(source := provenance()),
            "data_sha256": hashes.pop("csv"),
            "files": hashes,
            "author": AUTHOR,
            "book": BOOK,
            "licence": LICENCE,
            "bibtex": _bibtex(figure_id, title, source),
        }
        write_json(part / f"{figure_id}.json", fields)
    _TITLES[target] = title
    return FigureCard(**fields, folder=target)


def _check(drawing: Drawing, figure_id: str, texts: dict[str, str]) -> None:
    if not SLUG.fullmatch(figure_id) or len(figure_id) > 80:
        raise UsageError(
            f"figure id {figure_id!r} is no slug: use lower-case letters, digits and single hyphens, "
            "a letter first, at most 80, for example 'xray-gain-by-label-ratio'."
        )
    for name, text in texts.items():
        if not text.strip():
            raise UsageError(f"figure {figure_id}: {name} is empty.")
    wrong = drawing.unsupported_numbers()
    if wrong:
        raise UsageError(
            f"figure {figure_id}: the alternative text has numbers that are not in the drawn data: "
            f"{', '.join(wrong)}."
        )


def _not_taken(target: Path, title: str, chapter: str) -> None:
    other = _TITLES.get(target, title)
    if other != title:
        raise UsageError(
            f"figure id {target.name!r} is already taken by the figure {other!r}; choose another."
        )
    card = target / f"{target.name}.json"
    drawn_by = read_json(card)["chapter"] if card.exists() else chapter
    if drawn_by != chapter:
        raise UsageError(
            f"figure id {target.name!r} is already taken by chapter {drawn_by!r}; choose another, "
            f"or remove {target} if the figure has moved."
        )


def _full_caption(caption: str, drawing: Drawing, interval: str, seeds: Sequence[int]) -> str:
    if len(seeds):
        values = sorted({int(seed) for seed in seeds})
        run = values == list(range(values[0], values[-1] + 1)) and len(values) > 2
        words = f"{values[0]} to {values[-1]}" if run else ", ".join(map(str, values))
        seed_text = f"Seeds: {words}."
    else:
        seed_text = "Seeds: none, nothing here was drawn at random."
    count = f"n = {drawing.count} {drawing.unit}."
    return " ".join([f"{caption.strip().rstrip('.')}.", count, f"{interval.strip().rstrip('.')}.", seed_text])


def _records(records: Mapping[str, str] | Iterable[str | Path]) -> dict:
    if isinstance(records, str):
        raise UsageError(f"records is the text {records!r}; give a list of record ids or files.")
    if isinstance(records, Mapping):
        pairs = [(str(name), str(digest)) for name, digest in records.items()]
    else:
        pairs = [(r.stem, sha256_of(r)) if isinstance(r, Path) else (str(r), "") for r in records]
    lines = "".join(f"{name} {digest}\n" for name, digest in sorted(pairs))
    ids = sorted(name for name, _ in pairs)
    return {"count": len(ids), "ids": ids, "sha256": hashlib.sha256(lines.encode()).hexdigest()}


def _bibtex(figure_id: str, title: str, source: Provenance) -> str:
    commit = "" if source.commit == UNKNOWN else f", commit {source.commit[:12]}"
    changed = " with uncommitted changes" if source.uncommitted_changes else ""
    where = f"Figure {figure_id} of {_latex(BOOK)}, version {_latex(source.version)}{commit}{changed}"
    year = [] if source.commit_date == UNKNOWN else [f"  year = {{{source.commit_date[:4]}}},"]
    lines = [
        f"@misc{{medssl-{figure_id},",
        f"  author = {{{{{AUTHOR}}}}},",
        f"  title = {{{_latex(title)}}},",
        f"  howpublished = {{{where}}},",
        *year,
        f"  note = {{{LICENCE}}},",
        "}",
    ]
    return "\n".join(lines)


def _latex(text: str) -> str:
    """Escape the characters that LaTeX reads as commands."""
    marks = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    marks |= {mark: f"\\{mark}" for mark in "&%$#_{}"}
    return "".join(marks.get(letter, letter) for letter in text)
