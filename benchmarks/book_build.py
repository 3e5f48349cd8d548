"""Time `medssl book`: from nothing, with nothing changed, with a page changed, with a notebook changed.

Run it from the repository:

    .venv/bin/python benchmarks/book_build.py
    .venv/bin/python benchmarks/book_build.py --jobs 2

The sources are copied to a temporary folder, so the book in `_build` stays as it is.
"""

import argparse
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from medssl.book._toc import Contents, read_contents

ROOT = Path(__file__).parents[1]
SOURCES = ("_config.yml", "_toc.yml", "requirements.lock", "chapters", "records")
COMMAND = "from medssl.cli import main; main()"


def machine() -> str:
    """Describe the processor, memory, system and load in one line."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    gibibytes = psutil.virtual_memory().total / 2**30
    return (
        f"{names[0] if names else platform.processor()}, {os.cpu_count()} cores, {gibibytes:.0f} GiB, "
        f"{platform.system()} {platform.release()}, Python {platform.python_version()}, "
        f"load {psutil.getloadavg()[0]:.1f} at the start"
    )


def copy_sources(target: Path) -> Contents:
    """Copy what a build reads and return the table of contents of the copy."""
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        elif source.exists():
            shutil.copy(source, target / name)
    return read_contents(target)


def seconds(root: Path, options: list[str]) -> float:
    """Build the book in a process of its own, as a user does, and return the wall-clock seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-c", COMMAND, "book", *options], cwd=root, check=True)
    return time.perf_counter() - start


def append(path: Path, text: str) -> None:
    """Add text to the end of a file."""
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")


def measure(profile: str, jobs: int) -> list[tuple[str, float]]:
    """Time the builds in order; each begins where the one before it ended."""
    options = ["--profile", profile, "--jobs", str(jobs)]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        contents = copy_sources(root)
        rows = [("from nothing", seconds(root, options)), ("nothing changed", seconds(root, options))]
        append(root / contents.pages[-1], "\nOne more sentence.\n")
        rows.append((f"{contents.pages[-1]} changed", seconds(root, options)))
        for chapter in contents.chapters:
            append(chapter.source, "\n# %% [markdown]\n# One more sentence.\n")
            rows.append((f"notebook {chapter.name} changed", seconds(root, options)))
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--profile", default="quick", help="quick, published or full")
    parser.add_argument("--jobs", type=int, default=1, help="chapters executed at the same time")
    given = parser.parse_args()
    described = machine()
    rows = measure(given.profile, given.jobs)
    width = max(len(name) for name, _ in rows)
    print(f"\n{described}\nprofile {given.profile}, jobs {given.jobs}\n")
    print(f"{'build':<{width}}  seconds")
    for name, value in rows:
        print(f"{name:<{width}}  {value:7.1f}")


if __name__ == "__main__":
    main()
