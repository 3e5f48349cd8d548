"""The cache key covers what a chapter depends on, and nothing else."""

from pathlib import Path

import pytest

from medssl.book import cache
from medssl.book._closure import imported_files
from medssl.book._percent import code_cells, literal
from medssl.errors import UsageError

MODULES = {
    "__init__": "from importlib import import_module\n"
    "__all__ = ['run']\n__version__ = '1'\n"
    "def __getattr__(name):\n    return getattr(import_module('pack.training'), name)\n",
    "direct": "from pack.deep.inner import value\n",
    "deep/__init__": "from . import beside\n",
    "deep/beside": "",
    "deep/inner": "def late():\n    from ..far import thing\n    return thing\n",
    "far": "thing = 1\n",
    "training": "x = 1\n",
    "unrelated": "y = 1\n",
    "sources/__init__": "import importlib\nNAMES = {'a': 'first'}\nLIMIT = 3\n"
    "def load(name):\n    return importlib.import_module(f'pack.sources.{NAMES[name]}')\n",
    "sources/first": "from pack.far import thing\n",
    "tables/__init__": "",
}
CHAPTER = "# %% [markdown]\n# Title\n\n# %%\n%matplotlib inline\nfrom pack.direct import value\n"


@pytest.fixture
def package(tmp_path) -> Path:
    for name, text in MODULES.items():
        path = tmp_path / "pack" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (tmp_path / "pack" / "tables" / "effects.csv").write_text("a\n1\n")
    (tmp_path / "pack" / "tables" / "cards").mkdir()
    (tmp_path / "pack" / "tables" / "cards" / "one.json").write_text("{}")
    (tmp_path / "chapter.py").write_text(CHAPTER)
    (tmp_path / "requirements.lock").write_text("numpy==2.0\n")
    return tmp_path


def names(package: Path, code: str) -> set[str]:
    files = imported_files(f"# %%\n{code}\n", package, "pack")
    return {path.relative_to(package / "pack").as_posix() for path in files}


def parts(package: Path, profile: str = "quick", **values) -> dict[str, str]:
    return cache.parts_of(
        package / "chapter.py", values, profile, root=package, package_root=package, package="pack"
    )


def test_imports_are_followed_through_modules_functions_and_parents(package):
    """Transitive, relative and function-level imports and every parent package are found."""
    expected = {"__init__.py", "direct.py", "deep/__init__.py", "deep/beside.py", "deep/inner.py", "far.py"}
    assert names(package, "from pack.direct import value") == expected


@pytest.mark.parametrize("code", ["import pack\npack.run()", "from pack import run", "from pack import *"])
def test_a_lazily_exported_name_brings_its_module(package, code):
    """A name that a package fetches on first use brings the module that its strings name."""
    assert names(package, code) == {"__init__.py", "training.py"}


@pytest.mark.parametrize("code", ["import pack\npack.__version__", "from pack import __version__"])
def test_a_plain_name_of_a_lazy_package_brings_no_more(package, code):
    """Asking for the version does not tie a chapter to the training code."""
    assert names(package, code) == {"__init__.py"}


def test_a_function_that_imports_by_a_computed_name_brings_all_candidates(package):
    """Modules named by strings beside a computed import count, with what they import."""
    found = names(package, "from pack.sources import load")
    assert found == {"__init__.py", "sources/__init__.py", "sources/first.py", "far.py"}
    assert names(package, "from pack.sources import LIMIT") == {"__init__.py", "sources/__init__.py"}


def test_data_files_of_an_imported_package_count(package):
    """Tables and cards beside the modules of an imported package are part of the answer."""
    found = names(package, "import pack.tables")
    assert {"tables/effects.csv", "tables/cards/one.json"} <= found


def test_other_packages_are_left_to_the_lock(package):
    """The standard library and pinned packages are not followed."""
    assert names(package, "import json, numpy\nfrom os import path") == set()


@pytest.mark.parametrize("file", ["chapter.py", "pack/far.py", "pack/deep/__init__.py", "requirements.lock"])
def test_a_change_in_what_is_used_changes_the_key(package, file):
    """The chapter, a module far down the imports, a parent package and the lock all count."""
    before = cache.key_of(parts(package))
    (package / file).write_text((package / file).read_text() + "# changed\n")
    assert cache.key_of(parts(package)) != before


@pytest.mark.parametrize("file", ["pack/unrelated.py", "pack/training.py", "pack/tables/effects.csv"])
def test_a_change_elsewhere_keeps_the_key(package, file):
    """A module that the chapter cannot reach does not count."""
    before = cache.key_of(parts(package))
    (package / file).write_text("changed = 1\n")
    assert cache.key_of(parts(package)) == before


