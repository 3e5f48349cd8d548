"""`medssl transfer` takes a number or a fraction of labels, and every adaptation."""

import re
import sys

import numpy as np
import pytest

from medssl.cli import main
from medssl.training.transfer import ADAPTATIONS


@pytest.fixture
def command(monkeypatch, capsys, tmp_path, blobs):
    """Return a function that transfers on 24 easy images and returns exit code, stdout and stderr."""
    arrays = {"modality": np.array("xray"), "classes": np.array(["dark", "bright"])}
    for seed, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = blobs(24, seed=seed)
    np.savez(tmp_path / "images.npz", **arrays)

    def run(*words):
        words = ["medssl", "transfer", f"folder:{tmp_path / 'images.npz'}", *words]
        monkeypatch.setattr(sys, "argv", words)
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.mark.parametrize(("given", "count"), [("6", 6), ("0.25", 6), ("1.0", 24), ("1e-0", 24)])
def test_a_number_or_a_fraction(given, count, command):
    """An integer is a number of labels, and what has a point or an exponent is a fraction of all."""
    code, text, _ = command("--labels", given, "--adaptation", "nearest_neighbours")
    assert code == 0
    assert f"{count} labels, 24 test images" in text


@pytest.mark.parametrize("adaptation", [name for name in ADAPTATIONS if name != "fine_tune"])
def test_every_adaptation_has_its_run(adaptation, command):
    """The help's words are accepted, and an easy task is scored well above chance."""
    code, text, _ = command("--adaptation", adaptation)
    assert code == 0
    assert float(re.search(r"auc (\d\.\d{3})", text)[1]) > 0.8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("some", "--labels some: write a number, as 50, or a fraction, as 0.1."),
        ("2.5", "a fraction of the labels must lie above 0 and up to 1, got 2.5"),
        ("0.001", "n labels must lie in 2..24 for this training set, got 1"),
    ],
)
def test_what_is_no_budget_is_one_line_and_exit_code_2(given, message, command):
    """Words, impossible fractions and fractions of less than a label a class say what is wrong."""
    code, _, text = command("--labels", given)
    assert code == 2
    assert message in " ".join(text.split())
