"""Hashes of code and data, versions, commit and device."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import medssl
from medssl.experiments import arms, provenance

PACKAGE = Path(medssl.__file__).parent


@pytest.fixture
def copied(tmp_path, monkeypatch):
    """A copy of the package whose files a test may change, and a function that hashes it anew."""
    shutil.copytree(
        PACKAGE, tmp_path / "medssl", ignore=shutil.ignore_patterns("__pycache__", "book", "data")
    )
    monkeypatch.setattr(medssl, "__file__", str(tmp_path / "medssl" / "__init__.py"))
    return tmp_path / "medssl", provenance.code_sha256.__wrapped__


@pytest.mark.parametrize(
    "name",
    [
        "augmentation/xray.py", "encoders/small_cnn.py", "ssl/simclr.py", "training/transfer.py",
        "evaluation/bootstrap.py", "experiments/arms.py", "experiments/cell.py",
    ],
)  # fmt: skip
def test_code_that_decides_a_result_changes_the_hash(name, copied):
    """One added comment in any part is another hash; without it the hash is back."""
    root, code = copied
    before, text = code(), (root / name).read_text()
    assert before == provenance.code_sha256.__wrapped__()
    (root / name).write_text(text + "# one more\n")
    assert code() != before
    (root / name).write_text(text)
    assert code() == before


def test_a_new_or_renamed_file_changes_the_hash(copied):
    """The names of the files are hashed with their content."""
    root, code = copied
    before = code()
    (root / "ssl" / "byol.py").write_text("")
    added = code()
    (root / "ssl" / "byol.py").rename(root / "ssl" / "dino.py")
    assert len({before, added, code()}) == 3


@pytest.mark.parametrize("name", ["figures/bubble.py", "cli.py", "experiments/grids.py", "meta/_tau2.py"])
def test_code_that_only_shows_results_does_not(name, copied):
    """Figures, statistics of records and the command line may improve without making records old."""
    root, code = copied
    before = code()
    (root / name).write_text("# rewritten\n")
    assert code() == before


def test_data_hash_sees_every_value(finished):
    """A pixel, a label, the order of images and the order of splits are all part of it."""
    from dataclasses import replace

    train, test = (arms.load_split(finished.cells[0], split) for split in ("train", "test"))
    pixels = train.images.copy()
    pixels[3, 2, 1] ^= 1
    hashes = [
        provenance.data_sha256(train, test),
        provenance.data_sha256(test, train),
        provenance.data_sha256(replace(train, images=pixels), test),
        provenance.data_sha256(replace(train, labels=np.roll(train.labels, 1)), test),
        provenance.data_sha256(replace(train, images=train.images[::-1], labels=train.labels[::-1]), test),
    ]
    assert len(set(hashes)) == 5
    assert provenance.data_sha256(replace(train, images=train.images.copy()), test) == hashes[0]


def test_device_and_versions_are_those_in_use():
    """The processor has a name, and the versions are those that are imported."""
    facts = provenance.device_facts(torch.device("cpu"))
    assert facts["kind"] == "cpu"
    assert facts["name"]
    assert facts["cores"] >= 1
    assert provenance.versions()["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert provenance.versions()["numpy"] == np.__version__


def test_outside_a_checkout_the_commit_is_unknown(copied):
    """A package that was installed without its history says so."""
    assert provenance.commit.__wrapped__() == "unknown"