def test_profile_parameters_and_device_change_the_key(package, monkeypatch):
    """The same cells with another profile, other values or another device are another execution."""
    keys = {cache.key_of(parts(package)), cache.key_of(parts(package, "full"))}
    keys.add(cache.key_of(parts(package, size=3)))
    monkeypatch.setattr(cache, "device_kind", lambda: "abacus")
    keys.add(cache.key_of(parts(package)))
    assert len(keys) == 4


def test_declared_data_count_and_other_files_do_not(package):
    """With `declared_data` only matching files count; without it everything below records/."""
    records = package / "records"
    records.mkdir()
    (records / "a.json").write_text("1")
    (records / "b.json").write_text("1")
    assert {"data records/a.json", "data records/b.json"} <= parts(package).keys()
    (package / "chapter.py").write_text(CHAPTER + 'declared_data = ["records/a.json"]\n')
    before = parts(package)
    (records / "b.json").write_text("2")
    assert parts(package) == before
    (records / "a.json").write_text("2")
    assert cache.key_of(parts(package)) != cache.key_of(before)


def test_real_images_count_in_the_full_profile_only(package, monkeypatch):
    """Files below MEDSSL_DATA are hashed by content where the chapter reads them."""
    data = package / "images"
    data.mkdir()
    (data / "x.npz").write_text("1")
    (package / "chapter.py").write_text(CHAPTER + 'declared_data = ["$MEDSSL_DATA/*.npz"]\n')
    monkeypatch.setenv("MEDSSL_DATA", str(data))
    assert "data $MEDSSL_DATA/x.npz" not in parts(package, "quick")
    before = parts(package, "full")
    (data / "x.npz").write_text("2")
    assert parts(package, "full") != before


@pytest.mark.parametrize("pattern", ["../secret.json", "/etc/passwd", "$MEDSSL_DATA/../x"])
def test_declared_data_stay_inside_their_folder(package, monkeypatch, pattern):
    """A pattern that leaves its folder would make the key depend on the machine."""
    monkeypatch.setenv("MEDSSL_DATA", str(package))
    (package / "chapter.py").write_text(CHAPTER + f"declared_data = [{pattern!r}]\n")
    with pytest.raises(UsageError, match="leaves its folder"):
        parts(package, "full")


def product(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "study.ipynb").write_text(text)
    return folder


def test_what_is_stored_is_found_under_equal_parts_only(tmp_path):
    """The same parts give the product back; other parts give nothing."""
    store = tmp_path / "cache"
    entry = cache.store(store, "xray/study", {"chapter": "a"}, product(tmp_path / "work", "one"))
    assert cache.find(store, "xray/study", {"chapter": "a"}) == entry
    assert (entry / "study.ipynb").read_text() == "one"
    assert not (tmp_path / "work").exists()
    assert cache.find(store, "xray/study", {"chapter": "b"}) is None
    assert cache.find(store, "ct/study", {"chapter": "a"}) is None


def test_an_unfinished_entry_is_not_found(tmp_path):
    """A folder without its list of parts is no finished execution."""
    parts = {"chapter": "a"}
    product(tmp_path / "xray" / cache.key_of(parts), "half")
    assert cache.find(tmp_path, "xray", parts) is None


def test_the_reason_of_an_execution_names_what_changed(tmp_path):
    """The user learns which file made a chapter run again."""
    assert cache.why(tmp_path, "study", {"chapter": "a"}) == "not executed before"
    first = {"chapter": "a", "module pack/far.py": "1"}
    cache.store(tmp_path, "study", first, product(tmp_path / "work", "one"))
    assert cache.why(tmp_path, "study", first | {"module pack/far.py": "2"}) == "changed: pack/far.py"
    assert cache.why(tmp_path, "study", first) == "asked for"


def test_old_executions_are_dropped(tmp_path):
    """The cache of a chapter stays small, and the newest stay."""
    for number in range(9):
        cache.store(tmp_path, "study", {"chapter": str(number)}, product(tmp_path / f"work{number}", "x"))
    kept = [number for number in range(9) if cache.find(tmp_path, "study", {"chapter": str(number)})]
    assert kept == [3, 4, 5, 6, 7, 8]


def test_cells_and_literals_are_read_without_running():
    """Markdown is no code, tags are read, and a literal is found in any cell."""
    source = '# %% [markdown]\n# x = 1\n# %% tags=["parameters"]\na: int = 1\n# %%\nfiles = ["b"]\n'
    assert [(cell.tags, cell.line) for cell in code_cells(source)] == [(("parameters",), 4), ((), 6)]
    assert literal(source, "files") == ["b"]
    assert literal(source, "x") is None
