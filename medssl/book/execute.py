"""Execute one chapter with papermill, or take what an equal execution left in the cache."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from medssl.book import _workspace, cache, parameters
from medssl.errors import RunError

__all__ = ["PROFILES", "Chapter", "Task", "execute", "look_up", "stop_all"]

PROFILES = ("quick", "published", "full")
_RUNNING: set[subprocess.Popen] = set()  # the processes of chapters, to stop them with the build


@dataclass(frozen=True)
class Chapter:
    """One executable chapter: its name (``xray/study``) and its percent-format file."""

    name: str
    source: Path

    @property
    def notebook_name(self) -> str:
        """The file name of the executed notebook."""
        return f"{self.source.stem}.ipynb"


@dataclass(frozen=True)
class Task:
    """One execution of one chapter.

    Attributes
    ----------
    chapter : Chapter
        What to execute.
    root : Path
        The repository.
    build : Path
        The folder of build products, usually ``_build``.
    profile : str
        One of `PROFILES`.
    values : dict
        Parameters that differ from the chapter's defaults, checked and typed.
    package_root, package
        Where the modules are whose changes count; see `medssl.book.cache.parts_of`.
    threads : int, optional
        How many threads numerical libraries may use; by default what they choose.
    """

    chapter: Chapter
    root: Path
    build: Path
    profile: str = "quick"
    values: dict = field(default_factory=dict)
    package_root: Path = Path(__file__).parents[2]
    package: str = "medssl"
    threads: int | None = None

    @property
    def cache(self) -> Path:
        """The folder of finished executions."""
        return self.build / "cache"

    def parts(self) -> dict[str, str]:
        """Everything that the result depends on, hashed as the files are now."""
        return cache.parts_of(
            self.chapter.source, self.values, self.profile,
            root=self.root, package_root=self.package_root, package=self.package,
        )  # fmt: skip


def look_up(task: Task) -> Path | None:
    """Return the folder of an earlier execution that equals this one, or None."""
    return cache.find(task.cache, task.chapter.name, task.parts())


def execute(task: Task, report: Callable[[int, int], None] = lambda cell, total: None) -> Path:
    """Execute a chapter and return the folder of what it made.

    Parameters
    ----------
    task : Task
        What to execute, and how.
    report : callable
        Called with the cell's number and the number of cells before each cell.

    Returns
    -------
    Path
        The executed notebook, ``results.json`` and ``figures/``; in the cache, unless an input changed
        while the chapter ran.

    Raises
    ------
    RunError
        A cell raised, or the kernel died; the text names the chapter, the cell and the exception, and
        the partial notebook is kept below ``_build/failed``.
    """
    folder = task.build / "execute" / task.chapter.name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "figures").mkdir(parents=True)
    before = task.parts()
    error = _run(task, folder, report)
    if error is not None:
        raise RunError(_failure(task, folder, error))
    if task.parts() != before:
        return folder
    return cache.store(task.cache, task.chapter.name, before, folder)


def stop_all() -> None:
    """Stop every chapter that is being executed: its process ends when its standard input closes."""
    for process in list(_RUNNING):
        process.stdin.close()


def _run(task: Task, folder: Path, report: Callable[[int, int], None]) -> dict | None:
    """Run the chapter in a process of its own; return None, or the error that it reported."""
    request = folder / "request.json"
    request.write_text(json.dumps(_request(task, folder)), encoding="utf-8")
    command = [sys.executable, "-m", "medssl.book._run", str(request)]
    error = {"cell": None, "name": "the process of the chapter ended early", "text": "", "source": ""}
    with (
        open(folder / "output.log", "w", encoding="utf-8") as log,
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True,
            env=_environment(task, folder), cwd=folder,
        ) as process,
    ):  # fmt: skip
        _RUNNING.add(process)
        try:
            for line in process.stdout:
                message = json.loads(line)
                if "cell" in message:
                    report(message["cell"], message["of"])
                error = message.get("error", None if "done" in message else error)
        finally:
            _RUNNING.discard(process)
            process.stdin.close()
    request.unlink()
    return error


def _request(task: Task, folder: Path) -> dict:
    declared = parameters.read_file(task.chapter.source, task.chapter.name)
    given = {"profile": task.profile} if "profile" in declared else {}
    given |= task.values
    return {
        "source": str(task.chapter.source.resolve()),
        "output": str((folder / task.chapter.notebook_name).resolve()),
        "values": {name: repr(value) for name, value in given.items()},
        "overridden": bool(task.values),
    }


def _environment(task: Task, folder: Path) -> dict[str, str]:
    environment = {key: value for key, value in os.environ.items() if key != "MPLBACKEND"}
    environment[_workspace.ROOT_VARIABLE] = str(task.root.resolve())
    environment[_workspace.FOLDER_VARIABLE] = str(folder.resolve())
    environment[_workspace.CHAPTER_VARIABLE] = task.chapter.name
    environment[_workspace.PROFILE_VARIABLE] = task.profile
    if environment.get("MEDSSL_DATA"):
        environment["MEDSSL_DATA"] = str(Path(environment["MEDSSL_DATA"]).resolve())
    if task.threads is not None:
        environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(task.threads))
    # debugpy would print a line about frozen modules into the log of every chapter.
    return environment | {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}


def _failure(task: Task, folder: Path, error: dict) -> str:
    """Keep the partial notebook and say what happened in one message."""
    kept = task.build / "failed" / task.chapter.name
    shutil.rmtree(kept, ignore_errors=True)
    kept.parent.mkdir(parents=True, exist_ok=True)
    os.replace(folder, kept)
    where = f"cell [{error['cell']}]" if error["cell"] is not None else "while starting or running the kernel"
    first = next((line for line in error["source"].splitlines() if line.strip()), "")
    quoted = f" ({first.strip()[:60]})" if first else ""
    text = re.sub(r"\x1b\[[0-9;]*m", "", error["text"])
    cause = f"{error['name']}: {text}" if text else error["name"]
    return (
        f"chapter {task.chapter.name}, {where}{quoted}: {cause}\n"
        f"The notebook up to there and its log are in {kept}."
    )
