"""Build the book: execute what has changed, stage, render."""

import contextlib
import os
import shutil
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from medssl.book import cache, parameters
from medssl.book._toc import Contents, read_contents
from medssl.book.execute import PROFILES, Chapter, Task, execute, look_up, stop_all
from medssl.book.render import is_current, render, set_aside
from medssl.book.stage import check_prose, make_stage
from medssl.errors import RunError, UsageError

__all__ = ["Built", "Request", "Watcher", "build_book"]


class Watcher:
    """Hears what a build does; this one says nothing. `medssl book` prints it."""

    def kept(self, chapter: str) -> None:
        """The chapter is unchanged and is not executed."""

    def started(self, chapter: str, reason: str) -> None:
        """The chapter is being executed, for this reason."""

    def cell(self, chapter: str, number: int, total: int) -> None:
        """The chapter is at this cell."""

    def finished(self, chapter: str) -> None:
        """The chapter has been executed."""

    def rendering(self) -> None:
        """jupyter-book is at work."""


@dataclass(frozen=True)
class Request:
    """What to build.

    Attributes
    ----------
    root : Path
        The repository, with ``_toc.yml``, ``_config.yml`` and ``chapters/``.
    profile : str
        "quick", "published" or "full"; with `chapter`, of this chapter, and the others are "quick".
    chapter : str, optional
        The one chapter to which profile, parameters and force apply.
    values : dict
        Parameters of that chapter by name, as text or typed.
    force : bool
        Execute even what is unchanged.
    output : Path, optional
        A folder that gets a copy of the rendered book.
    jobs : int
        How many chapters are executed at the same time.
    """

    root: Path
    profile: str = "quick"
    chapter: str | None = None
    values: dict = field(default_factory=dict)
    force: bool = False
    output: Path | None = None
    jobs: int = 1

    def __post_init__(self):
        if self.profile not in PROFILES:
            raise UsageError(f"profile {self.profile!r} is not known; choose {', '.join(PROFILES)}")
        if self.jobs < 1:
            raise UsageError(f"jobs must be at least 1, not {self.jobs}")
        if self.values and self.chapter is None:
            raise UsageError("parameters belong to one chapter: name it with --chapter")


@dataclass(frozen=True)
class Built:
    """What a build did: the rendered book, the chapters it executed, and whether it rendered anew."""

    html: Path
    executed: tuple[str, ...]
    rendered: bool


def build_book(request: Request, watcher: Watcher | None = None) -> Built:
    """Execute what has changed and render the book.

    Parameters
    ----------
    request : Request
        What to build.
    watcher : Watcher, optional
        Is told of every step.

    Returns
    -------
    Built
        ``html`` is ``_build/html`` of the repository.

    Raises
    ------
    UsageError
        An unknown chapter, profile or parameter; nothing has been touched then.
    RunError
        A cell raised, a page quotes what does not exist, or Sphinx warned.
    """
    watcher = watcher or Watcher()
    contents = read_contents(request.root)
    tasks = _tasks(request, contents)
    build = request.root / "_build"
    with _only_one(build):
        try:
            check_prose(request.root, contents)
            products, executed = _execute_all(request, tasks, watcher)
            make_stage(request.root, build / "stage", contents, products)
            rendered = request.force or not is_current(build / "stage", build)
            if rendered:
                watcher.rendering()
                render(build / "stage", build)
        except RunError:
            set_aside(build)
            raise
        _copy_out(build / "html", request.output)
    return Built(build / "html", tuple(executed), rendered)


def _tasks(request: Request, contents: Contents) -> list[Task]:
    """Make one task a chapter, with checked parameters, before anything runs."""
    chosen = contents.chapter(request.chapter) if request.chapter is not None else None
    tasks = []
    for chapter in contents.chapters:
        declared = parameters.read_file(chapter.source, chapter.name)
        values = parameters.override(declared, request.values, chapter.name) if chapter == chosen else {}
        if "profile" in values:
            raise UsageError("the profile is chosen with --profile, not as a parameter")
        changed = {name: value for name, value in values.items() if value != declared[name].default}
        profile = request.profile if chosen in (None, chapter) else "quick"
        threads = max(1, (os.cpu_count() or 1) // request.jobs) if request.jobs > 1 else None
        tasks.append(
            Task(chapter, request.root, request.root / "_build", profile, changed, threads=threads)
        )  # fmt: skip
    return tasks


def _execute_all(
    request: Request, tasks: list[Task], watcher: Watcher
) -> tuple[dict[Chapter, Path], list[str]]:
    products = {task.chapter: None if _is_forced(request, task) else look_up(task) for task in tasks}
    waiting = [task for task in tasks if products[task.chapter] is None]
    for task in tasks:
        if task not in waiting:
            watcher.kept(task.chapter.name)
    with ThreadPoolExecutor(max_workers=request.jobs) as pool:
        running = {pool.submit(_execute_one, task, watcher): task for task in waiting}
        try:
            done, rest = wait(running, return_when=FIRST_EXCEPTION)
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            stop_all()
            raise
        for future in rest:
            future.cancel()
        products |= {running[future].chapter: future.result() for future in done}
    return products, [task.chapter.name for task in waiting]


def _execute_one(task: Task, watcher: Watcher) -> Path:
    name = task.chapter.name
    watcher.started(name, cache.why(task.cache, name, task.parts()))
    product = execute(task, lambda cell, total: watcher.cell(name, cell, total))
    watcher.finished(name)
    return product


def _is_forced(request: Request, task: Task) -> bool:
    return request.force and request.chapter in (None, task.chapter.name)


@contextlib.contextmanager
def _only_one(build: Path):
    """Hold a lock on the build folder: two builds at once would mix their products."""
    try:
        import fcntl
    except ImportError:  # no such lock on Windows
        yield
        return
    try:
        build.mkdir(parents=True, exist_ok=True)
        stream = (build / ".lock").open("w")
    except OSError as error:
        raise RunError(f"{build}: cannot write here ({error.strerror})") from error
    with stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise RunError(f"{build}: another build is at work here; wait until it has finished") from error
        yield


def _copy_out(html: Path, output: Path | None) -> None:
    if output is None:
        return
    if output.exists() and any(output.iterdir()) and not (output / "searchindex.js").is_file():
        raise UsageError(f"{output} holds other files; name an empty folder or an earlier copy of the book")
    shutil.rmtree(output, ignore_errors=True)
    shutil.copytree(html, output)
