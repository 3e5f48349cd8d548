"""Records: one small text file a cell, with everything needed to trust and repeat it."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from medssl.errors import DataError
from medssl.evaluation import METRICS, paired_bootstrap, scores, secondary_scores
from medssl.evaluation.segmentation import paired_dice_gain
from medssl.experiments import provenance, volumes
from medssl.experiments.arms import label_rows, load_split, pool_rows, read_arm
from medssl.experiments.cell import Cell, digest
from medssl.experiments.corruptions import corrupted_rows
from medssl.files import read_json, write_json
from medssl.training.checkpoint import load_checkpoint
from medssl.training.segmentation import SegmentationConfig
from medssl.training.tensors import pick_device

__all__ = ["Record", "find_records", "load_records", "record_path", "to_table", "write_record"]

REPEATS, REPEATS_OF_MANY, REPEATS_OF_CORRUPTED = 2000, 400, 200  # of the bootstrap over test cases
MANY_CASES = 5000


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Arm(_Strict):
    """One arm: its chosen learning rate, how it was chosen, its test scores."""

    learning_rate: float = Field(gt=0)
    held_out_log_loss: dict[str, float]
    minutes: float = Field(ge=0)
    steps: int = Field(gt=0)
    final_training_loss: float
    threads: int = Field(gt=0)
    scores: dict[str, float]
    weights_sha256: str | None = None  # of an arm that began with weights from ImageNet


class Gain(_Strict):
    """A paired gain with the bootstrap over test cases."""

    value: float = Field(ge=-1, le=1)
    standard_error: float = Field(ge=0)
    ci_low: float
    ci_high: float
    repeats: int = Field(gt=1)


class Corrupted(_Strict):
    """AUC of both arms on corrupted test images, and the paired gain's error over test cases."""

    ssl: float
    comparator: float
    standard_error: float = Field(ge=0)


class Record(_Strict):
    """The whole record, as it stands in the file."""

    record_id: str
    schema_version: int = 1
    finished: str
    cell: dict[str, Any]
    modality: str
    n_labelled: int = Field(gt=0)
    n_unlabelled: int = Field(gt=0)
    n_test: int = Field(gt=1)
    class_counts: list[int]
    subset_sha256: str
    ssl: Arm
    comparator: Arm
    gain: dict[str, Gain]
    pretraining: dict[str, Any]
    code_sha256: str
    data_sha256: str
    commit: str
    versions: dict[str, str]
    device: dict[str, Any]
    corrupted: dict[str, Corrupted] = {}


def record_path(cell: Cell, folder: str | Path) -> Path:
    """Return where the record of `cell` stands below `folder`, whether or not it is there."""
    return Path(folder) / cell.dataset / f"{cell.record_id}.json"


def write_record(cell: Cell, ssl: Path, comparator: Path, encoder: Path, folder: Path, device=None) -> Path:
    """Score both arms' predictions on the same test cases and write the record atomically."""
    train, test, rows = load_split(cell, "train"), load_split(cell, "test"), label_rows(cell)
    arms = {"ssl": read_arm(ssl), "comparator": read_arm(comparator)}
    pair = (arms["ssl"][0], arms["comparator"][0])
    record = Record(
        record_id=cell.record_id,
        finished=datetime.now(UTC).isoformat(timespec="seconds"),
        cell=cell.to_dict(),
        modality=train.modality,
        n_labelled=len(rows),
        n_unlabelled=len(pool_rows(cell)),
        n_test=len(test),
        class_counts=_class_counts(cell, train, rows),
        subset_sha256=digest(rows.tolist()),
        **{name: _arm(test.labels, cases, about) for name, (cases, about, _) in arms.items()},
        gain=_gains(cell, test, pair),
        pretraining=_pretraining(encoder),
        code_sha256=provenance.code_sha256(),
        data_sha256=provenance.data_sha256(train, load_split(cell, "val"), test),
        commit=provenance.commit(),
        versions=provenance.versions(),
        device=provenance.device_facts(pick_device(device)),
        corrupted=_corrupted(test, arms["ssl"][2], arms["comparator"][2], cell.seed),
    )
    return write_json(record_path(cell, folder), _written(record))


def _written(record: Record) -> dict:
    """Return the record as it stands in the file: without what most records have not."""
    found = _rounded(record.model_dump())
    if not record.corrupted:
        del found["corrupted"]
    for arm in (found["ssl"], found["comparator"]):
        if arm["weights_sha256"] is None:
            del arm["weights_sha256"]
    return found


def _class_counts(cell, train, rows):
    """Count the labelled images of each class; of volumes, those in which it occurs."""
    if cell.segments:
        return volumes.volumes_with(train.labels[rows], len(train.classes))
    return np.bincount(train.labels[rows], minlength=len(train.classes)).tolist()


