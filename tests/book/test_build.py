"""Building the book: what is executed, what is kept, what a failure leaves behind."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from medssl.book._toc import read_contents
from medssl.book.build import Request, Watcher, build_book
from medssl.book.execute import Task, execute, look_up
from medssl.errors import RunError, UsageError


class Listening(Watcher):
    """Remembers what it was told."""

    def __init__(self):
        self.heard = []

    def kept(self, chapter):
        self.heard.append(("kept", chapter))

    def started(self, chapter, reason):
        self.heard.append(("started", chapter, reason))


def notebook(built) -> dict:
    return json.loads((built.html / "_sources/chapters/small/study.ipynb").read_text(encoding="utf-8"))


def code_with_tag(built, tag: str) -> list[str]:
    cells = [cell for cell in notebook(built)["cells"] if tag in cell["metadata"].get("tags", [])]
    return ["".join(cell["source"]) for cell in cells]


def test_a_book_is_built_from_its_sources(built_book):
    """Pages, the executed notebook, the figure's five files and MathJax are in the rendered book."""
    assert built_book.executed == ("small/study",)
    assert built_book.rendered
    for name in ("index.html", "chapters/small/advice.html", "chapters/small/study.html", "searchindex.js"):
        assert (built_book.html / name).is_file()
    kinds = sorted(path.suffix for path in (built_book.html / "figures/small-line").iterdir())
    assert kinds == [".csv", ".json", ".pdf", ".png", ".svg"]
    assert (built_book.html / "vendor/mathjax/tex-mml-chtml.js").is_file()
    assert list((built_book.html / "vendor/mathjax").rglob("MathJax_Main-Regular.woff"))


def test_the_download_is_the_executed_notebook(built_book):
    """The notebook offered for download holds outputs, and no progress bar or path of this machine."""
    outputs = [output for cell in notebook(built_book)["cells"] for output in cell.get("outputs", [])]
    assert ["computed\n"] in [output.get("text") for output in outputs]
    assert not [output for output in outputs if output.get("name") == "stderr"]
    assert str(built_book.html.parents[1]) not in json.dumps(notebook(built_book))


def test_the_injected_profile_is_in_the_notebook_but_not_on_the_page(built_book):
    """The profile cell runs after the parameters; readers see the declared parameters only."""
    assert code_with_tag(built_book, "injected-parameters") == [
        "# Parameters of this execution\nprofile = 'quick'"
    ]
    page = (built_book.html / "chapters/small/study.html").read_text(encoding="utf-8")
    assert "Parameters of this execution" not in page
    assert "counts" in page


def test_nothing_changed_means_nothing_is_executed_or_rendered(built_book):
    """The same build again takes the cache and leaves the pages alone."""
    listening = Listening()
    again = build_book(Request(built_book.html.parents[1]), listening)
    assert again.executed == ()
    assert not again.rendered
    assert listening.heard == [("kept", "small/study")]


def test_a_parameter_reaches_the_notebook_and_its_results(small_book):
    """A typed override is injected, changes the results, and is kept apart from the default."""
    contents = read_contents(small_book)
    task = Task(contents.chapters[0], small_book, small_book / "_build", values={"factor": 4})
    folder = execute(task)
    assert json.loads((folder / "results.json").read_text())["pooled_gain"]["value"] == 1.0
    assert look_up(task) == folder
    assert look_up(Task(contents.chapters[0], small_book, small_book / "_build")) is None


def test_a_failing_cell_is_one_clear_error(small_book):
    """Chapter, cell and exception are named, the partial notebook is kept, and no old page stays."""
    source = small_book / "chapters/small/study.py"
    source.write_text(source.read_text() + "\n# %%\nprint('before')\n{}['missing']\n")
    (small_book / "_build/html").mkdir(parents=True)
    with pytest.raises(RunError, match=r"chapter small/study, cell \[6\] .*: KeyError: 'missing'") as caught:
        build_book(Request(small_book))
    kept = small_book / "_build/failed/small/study"
    assert str(kept) in str(caught.value)
    assert "before" in (kept / "study.ipynb").read_text()
    assert not (small_book / "_build/html").exists()
    assert not list((small_book / "_build").glob("cache/**/parts.json"))


SLEEP = """
# %%
import os, pathlib, time
pathlib.Path("pid.part").write_text(str(os.getpid()))
os.replace("pid.part", "pid")
time.sleep(300)
"""


