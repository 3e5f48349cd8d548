"""Sphinx extension: pages that ask no other host for anything, and a check that this is so."""

import importlib.metadata
import re
import shutil
from pathlib import Path

from medssl.errors import RunError

__all__ = ["check_offline", "copy_mathjax", "setup"]

_MATHJAX = "sphinx-mathjax-offline/static/mathjax"
_MATHJAX_SCRIPT = "tex-mml-chtml.js"
_MATHJAX_FONTS = "output/chtml/fonts/woff-v2"
_LOADED = re.compile(
    r"""<(?:script|img|iframe|source|audio|video|embed)\b[^>]*?\b(?:src|data)\s*=\s*["']?((?:https?:)?//[^"'\s>]+)"""
    r"""|<link\b(?=[^>]*\brel\s*=\s*["']?(?:stylesheet|preload|preconnect|dns-prefetch|icon|prefetch))"""
    r"""[^>]*?\bhref\s*=\s*["']?((?:https?:)?//[^"'\s>]+)""",
    re.IGNORECASE,
)
_LOADED_BY_STYLE = re.compile(r"""(?:@import\s+|url\()\s*["']?((?:https?:)?//[^"')\s]+)""", re.IGNORECASE)


def setup(app):
    """Remove the scripts of sphinx-thebe, which would be fetched from another host, from every page."""
    app.connect("html-page-context", _without_thebe, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


def copy_mathjax(target: Path) -> None:
    """Copy MathJax's one script and its fonts from the installed package to `target`.

    The package's own extension would copy all its 24 MB, and to a place where every script is loaded by
    every page.
    """
    source = Path(importlib.metadata.distribution("sphinx-mathjax-offline").locate_file(_MATHJAX))
    (target / _MATHJAX_FONTS).mkdir(parents=True, exist_ok=True)
    shutil.copy(source / _MATHJAX_SCRIPT, target / _MATHJAX_SCRIPT)
    for font in sorted((source / _MATHJAX_FONTS).glob("*.woff")):
        shutil.copy(font, target / _MATHJAX_FONTS / font.name)


def check_offline(html: Path) -> None:
    """Raise when a page or style sheet would load something from another host.

    Parameters
    ----------
    html : Path
        The folder of the rendered book.

    Raises
    ------
    RunError
        Names the first pages and what they load.
    """
    found = []
    for path in sorted(html.rglob("*")):
        pattern = {".html": _LOADED, ".css": _LOADED_BY_STYLE}.get(path.suffix)
        if pattern is not None:
            addresses = pattern.findall(path.read_text(encoding="utf-8", errors="replace"))
            flat = ["".join(each) for each in addresses]
            found += [f"{path.relative_to(html).as_posix()} loads {address}" for address in flat]
    if found:
        more = f"\n... and {len(found) - 10} more" if len(found) > 10 else ""
        raise RunError("the book must work without a network, but\n" + "\n".join(found[:10]) + more)


def _without_thebe(app, pagename, templatename, context, doctree) -> None:
    for kind in ("script_files", "css_files"):
        if kind in context:
            context[kind] = [each for each in context[kind] if "thebe" not in str(_name(each)).lower()]


def _name(asset) -> str:
    """Return an asset's address and body: sphinx-thebe also adds inline scripts."""
    body = getattr(asset, "attributes", {}).get("body") or ""
    return f"{getattr(asset, 'filename', asset)} {body}"
