"""environment.yml, pyproject.toml and requirements.lock describe the same environment."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
CONDA_NAMES = {"pytorch": "torch"}
NOT_ON_CONDA = {"sphinx-mathjax-offline"}


def project() -> dict[str, Requirement]:
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(table["dependencies"])
    for extra in table["optional-dependencies"].values():
        lines += extra
    requirements = [Requirement(line) for line in lines]
    return {canonicalize_name(each.name): each for each in requirements}


def lock() -> list[Requirement]:
    lines = (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def conda() -> tuple[dict[str, Requirement], dict[str, Requirement]]:
    entries = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))["dependencies"]
    from_pip = next(entry["pip"] for entry in entries if isinstance(entry, dict))
    plain = [Requirement(entry) for entry in entries if isinstance(entry, str)]
    named = {CONDA_NAMES.get(each.name, canonicalize_name(each.name)): each for each in plain}
    return named, {each.name: each for each in map(Requirement, from_pip)}


def pinned_versions(name: str) -> list[str]:
    specifiers = [each.specifier for each in lock() if canonicalize_name(each.name) == name]
    return [clause.version for specifier in specifiers for clause in specifier]


@pytest.mark.parametrize("name", sorted(project()))
def test_each_dependency_is_pinned_inside_its_range(name):
    """The lock holds every dependency of pyproject.toml, at a version that its range allows."""
    versions = pinned_versions(name)
    assert versions, f"{name} is missing from requirements.lock: run make lock"
    assert all(project()[name].specifier.contains(version) for version in versions)


def test_the_lock_holds_exact_pins_only():
    """Every line of the lock is one exact version, and no name has two for one platform."""
    assert all(re.fullmatch(r"==[^,*]+", str(each.specifier)) for each in lock())
    lines = [(canonicalize_name(each.name), str(each.marker)) for each in lock()]
    assert len(lines) == len(set(lines))


def test_the_lock_leaves_the_build_of_torch_open():
    """CUDA packages are torch's own affair, so one lock serves a laptop and a GPU machine."""
    assert not [each.name for each in lock() if re.match(r"nvidia|cuda|triton", each.name)]


def test_conda_has_the_same_ranges():
    """environment.yml gives every dependency the range of pyproject.toml, and nothing more."""
    from_conda, from_pip = conda()
    assert from_pip.keys() == NOT_ON_CONDA
    listed = {**from_conda, **from_pip}
    assert listed.keys() - {"python", "pip"} == project().keys()
    assert all(listed[name].specifier == project()[name].specifier for name in project())


def test_the_python_version_is_the_same_everywhere():
    """pyproject.toml, environment.yml and the Makefile ask for the same Python."""
    table = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    from_conda, _ = conda()
    assert str(from_conda["python"].specifier) == table["requires-python"] == ">=3.11"
    assert "v >= (3, 11)" in (ROOT / "Makefile").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", ["pyproject.toml", "environment.yml", "requirements.lock"])
def test_nothing_needs_torchvision(file):
    """torchvision has no build for every machine, so nothing asks for it."""
    assert "torchvision" not in (ROOT / file).read_text(encoding="utf-8")


def test_make_refuses_an_old_python(tmp_path):
    """A Python before 3.11 ends in one sentence that says what to type, before anything is installed."""
    old = tmp_path / "python3"
    old.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 10); $2"\n')
    old.chmod(0o755)
    done = subprocess.run(
        ["make", "python-version", f"PYTHON={old}"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode != 0
    assert f"Python 3.11 or later is needed, and {old} is 3.10" in done.stderr


def test_make_lists_its_targets():
    """`make help` names the two main commands and says what each does."""
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert re.search(r"make book\s+execute every chapter", shown)
    assert re.search(r"make test\s+run the test suite", shown)