def _arm(labels, cases, about):
    """Return an arm with its scores; a segmentation was scored when its masks were at hand."""
    found = about if "scores" in about else about | {"scores": _scores(labels, cases)}
    return Arm(**found)


def _scores(labels, probabilities):
    return scores(labels, probabilities) | secondary_scores(labels, probabilities)


def _gains(cell, test, pair):
    if cell.segments:
        return {"dice": Gain(**vars(paired_dice_gain(*pair, seed=cell.seed, groups=test.groups)))}
    return {name: _gain(test, pair, name, cell.seed) for name in METRICS}


def _gain(test, pair, metric, seed):
    repeats = REPEATS if len(test) <= MANY_CASES else REPEATS_OF_MANY
    gain = paired_bootstrap(test.labels, *pair, metric=metric, repeats=repeats, seed=seed, groups=test.groups)
    return Gain(**vars(gain))


def _corrupted(test, ssl, comparator, seed):
    rows = corrupted_rows(len(test))
    labels, groups = test.labels[rows], None if test.groups is None else test.groups[rows]
    return {name: _compare(labels, ssl[name], comparator[name], groups, seed) for name in ssl}


def _compare(labels, ssl, comparator, groups, seed):
    gain = paired_bootstrap(
        labels, ssl, comparator, metric="auc", repeats=REPEATS_OF_CORRUPTED, seed=seed, groups=groups
    )
    values = (float(METRICS["auc"](labels, arm)[0]) for arm in (ssl, comparator))
    return Corrupted(
        **dict(zip(("ssl", "comparator"), values, strict=True)), standard_error=gain.standard_error
    )


def _pretraining(encoder: Path) -> dict:
    about = load_checkpoint(encoder)["about"]
    history = about["history"]
    return {
        "minutes": about["minutes"],
        "first_loss": history[0]["loss"],
        "last_loss": history[-1]["loss"],
        "feature_deviation": history[-1]["feature_deviation"],
        "loss_by_epoch": [epoch["loss"] for epoch in history],
    }


def _rounded(value):
    """Keep 8 significant digits: enough for every figure, and compact."""
    if isinstance(value, float):
        return float(f"{value:.8g}")
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    return [_rounded(item) for item in value] if isinstance(value, list | tuple) else value


def find_records(folder: str | Path, dataset: str | None = None) -> list[Path]:
    """Return the record files below `folder`, sorted by name."""
    return sorted(Path(folder).glob(f"{dataset or '*'}/*.json"))


def load_records(paths) -> list[Record]:
    """Read and check records.

    Raises
    ------
    DataError
        A file breaks the schema or its name does not fit its content; the text names file and field.
    """
    return [_load(Path(path)) for path in paths]


def _load(path: Path) -> Record:
    try:
        record = Record(**read_json(path))
    except (ValidationError, TypeError) as error:
        first = (
            error.errors()[0] if isinstance(error, ValidationError) else {"loc": ("file",), "msg": str(error)}
        )
        field = ".".join(map(str, first["loc"]))
        raise DataError(
            f"{path}: field {field}: {first['msg']}. Remove the file and run the grid again."
        ) from error
    if record.record_id != path.stem:
        raise DataError(f"{path}: holds record {record.record_id}. Give the file its own name back.")
    return record


def to_table(records: list[Record], metric: str = "auc") -> pd.DataFrame:
    """Return one row a record: design, scores of both arms, gain and its error over test cases.

    Parameters
    ----------
    records : list of Record
        Those of another task than `metric` is a score of are passed over.
    metric : str
        A key of `medssl.evaluation.METRICS`, or "dice".
    """
    rows = [
        {
            "record_id": r.record_id, "dataset": r.cell["dataset"], "modality": r.modality,
            "method": r.cell["pretrain"]["method"],
            "adaptation": r.cell["transfer"].get("adaptation", SegmentationConfig.adaptation),
            "selection": r.cell["selection"]["validation"], "seed": r.cell["seed"],
            "comparator_kind": r.cell.get("comparator", "random"), "pool": r.cell.get("pool", 1.0),
            "pretrain_on": r.cell.get("pretrain_on"), "subset": r.cell.get("subset"),
            "corrupted": bool(r.corrupted), "device": r.device["name"],
            "n_labelled": r.n_labelled, "n_unlabelled": r.n_unlabelled, "n_test": r.n_test,
            "ssl": r.ssl.scores[metric], "comparator": r.comparator.scores[metric],
            "gain": r.gain[metric].value, "standard_error": r.gain[metric].standard_error,
            "ci_low": r.gain[metric].ci_low, "ci_high": r.gain[metric].ci_high,
            "minutes": r.ssl.minutes + r.comparator.minutes, "pretraining_minutes": r.pretraining["minutes"],
        }
        for r in records if metric in r.gain
    ]  # fmt: skip
    return pd.DataFrame(rows)
