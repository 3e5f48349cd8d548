"""`medssl doctor`: what is here, what is missing, what to do next."""

import os
import platform
import shutil
from importlib import metadata
from pathlib import Path

import typer
from rich.console import Console
from rich.table import Table

__all__ = ["doctor"]

_LIBRARIES = ("torch", "monai", "numpy", "pandas", "scipy", "statsmodels", "papermill", "jupyter-book")


def doctor() -> None:
    """Show versions, device, threads, disk, the data found, and what to do next.

    Example: medssl doctor
    """
    console = Console(width=shutil.get_terminal_size((110, 24)).columns)
    sources = _sources()
    console.print(_table("Software", _software()))
    console.print(_table("Machine", _machine()))
    console.print(_table("Real images", sources))
    for line in _advice(sources):
        typer.echo(f"- {line}")


def _table(title, rows):
    table = Table(title=title, title_justify="left", show_header=False)
    for name, value in rows:
        table.add_row(name, str(value))
    return table


def _software():
    rows = [("python", platform.python_version()), ("medssl", metadata.version("medssl"))]
    return rows + [(name, _version(name)) for name in _LIBRARIES]


def _version(name):
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "missing: run `make book`, which makes the environment from requirements.lock"


def _machine():
    import psutil
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none: the quick profile needs none"
    free = shutil.disk_usage(Path.cwd()).free
    return [
        ("GPU", gpu),
        ("processor cores", os.cpu_count()),
        ("threads that torch uses", torch.get_num_threads()),
        ("memory", f"{psutil.virtual_memory().total / 2**30:.0f} GiB"),
        ("free disk here", f"{free / 2**30:.0f} GiB"),
        ("MEDSSL_DATA", os.environ.get("MEDSSL_DATA", "not set")),
    ]


def _sources():
    from medssl.data import available, locate

    return [(name, locate(name) or "not found") for name in available() if not name.startswith("phantom_")]


def _advice(sources):
    missing = [name for name, where in sources if where == "not found"]
    if missing:
        yield f"Real images are optional; `medssl data fetch {missing[0]}` gets them, or set MEDSSL_DATA."
    yield "`make book` builds the book on generated images."
    yield "`medssl run xray --dry-run` shows how much of the real-data grid is recorded."
