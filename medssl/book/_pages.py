"""Sphinx extension: quote results by name, mark facts, show figures by their identifier."""

import difflib
import json
from pathlib import Path

from docutils import nodes
from docutils.parsers.rst import directives
from sphinx import addnodes
from sphinx.util import logging
from sphinx.util.docutils import SphinxDirective, SphinxRole

__all__ = ["setup"]

FILE_KINDS = ("svg", "pdf", "png", "csv", "json")
_LOG = logging.getLogger(__name__)


class ResultRole(SphinxRole):
    """``{result}`key```: the text of a result, linked to the cell that computed it."""

    def run(self):
        """Return the linked text; an unknown key is a warning, and so an error of the build."""
        try:
            entry = _find_result(Path(self.env.srcdir), self.env.docname, self.text.strip())
        except LookupError as problem:
            _LOG.warning("%s", problem.args[0], location=self.get_location(), type="medssl", subtype="result")
            return [nodes.strong(text=f"[{self.text}]")], []
        link = _link_to_label(self.env, entry["source"], nodes.inline(self.rawtext, entry["text"]))
        return [nodes.inline("", "", link, classes=["medssl-result"])], []


class FactRole(SphinxRole):
    """``{fact}`28 x 28```: a number that is no result, and so may be typed."""

    def run(self):
        """Return the text as it is."""
        return [nodes.inline(self.rawtext, self.text, classes=["medssl-fact"])], []


class FigureCardDirective(SphinxDirective):
    """``{figure-card} figure_id``: image, caption and alt text of the card, and its files."""

    required_arguments = 1
    option_spec = {"cell": directives.unchanged, "width": directives.length_or_percentage_or_unitless}  # noqa: RUF012

    def run(self):
        """Return a numbered figure whose label is the figure's identifier."""
        figure_id = self.arguments[0]
        path = Path(self.env.srcdir) / "published" / "figures" / figure_id / f"{figure_id}.json"
        if not path.is_file():
            known = sorted(folder.name for folder in path.parents[1].glob("*"))
            text = f"figure {figure_id!r} was not made by any chapter.{_nearest(figure_id, known)}"
            _LOG.warning("%s", text, location=self.get_location(), type="medssl", subtype="figure")
            return []
        self.env.note_dependency(str(path))
        card = json.loads(path.read_text(encoding="utf-8"))
        return [self._figure(figure_id, card)]

    def _figure(self, figure_id: str, card: dict) -> nodes.figure:
        image = nodes.image(uri=f"/published/figures/{figure_id}/{figure_id}.svg", alt=card["alt_text"])
        image["width"] = self.options.get("width", "100%")
        figure = nodes.figure("", image, nodes.caption("", card["caption"]), classes=["medssl-figure"])
        figure += nodes.legend("", nodes.paragraph("", "", *self._links(figure_id, card)))
        self.set_source_info(figure)
        figure["names"].append(figure_id)
        self.state.document.note_explicit_target(figure, figure)
        return figure

    def _links(self, figure_id: str, card: dict) -> list[nodes.Node]:
        base = "../" * self.env.docname.count("/") + f"figures/{figure_id}/{figure_id}"
        links = []
        for kind in FILE_KINDS:
            links += [
                nodes.reference("", kind.upper(), refuri=f"{base}.{kind}", internal=True),
                nodes.Text(" · "),
            ]
        cell = self.options.get("cell") or card.get("cell")
        if cell:
            return [*links, _link_to_label(self.env, cell, nodes.inline("", "cell that made it"))]
        return links[:-1]


def setup(app):
    """Register the two roles and the directive."""
    app.add_role("result", ResultRole())
    app.add_role("fact", FactRole())
    app.add_directive("figure-card", FigureCardDirective)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def _find_result(stage: Path, page: str, name: str) -> dict:
    """Return one result; `page` such as "chapters/xray/recommendations" says whose results come first."""
    prefix, colon, key = name.rpartition(":")
    folder = page.removeprefix("chapters/").rpartition("/")[0]
    pattern = f"{prefix}.json" if colon else f"{folder}/*.json".lstrip("/")
    files = sorted((stage / "results").glob(pattern))
    chapters = {
        path.relative_to(stage / "results").with_suffix("").as_posix(): json.loads(path.read_text("utf-8"))
        for path in files
    }
    found = {chapter: entries[key] for chapter, entries in chapters.items() if key in entries}
    if len(found) == 1:
        return next(iter(found.values()))
    if found:
        raise LookupError(f"result {key!r} is in {' and '.join(found)}: write the chapter before it")
    where = " or ".join(chapters) or (f"chapter {prefix!r}" if colon else f"any notebook of {folder!r}")
    known = [each for entries in chapters.values() for each in entries]
    raise LookupError(f"page {page}: there is no result {key!r} in {where}.{_nearest(key, known)}")


def _nearest(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=1)
    return f" Did you mean {close[0]!r}?" if close else f" Known: {', '.join(known) or 'none'}."


def _link_to_label(env, label: str, inner: nodes.Node) -> addnodes.pending_xref:
    """Return a reference that Sphinx resolves, so that a missing cell label is a warning."""
    return addnodes.pending_xref(
        "", inner, refdomain="std", reftype="ref", reftarget=label, refexplicit=True, refwarn=True,
        refdoc=env.docname,
    )  # fmt: skip