def wait_until(condition, seconds: float = 60):
    """Poll, because a process tells nobody when it has begun or ended."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    with open(f"/proc/{pid}/stat") as stream:
        return stream.read().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.parametrize("cause", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_build_leaves_no_entry_and_no_kernel(small_book, cause):
    """Killed or interrupted, the kernel ends too, and the next build executes the chapter again."""
    source = small_book / "chapters/small/study.py"
    source.write_text(source.read_text() + SLEEP)
    code = (
        "import pathlib, sys; from medssl.book.build import *; build_book(Request(pathlib.Path(sys.argv[1])))"
    )
    command = [sys.executable, "-c", code, str(small_book)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        pid = small_book / "_build/execute/small/study/pid"
        wait_until(pid.exists)
        kernel = int(pid.read_text())
        process.send_signal(cause)
        assert process.wait(60) != 0
    wait_until(lambda: not is_alive(kernel))
    assert not list((small_book / "_build").glob("cache/**/parts.json"))
    contents = read_contents(small_book)
    assert look_up(Task(contents.chapters[0], small_book, small_book / "_build")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"profile": "fast"}, "profile 'fast' is not known; choose quick, published, full"),
        ({"jobs": 0}, "jobs must be at least 1"),
        ({"values": {"factor": "1"}}, "name it with --chapter"),
        ({"chapter": "small/studies"}, "no chapter 'small/studies'. Did you mean 'small/study'"),
        ({"chapter": "small/study", "values": {"factr": "1"}}, "Did you mean 'factor'"),
        ({"chapter": "small/study", "values": {"factor": "1.5"}}, "parameter factor is int, not 1.5"),
        ({"chapter": "small/study", "values": {"profile": "full"}}, "chosen with --profile"),
    ],
)
def test_a_wrong_request_is_refused_before_anything_runs(small_book, options, message):
    """Unknown profiles, chapters and parameters end in one message, and nothing is made."""
    with pytest.raises(UsageError, match=message):
        build_book(Request(small_book, **options))
    assert not (small_book / "_build").exists()


def test_a_typed_number_stops_the_build(small_book):
    """A number typed on the page beside a notebook is an error with page and line."""
    page = small_book / "chapters/small/advice.md"
    page.write_text(page.read_text() + "\nThe gain is 0.03.\n")
    with pytest.raises(RunError, match=r'chapters/small/advice.md, line 11: 0.03 in "The gain is 0.03."'):
        build_book(Request(small_book))


def test_a_number_typed_into_a_notebook_stops_the_build(small_book):
    """The prose of a notebook is checked as a page is; its code may hold numbers."""
    source = small_book / "chapters/small/study.py"
    source.write_text(source.read_text() + "\n# %% [markdown]\n# The gain is 0.04.\n\n# %%\nx = 0.05\n")
    line = source.read_text().splitlines().index("# The gain is 0.04.") + 1
    with pytest.raises(RunError, match=rf"chapters/small/study.py, line {line}: 0.04 in") as caught:
        build_book(Request(small_book))
    assert "0.05" not in str(caught.value)


def test_a_page_without_source_is_an_error(small_book):
    """The table of contents names what exists, once."""
    (small_book / "chapters/small/advice.md").rename(small_book / "chapters/small/other.md")
    with pytest.raises(UsageError, match=r"chapters/small/advice needs one source.*neither"):
        build_book(Request(small_book))
    (small_book / "_toc.yml").unlink()
    with pytest.raises(UsageError, match=r"there is no _toc\.yml"):
        build_book(Request(small_book))


def test_two_builds_do_not_mix(small_book):
    """A second build in the same folder is refused while the first is at work."""
    import fcntl

    (small_book / "_build").mkdir()
    with (small_book / "_build/.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        with pytest.raises(RunError, match="another build is at work"):
            build_book(Request(small_book))


def test_a_copy_goes_to_an_empty_folder_only(built_book, tmp_path):
    """`--output` copies the book, and never overwrites a folder of other files."""
    root = built_book.html.parents[1]
    build_book(Request(root, output=tmp_path / "copy"))
    assert (tmp_path / "copy/index.html").is_file()
    build_book(Request(root, output=tmp_path / "copy"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/thesis.txt").write_text("precious")
    with pytest.raises(UsageError, match="holds other files"):
        build_book(Request(root, output=tmp_path / "mine"))
    assert (tmp_path / "mine/thesis.txt").read_text() == "precious"
