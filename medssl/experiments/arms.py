"""Train one arm of a comparison and keep its test predictions outside the record."""

import hashlib
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
from medssl.experiments import provenance, volumes
from medssl.experiments.cell import Cell, digest
from medssl.experiments.corruptions import predict_corrupted
from medssl.files import atomic_path
from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_encoder, save_encoder
from medssl.training.initialise import imagenet, initialise
from medssl.training.matched import images_seen, matched_schedule
from medssl.training.pretrain import pretrain
from medssl.training.selection import choose_learning_rate
from medssl.training.subsets import nested_subset
from medssl.training.tensors import Standardisation, pick_device, seed_everything, to_tensor
from medssl.training.transfer import TransferConfig, transfer

__all__ = [
    "arm_path",
    "imagenet_sha256",
    "label_rows",
    "load_split",
    "pretraining_path",
    "read_arm",
    "run_arm",
    "run_pretraining",
]

VIEWS = 2  # what a step of pretraining passes through the encoder for each image, taken for all methods


@lru_cache(maxsize=18)
def _load(name: str, split: str, options: tuple) -> ImageDataset:
    return data.load(name, split, **dict(options))


def load_split(cell: Cell, split: str) -> ImageDataset:
    """Return a split of the cell's data set, kept in memory between cells."""
    return _load(cell.dataset, split, cell.dataset_options)


def label_rows(cell: Cell) -> np.ndarray:
    """Return the rows of the training split whose labels the cell may use."""
    train = load_split(cell, "train")
    n = len(train) if cell.n_labelled is None else cell.n_labelled
    seed = cell.seed if cell.subset is None else cell.subset
    if cell.segments:
        return volumes.nested_rows(len(train), n, seed)
    return nested_subset(train.labels, n, seed, train.groups)


def pool_images(cell: Cell) -> ImageDataset:
    """Return the training split whose images pretraining sees; `pool_rows` says which of them."""
    name, options = cell.pool_dataset
    return _load(name, "train", options)


def pool_rows(cell: Cell) -> np.ndarray:
    """Return the rows that pretraining sees: all, or a share drawn by the seed without a look at labels."""
    total = len(pool_images(cell))
    if cell.pool == 1:
        return np.arange(total)
    order = np.random.default_rng([cell.seed, 2]).permutation(total)
    return np.sort(order[: max(round(cell.pool * total), 2)])


def made_from(name: str, options: tuple) -> str:
    """Identify code and images: files of other code or other images are never taken for these."""
    return digest([provenance.code_sha256(), _images_sha256(name, options)])


@lru_cache(maxsize=18)
def _images_sha256(name: str, options: tuple) -> str:
    return provenance.data_sha256(*(_load(name, split, options) for split in SPLITS))


def pretraining_path(cell: Cell, work: Path) -> Path:
    """Return where the cell's encoder stands below `work`."""
    return work / "pretraining" / f"{cell.pretraining_id}-{made_from(*cell.pool_dataset)}.pt"


def arm_path(cell: Cell, arm: str, work: Path) -> Path:
    """Return where the test predictions of one arm stand below `work`."""
    sources = [(cell.dataset, cell.dataset_options)]
    sources += [cell.pool_dataset] if arm == "ssl" and cell.pretrain_on else []
    sources += [(cell.supervised_on, ())] if arm == "comparator" and cell.supervised_on else []
    parts = [made_from(*source) for source in sources]
    parts += [imagenet_sha256(cell.pretrain.encoder)] if _from_imagenet(cell, arm) else []
    return work / "arms" / f"{cell.arm_id(arm)}-{'-'.join(parts)}.npz"


def _from_imagenet(cell: Cell, arm: str) -> bool:
    return arm == "comparator" and cell.comparator == "imagenet"


@lru_cache(maxsize=2)
def imagenet_sha256(encoder_name: str) -> str:
    """Return 12 digits of a hash over the weights from ImageNet that are found here."""
    total = hashlib.sha256()
    for name, value in sorted(imagenet(encoder_name).items()):
        total.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        total.update(value.contiguous().numpy().tobytes())
    return total.hexdigest()[:12]


