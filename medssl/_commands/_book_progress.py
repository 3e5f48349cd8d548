"""Show the steps of a build: bars on a terminal, one line a step elsewhere."""

import time

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from medssl.book.build import Watcher

__all__ = ["PrintingWatcher"]


class PrintingWatcher(Watcher):
    """Prints to standard error; the bars show the cells of each chapter.

    Parameters
    ----------
    console : rich.console.Console, optional
        Where to print.
    """

    def __init__(self, console: Console | None = None):
        self.console = console or Console(stderr=True)
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._bars = Progress(*columns, console=self.console, transient=True)
        self._running: dict = {}

    def __enter__(self):
        if self.console.is_terminal:
            self._bars.start()
        return self

    def __exit__(self, *error):
        self._bars.stop()

    def kept(self, chapter):
        """Say that the chapter is taken from the cache."""
        self._say(f"{chapter}: unchanged, not executed")

    def started(self, chapter, reason):
        """Say why the chapter is executed, and begin its bar."""
        self._say(f"{chapter}: executing ({reason})")
        self._running[chapter] = (self._bars.add_task(chapter, total=None), time.monotonic())

    def cell(self, chapter, number, total):
        """Move the bar of the chapter."""
        self._bars.update(self._running[chapter][0], completed=number, total=total)

    def finished(self, chapter):
        """Say how long the chapter took, and end its bar."""
        bar, start = self._running.pop(chapter)
        self._bars.remove_task(bar)
        minutes, seconds = divmod(round(time.monotonic() - start), 60)
        self._say(f"{chapter}: executed in {minutes} min {seconds} s")

    def rendering(self):
        """Say that the pages are being made."""
        self._say("rendering the pages")

    def _say(self, text: str) -> None:
        self.console.print(text, highlight=False, markup=False, soft_wrap=True)
