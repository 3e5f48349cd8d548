"""Render a stage with jupyter-book, where any warning is an error."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from medssl.book._offline import check_offline
from medssl.book.stage import digest
from medssl.errors import RunError
from medssl.files import write_text

__all__ = ["is_current", "render", "set_aside"]

_STAMP = "html.stamp"
_COMMAND = "import sys; from jupyter_book.cli.main import main; sys.exit(main())"


def is_current(stage: Path, build: Path) -> bool:
    """Whether ``html`` below `build` is what rendering `stage` would give."""
    stamp = build / _STAMP
    return (build / "html").is_dir() and stamp.is_file() and stamp.read_text() == _state(stage)


def render(stage: Path, build: Path) -> None:
    """Render `stage` to ``html`` below `build`.

    Every rendering starts from nothing: an incremental one would pass over a warning of a page that it
    does not read again.
    The finished book then takes the place of the former one.

    Parameters
    ----------
    stage : Path
        What `medssl.book.stage.make_stage` made.
    build : Path
        The folder of build products.

    Raises
    ------
    RunError
        Sphinx warned or failed, or a page loads something from another host; there is no ``html`` then.
    """
    html, stamp = build / "html", build / _STAMP
    stamp.unlink(missing_ok=True)
    output = build / "render"
    shutil.rmtree(output, ignore_errors=True)
    _jupyter_book(stage, output, build / "jupyter-book.log")
    fresh = output / "_build" / "html"
    check_offline(fresh)
    if html.exists():
        os.replace(html, output / "former")
    os.replace(fresh, html)
    shutil.rmtree(output)
    write_text(stamp, _state(stage))


def set_aside(build: Path) -> None:
    """Move the rendered book away after a failure, so that nobody takes it for the present state."""
    (build / _STAMP).unlink(missing_ok=True)
    if (build / "html").is_dir():
        shutil.rmtree(build / "html-previous", ignore_errors=True)
        os.replace(build / "html", build / "html-previous")


def _state(stage: Path) -> str:
    """Return a hash of what is rendered and of the code that renders it."""
    code = [Path(__file__).parent / name for name in ("_offline.py", "_pages.py", "render.py")]
    return digest(stage, *code)


def _jupyter_book(stage: Path, output: Path, log: Path) -> None:
    output.mkdir(parents=True)
    command = [sys.executable, "-c", _COMMAND, "build", str(stage.resolve())]
    command += ["--path-output", str(output.resolve()), "-W", "-n", "--keep-going"]
    environment = os.environ | {"PYDEVD_DISABLE_FILE_VALIDATION": "1", "NO_COLOR": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    text = re.sub(r"\x1b\[[0-9;]*m", "", done.stdout + done.stderr)
    write_text(log, text)
    if done.returncode:
        raise RunError(f"the book does not build without warnings (log: {log}):\n{_problems(text)}")


def _problems(text: str) -> str:
    lines = [line.strip() for line in text.splitlines()]
    found = [line for line in lines if re.search(r"\b(WARNING|ERROR|CRITICAL|SEVERE)\b|Error:", line)]
    shown = list(dict.fromkeys(found))[:20] or lines[-15:]
    return "\n".join(line.replace("/_build/stage/", "/") for line in shown)