def run_pretraining(cell: Cell, work: Path, device: str | None = None, progress: bool = False) -> Path:
    """Pretrain the cell's encoder unless it is there, and return its file."""
    final = pretraining_path(cell, work)
    if final.exists():
        return final
    train, running = pool_images(cell), final.with_suffix(".running.pt")
    done = pretrain(
        train.images[pool_rows(cell)], train.modality, cell.pretrain,
        seed=cell.seed, device=device, checkpoint=running, progress=progress, crop=cell.crop,
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
    if cell.segments:
        test = load_split(cell, "test")
        _write(target, *volumes.train_and_score(cell, train, rows, test, encoder, standardisation, device))
        return target
    images, labels = train.images[rows], train.labels[rows]
    common = (images, labels, len(train.classes), encoder, train.modality, standardisation)
    rate, losses = choose_learning_rate(
        *common, cell.transfer, cell.selection, seed=cell.seed, device=device,
        groups=None if train.groups is None else train.groups[rows], validation=_validation(cell),
    )  # fmt: skip
    schedule = replace(_schedule(cell, arm, len(rows)), learning_rate=rate)
    done = transfer(*common, schedule, seed=cell.seed, device=device)
    about = {
        "learning_rate": rate, "held_out_log_loss": losses, "minutes": done.minutes,
        "steps": len(done.history), "final_training_loss": float(np.mean(done.history[-10:])),
        "threads": torch.get_num_threads(),
    }  # fmt: skip
    about |= {"weights_sha256": imagenet_sha256(cell.pretrain.encoder)} if _from_imagenet(cell, arm) else {}
    test = load_split(cell, "test").images
    corrupted = predict_corrupted(done, test, cell.seed) if cell.corruptions else {}
    _write(target, done.predict(test), about, corrupted)
    return target


def _schedule(cell, arm, n):
    """Return the schedule of an arm: the matched comparator trains on for the passes of pretraining."""
    if arm == "ssl" or cell.comparator != "compute_matched":
        return cell.transfer
    return matched_schedule(cell.transfer, n, images_seen(cell.pretrain, len(pool_rows(cell)), VIEWS))


def _validation(cell):
    if cell.selection.validation != "full_validation":
        return None
    validation = load_split(cell, "val")
    return validation.images, validation.labels


def _encoder(cell, arm, work, device):
    """Return the arm's encoder and the standardisation of the data set's own training images."""
    pool, device = load_split(cell, "train").images, pick_device(device)
    standardisation = Standardisation.of(pool)
    if arm == "ssl":
        encoder = encoders.build(cell.pretrain.encoder)
        about = load_encoder(run_pretraining(cell, work, device.type), encoder)
        if cell.pretrain_on is None and cell.pool == 1:
            return encoder.eval(), Standardisation(about["mean"], about["deviation"])
    else:
        encoder = _comparator(cell, work, device)
    encoder = encoder.to(device)
    at_once = volumes.AT_ONCE if cell.segments else 256
    calibrate_normalisation(encoder, to_tensor(pool, device), standardisation, at_once)
    return encoder.cpu(), standardisation


def _comparator(cell, work, device):
    """Return the random weights that pretraining starts from, or what the comparator has in their place."""
    seed_everything(cell.seed, device)
    encoder = encoders.build(cell.pretrain.encoder)
    if cell.comparator == "supervised":
        load_encoder(_supervised(cell, encoder, work, device.type), encoder)
    if cell.comparator == "imagenet":
        initialise(encoder, imagenet(cell.pretrain.encoder), grey="sum")
    return encoder


def _supervised(cell, encoder, work, device):
    """Train `encoder` on every label of the other data set unless that is done, and return its file."""
    name = f"{cell.supervised_on}-{cell.pretrain.encoder}-s{cell.seed:02d}"
    final = work / "supervised" / f"{name}-{made_from(cell.supervised_on, ())}.pt"
    if not final.exists():
        source = _load(cell.supervised_on, "train", ())
        done = transfer(
            source.images, source.labels, len(source.classes), encoder, source.modality,
            Standardisation.of(source.images), TransferConfig(), seed=cell.seed, device=device,
        )  # fmt: skip
        save_encoder(final, done.model[0].cpu(), {"minutes": done.minutes})
    return final


def _write(target, cases, about, corrupted=()):
    with atomic_path(target) as part, open(part, "wb") as stream:
        np.savez(stream, probabilities=cases, about=np.array(json.dumps(about)), **dict(corrupted))


def read_arm(path: Path) -> tuple[np.ndarray, dict, dict]:
    """Return test probabilities [n, classes], the facts of training, and those of corrupted images by name.

    A segmentation has the Dice of each test case and structure in place of probabilities.

    Raises
    ------
    DataError
        The file is damaged; the remedy is to remove it.
    """
    try:
        with open(path, "rb") as stream, np.load(stream, allow_pickle=False) as stored:
            corrupted = {name: stored[name] for name in stored.files if "-" in name}
            return stored["probabilities"], json.loads(str(stored["about"])), corrupted
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: damaged predictions ({error}). Remove the file and run again.") from error
