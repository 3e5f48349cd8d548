"""Small files in the layout of the real sources, and the real files where they are at hand."""

import hashlib
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from medssl.data import _store
from medssl.data.card import refresh

REAL = ("pneumoniamnist", "organamnist", "breastmnist", "brain_tumour_64", "brain_tumour_128", "hippocampus")
COUNTS = {"train": 24, "val": 6, "test": 9}
_BESIDE = Path(__file__).parents[3] / "shared" / "data"


@dataclass(frozen=True)
class Sources:
    """A data folder in use: the real files, or small copies of their layout."""

    folder: Path
    real: bool


def _labels(card: dict, images: np.ndarray) -> np.ndarray:
    if card["task"] == "segmentation":
        return (images // 100).astype(np.uint8)
    return (np.arange(len(images)) % len(card["classes"])).astype(np.uint8)[:, None]


def _extra(name: str, card: dict, labels: np.ndarray, start: int) -> dict:
    numbers = start + np.argsort(np.argsort(labels.ravel(), kind="stable")) if labels.ndim == 2 else None
    if name.startswith("brain"):
        return {"files": np.array([f"archive/{number}.jpg" for number in numbers])}
    if name == "hippocampus":
        return {"ids": np.array([f"hippocampus_{start + index:03d}" for index in range(len(labels))])}
    return {}


def copy_arrays(name: str, card: dict) -> dict:
    """Return random arrays in the layout of one source."""
    generator = np.random.default_rng(len(name))
    arrays, start = {}, 1
    for split, count in COUNTS.items():
        shape = (count, *card["file"]["image_shape"])
        images = generator.integers(0, 256, shape, dtype=np.uint8)
        labels = _labels(card, images)
        arrays |= {f"{split}_images": images, f"{split}_labels": labels}
        arrays |= {f"{split}_{key}": value for key, value in _extra(name, card, labels, start).items()}
        start += count
    return arrays


def write_copy(folder: Path, cards: Path, name: str, changes: dict | None = None, **facts) -> Path:
    """Write the npz of one source below `folder` and a card that names it below `cards`.

    `changes` replaces arrays (None removes one), `facts` replaces what the card says of the file.
    """
    card = json.loads((Path(_store.__file__).parent / "cards" / f"{name}.json").read_text())
    arrays = copy_arrays(name, card) | (changes or {})
    file = folder / card["file"]["path"]
    file.parent.mkdir(parents=True, exist_ok=True)
    np.savez(file, **{key: value for key, value in arrays.items() if value is not None})
    content = file.read_bytes()
    card["file"] |= {"bytes": len(content), "md5": hashlib.md5(content).hexdigest(), **facts}
    cards.mkdir(parents=True, exist_ok=True)
    (cards / f"{name}.json").write_text(json.dumps(card))
    return file


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    """No test reads the user's settings or writes into the user's cache."""
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def cards(tmp_path, monkeypatch) -> Path:
    """A folder of cards that replaces those of the package."""
    monkeypatch.setattr(_store, "CARDS", tmp_path / "cards")
    return tmp_path / "cards"


@pytest.fixture
def make_copy(cards):
    """Return `write_copy` with the folder of cards filled in."""
    return lambda folder, name, changes=None, **facts: write_copy(folder, cards, name, changes, **facts)


@pytest.fixture
def copies(tmp_path, make_copy, monkeypatch) -> Sources:
    """Small copies of every real source, found through MEDSSL_DATA, with cards of their own."""
    for name in REAL:
        make_copy(tmp_path / "data", name)
    for card in (Path(_store.__file__).parent / "cards").glob("phantom_*.json"):
        shutil.copy(card, tmp_path / "cards")
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path / "data"))
    return Sources(tmp_path / "data", real=False)


@pytest.fixture
def sources(request, monkeypatch) -> Sources:
    """The real files where MEDSSL_DATA names them or they lie beside the checkout, else `copies`."""
    for folder in (_GIVEN, _BESIDE):
        if folder is not None and (folder / "medmnist" / "breastmnist.npz").is_file():
            monkeypatch.setenv("MEDSSL_DATA", str(folder))
            return Sources(folder, real=True)
    small = request.getfixturevalue("copies")
    for name in REAL:
        refresh(name)
    return small


_GIVEN = Path(os.environ["MEDSSL_DATA"]) if os.environ.get("MEDSSL_DATA") else None
