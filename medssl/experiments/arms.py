"""Train one arm of a comparison and keep its test predictions outside the record."""

import json
import zipfile
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch

from medssl import data, encoders
from medssl.data._dataset import SPLITS, ImageDataset
from medssl.errors import DataError
from medssl.experiments import provenance
from medssl.experiments.cell import Cell, digest
from medssl.files import atomic_path
from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_encoder, save_encoder
from medssl.training.pretrain import pretrain
from medssl.training.selection import choose_learning_rate
from medssl.training.subsets import nested_subset
from medssl.training.tensors import Standardisation, pick_device, seed_everything, to_tensor
from medssl.training.transfer import transfer

__all__ = [
    "arm_path",
    "label_rows",
    "load_split",
    "pretraining_path",
    "read_arm",
    "run_arm",
    "run_pretraining",
]


@lru_cache(maxsize=6)
def _load(name: str, split: str, options: tuple) -> ImageDataset:
    return data.load(name, split, **dict(options))


def load_split(cell: Cell, split: str) -> ImageDataset:
    """Return a split of the cell's data set, kept in memory between cells."""
    return _load(cell.dataset, split, cell.dataset_options)


def label_rows(cell: Cell) -> np.ndarray:
    """Return the rows of the training split whose labels the cell may use."""
    train = load_split(cell, "train")
    n = len(train) if cell.n_labelled is None else cell.n_labelled
    return nested_subset(train.labels, n, cell.seed, train.groups)


def made_from(cell: Cell) -> str:
    """Identify code and images: files of other code or other images are never taken for these."""
    return digest([provenance.code_sha256(), _images_sha256(cell.dataset, cell.dataset_options)])


@lru_cache(maxsize=6)
def _images_sha256(name: str, options: tuple) -> str:
    return provenance.data_sha256(*(_load(name, split, options) for split in SPLITS))


def pretraining_path(cell: Cell, work: Path) -> Path:
    """Return where the cell's encoder stands below `work`."""
    return work / "pretraining" / f"{cell.pretraining_id}-{made_from(cell)}.pt"


def arm_path(cell: Cell, arm: str, work: Path) -> Path:
    """Return where the test predictions of one arm stand below `work`."""
    return work / "arms" / f"{cell.arm_id(arm)}-{made_from(cell)}.npz"


def run_pretraining(cell: Cell, work: Path, device: str | None = None, progress: bool = False) -> Path:
    """Pretrain the cell's encoder unless it is there, and return its file."""
    final = pretraining_path(cell, work)
    if final.exists():
        return final
    train, running = load_split(cell, "train"), final.with_suffix(".running.pt")
    done = pretrain(
        train.images, train.modality, cell.pretrain,
        seed=cell.seed, device=device, checkpoint=running, progress=progress,
    )  # fmt: skip
    about = {
        "encoder": cell.pretrain.encoder, "modality": train.modality, "minutes": done.minutes,
        "mean": done.standardisation.mean, "deviation": done.standardisation.deviation,
        "history": done.history,
    }  # fmt: skip
    save_encoder(final, done.encoder, about)
    running.unlink(missing_ok=True)
    return final


def run_arm(cell: Cell, arm: str, work: Path, device: str | None = None) -> Path:
    """Train one arm unless it is there, score the test images once, and return the file of predictions."""
    target = arm_path(cell, arm, work)
    if target.exists():
        return target
    train, rows = load_split(cell, "train"), label_rows(cell)
    encoder, standardisation = _encoder(cell, arm, work, device)
    images, labels = train.images[rows], train.labels[rows]
    common = (images, labels, len(train.classes), encoder, train.modality, standardisation)
    rate, losses = choose_learning_rate(
        *common, cell.transfer, cell.selection, seed=cell.seed, device=device,
        groups=None if train.groups is None else train.groups[rows], validation=_validation(cell),
    )  # fmt: skip
    done = transfer(*common, replace(cell.transfer, learning_rate=rate), seed=cell.seed, device=device)
    about = {
        "learning_rate": rate, "held_out_log_loss": losses, "minutes": done.minutes,
        "steps": len(done.history), "final_training_loss": float(np.mean(done.history[-10:])),
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    _write(target, done.predict(load_split(cell, "test").images), about)
    return target


def _validation(cell):
    if cell.selection.validation != "full_validation":
        return None
    validation = load_split(cell, "val")
    return validation.images, validation.labels


def _encoder(cell, arm, work, device):
    """Return the arm's encoder; the random one starts from the weights that pretraining starts from."""
    if arm == "ssl":
        encoder = encoders.build(cell.pretrain.encoder)
        about = load_encoder(run_pretraining(cell, work, device), encoder)
        return encoder.eval(), Standardisation(about["mean"], about["deviation"])
    pool, device = load_split(cell, "train").images, pick_device(device)
    seed_everything(cell.seed, device)
    encoder = encoders.build(cell.pretrain.encoder).to(device)
    standardisation = Standardisation.of(pool)
    calibrate_normalisation(encoder, to_tensor(pool, device), standardisation)
    return encoder.cpu(), standardisation


def _write(target, probabilities, about):
    with atomic_path(target) as part, open(part, "wb") as stream:
        np.savez(stream, probabilities=probabilities, about=np.array(json.dumps(about)))


def read_arm(path: Path) -> tuple[np.ndarray, dict]:
    """Return test probabilities [n, classes] and the facts of training.

    Raises
    ------
    DataError
        The file is damaged; the remedy is to remove it.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return stored["probabilities"], json.loads(str(stored["about"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged predictions ({error}). Remove the file and run again.") from error
