"""The plain probe of the pixels."""

import pytest

from medssl.errors import DataError
from medssl.experiments import baseline as module
from medssl.experiments import ensure_plain_probe, plain_probe

SMALL = {"components": 10, "n": 120, "size": 16, "difficulty": 0.0}


def test_a_probe_of_pixels_sees_what_is_obvious():
    """On easy radiographs a linear model of the pixels is better than chance, and the same twice."""
    found = plain_probe("phantom_xray", **SMALL)
    assert found["scores"]["auc"] > 0.6
    assert (found["n_train"], found["n_test"]) == (120, 120)
    assert found == plain_probe("phantom_xray", **SMALL)


def test_a_probe_uses_no_more_images_than_allowed():
    """The bound on training images holds."""
    assert plain_probe("phantom_xray", most_images=50, **SMALL)["n_train"] == 50


def test_a_recorded_probe_is_read(tmp_path, monkeypatch):
    """It is computed once and then read; a damaged file is one error that names it."""
    monkeypatch.setattr(module, "plain_probe", lambda name: {"dataset": name, "scores": {"auc": 0.9}})
    first = ensure_plain_probe("phantom_xray", tmp_path)
    monkeypatch.setattr(module, "plain_probe", lambda name: pytest.fail("it was computed again"))
    assert ensure_plain_probe("phantom_xray", tmp_path) == first
    (tmp_path / "phantom_xray.json").write_text('{"dataset"')
    with pytest.raises(DataError, match=r"phantom_xray\.json: not readable as JSON"):
        ensure_plain_probe("phantom_xray", tmp_path)
