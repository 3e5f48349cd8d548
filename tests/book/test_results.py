"""Results travel from a notebook to a page in one file, whole and checked."""

import json
import math

import numpy as np
import pytest

from medssl.book import Results, workspace
from medssl.book.results import read_results
from medssl.errors import UsageError


def test_results_hold_value_text_and_cell(tmp_path):
    """The file maps a name to the number, what a page shows, and the label of the cell."""
    results = Results(tmp_path / "results.json")
    results.add("gain", np.float64(0.0123456), cell="xray-pooled")
    results.add("images", np.int64(4708), cell="xray-data")
    results.add("interval", 0.5, text="0.5 (95% CI 0.4 to 0.6)", cell="xray-pooled")
    results.add("slope", None, text="not estimable", cell="xray-pooled")
    results.save()
    saved = read_results(tmp_path / "results.json")
    assert saved["gain"] == {"value": 0.0123456, "text": "0.0123", "source": "xray-pooled"}
    assert saved["images"] == {"value": 4708, "text": "4,708", "source": "xray-data"}
    assert saved["interval"]["text"] == "0.5 (95% CI 0.4 to 0.6)"
    assert saved["slope"] == {"value": None, "text": "not estimable", "source": "xray-pooled"}


@pytest.mark.parametrize("value", [math.nan, math.inf, "0.5", True, [1]])
def test_a_value_that_is_no_finite_number_is_refused(tmp_path, value):
    """Not-a-number never reaches a page as a result."""
    with pytest.raises(UsageError, match=r"'gain'.*not a finite number"):
        Results(tmp_path / "results.json").add("gain", value, cell="xray-pooled")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": "Gain", "value": 1, "cell": "a"}, "lower-case"),
        ({"key": "gain", "value": 1, "cell": "(a)="}, "not a MyST label"),
        ({"key": "gain", "value": None, "cell": "a"}, "text is empty"),
        ({"key": "gain", "value": 1, "cell": "a", "text": " "}, "text is empty"),
    ],
)
def test_a_malformed_result_is_refused(tmp_path, arguments, message):
    """A bad name, a bad label or an empty text is an error that names the result."""
    with pytest.raises(UsageError, match=message):
        Results(tmp_path / "results.json").add(**arguments)


def test_a_name_is_used_once(tmp_path):
    """Two values under one name would leave open which one a page shows."""
    results = Results(tmp_path / "results.json")
    results.add("gain", 1, cell="a")
    with pytest.raises(UsageError, match="added twice"):
        results.add("gain", 2, cell="a")


def test_by_hand_everything_goes_below_the_build_folder(tmp_path, monkeypatch):
    """In a notebook opened by hand the workspace is `_build/manual` of the repository around it."""
    monkeypatch.delenv("MEDSSL_BOOK_ROOT", raising=False)
    monkeypatch.delenv("MEDSSL_BOOK_FOLDER", raising=False)
    (tmp_path / "_toc.yml").touch()
    (tmp_path / "chapters" / "xray").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "chapters" / "xray")
    place = workspace()
    assert place.figures == tmp_path / "_build" / "manual" / "figures"
    assert place.figures.is_dir()
    assert place.records == tmp_path / "records"
    assert (place.profile, place.chapter) == ("quick", "manual")


def test_the_build_names_the_workspace_through_the_environment(tmp_path, monkeypatch):
    """`medssl book` decides where a chapter writes; Results follow it."""
    monkeypatch.setenv("MEDSSL_BOOK_ROOT", str(tmp_path))
    monkeypatch.setenv("MEDSSL_BOOK_FOLDER", str(tmp_path / "work"))
    monkeypatch.setenv("MEDSSL_BOOK_PROFILE", "full")
    results = Results()
    results.add("gain", 1, cell="a")
    results.save()
    assert json.loads((tmp_path / "work" / "results.json").read_text())["gain"]["value"] == 1
    assert workspace().profile == "full"
