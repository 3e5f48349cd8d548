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
    """Silence sphinx-thebe, which jupyter-book adds: its script would come from another host."""
    app.connect("config-inited", _without_thebe)
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


def _without_thebe(app, config) -> None:
    """Disconnect every handler of sphinx-thebe before the first one is called, and drop its style."""
    app.registry.css_files = [each for each in app.registry.css_files if "thebe" not in each[0]]
    for listeners in app.events.listeners.values():
        listeners[:] = [each for each in listeners if not each.handler.__module__.startswith("sphinx_thebe")]
