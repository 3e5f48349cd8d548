"""Errors with exit codes, and files that appear whole or not at all."""

import errno
import hashlib
import os
import stat

import pytest

from medssl.errors import DataError, MedsslError, RunError, UsageError
from medssl.files import atomic_path, read_json, sha256_of, write_json, write_text


class Killed(BaseException):
    """Stands for a run that ends from outside."""


def names(folder):
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def test_errors_have_the_documented_exit_codes():
    """Wrong usage and bad data are 2, a failed run is 1, and all can be caught as one."""
    assert (UsageError.exit_code, DataError.exit_code, RunError.exit_code) == (2, 2, 1)
    assert all(issubclass(error, MedsslError) for error in (UsageError, DataError, RunError))
    assert issubclass(UsageError, ValueError)
    assert issubclass(RunError, RuntimeError)


def test_a_file_replaces_the_old_one_whole(tmp_path):
    """Until the block ends a reader sees the old content, afterwards the new one, and never another file."""
    target = write_text(tmp_path / "a.txt", "a long old content")
    with atomic_path(target) as part:
        part.write_text("new")
        assert target.read_text() == "a long old content"
        assert part.parent == tmp_path
    assert target.read_text() == "new"
    assert names(tmp_path) == ["a.txt"]


def write_half(target, error):
    """Begin to replace a file and fail in the middle."""
    with atomic_path(target) as part:
        part.write_text("half")
        raise error


@pytest.mark.parametrize("error", [ValueError("a mistake"), Killed(), KeyboardInterrupt()])
def test_an_error_leaves_nothing_behind(error, tmp_path):
    """When the block raises, the old file is as it was, the part is gone, and the error is passed on."""
    target = write_text(tmp_path / "a.txt", "old")
    with pytest.raises(type(error)):
        write_half(target, error)
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_a_full_disk_is_a_failed_run_that_leaves_nothing(tmp_path, monkeypatch):
    """Without space the error names the file and the remedy, whether writing or replacing found it."""
    target, full = write_text(tmp_path / "a.txt", "old"), OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    message = r"a\.txt: cannot write here \(No space left on device\).*Free some space"
    with pytest.raises(RunError, match=message):
        write_half(target, full)

    def fail(*_):
        raise full

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", fail)
        with pytest.raises(RunError, match=message):
            write_text(target, "new")
    assert target.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_folders_are_made_and_a_file_in_their_place_is_named(tmp_path):
    """Missing folders appear; a path below a file is an error with a remedy."""
    assert write_text(tmp_path / "new" / "deep" / "a.txt", "x").read_text() == "x"
    with pytest.raises(
        RunError, match=r"a\.txt/b\.txt: cannot write here .*name a folder that you may write to"
    ):
        write_text(tmp_path / "new" / "deep" / "a.txt" / "b.txt", "y")


@pytest.mark.parametrize(("mask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_the_mode_of_a_file_is_that_of_the_user(mask, mode, tmp_path):
    """Files can be read by whom the umask allows, as if they had been written in place."""
    before = os.umask(mask)
    try:
        path = write_text(tmp_path / "a.txt", "x")
        assert os.umask(mask) == mask  # reading it did not change it
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == mode


def test_json_comes_back_in_its_order(tmp_path):
    """Keys keep their order, numbers their digits, letters their accents."""
    value = {"b": [1, 0.1, None], "a": {"name": "Dollár"}}
    path = write_json(tmp_path / "a.json", value)
    assert read_json(path) == value
    assert list(read_json(path)) == ["b", "a"]
    assert path.read_text(encoding="utf-8").endswith("}\n")


@pytest.mark.parametrize("number", [float("nan"), float("inf"), -float("inf")])
def test_numbers_that_json_lacks_are_refused(number, tmp_path):
    """NaN and infinity never reach a file, and the old file stays."""
    path = write_json(tmp_path / "a.json", {"score": 1.0})
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(path, {"score": number})
    assert read_json(path) == {"score": 1.0}
    assert names(tmp_path) == ["a.json"]


@pytest.mark.parametrize("content", ["", '{"score": ', "score: 1", '{"a": 1} {"b": 2}'])
def test_damaged_json_is_one_error_that_names_the_file(content, tmp_path):
    """The remedy is in the text."""
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(MedsslError, match=r"a\.json: not readable as JSON .*Remove it and run again"):
        read_json(tmp_path / "a.json")


def test_missing_json_is_one_error_that_names_the_file(tmp_path):
    """A file that is not there is named."""
    with pytest.raises(MedsslError, match=r"absent\.json: not readable as JSON"):
        read_json(tmp_path / "absent.json")


def test_a_hash_is_that_of_the_content(tmp_path):
    """64 hexadecimal digits of SHA-256, for empty and larger files."""
    for content in (b"", b"abc", bytes(range(256)) * 5000):
        (tmp_path / "a").write_bytes(content)
        assert sha256_of(tmp_path / "a") == hashlib.sha256(content).hexdigest()
