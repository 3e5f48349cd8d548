"""Run a recorded cell again and compare: a record that cannot be repeated is only a claim."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from medssl.errors import DataError
from medssl.experiments import provenance
from medssl.experiments.arms import imagenet_sha256, load_split
from medssl.experiments.cell import from_dict
from medssl.experiments.records import Record, load_records
from medssl.experiments.runner import run_grid
from medssl.training.tensors import pick_device

__all__ = ["BAND", "Verification", "verify"]

BAND = 0.05  # other processors, versions or thread counts round otherwise, and training amplifies it


@dataclass(frozen=True)
class Verification:
    """A record beside its repetition.

    `same` is true where code, versions, device and threads are those of the record: then every score must be
    equal to the last recorded digit; elsewhere scores may differ by `BAND`.
    `table` has a row for each score: arm, score, recorded, repeated.
    """

    record_id: str
    same: bool
    differences: tuple[str, ...]
    table: pd.DataFrame

    @property
    def largest(self) -> float:
        """Largest absolute difference of a score."""
        return float((self.table["recorded"] - self.table["repeated"]).abs().max())

    @property
    def holds(self) -> bool:
        """Whether the repetition is equal, or within the band where it need not be equal."""
        return self.largest == 0 if self.same else self.largest <= BAND


def verify(path: str | Path, *, device: str | None = None, progress: bool = False) -> Verification:
    """Repeat the cell of the record at `path` from nothing, in a temporary folder.

    Parameters
    ----------
    path : path
        A record that `run_grid` wrote.
    device : str, optional
    progress : bool

    Returns
    -------
    Verification

    Raises
    ------
    DataError
        The file is no record, or the images or the weights from ImageNet here are not those of the record.
    """
    (record,) = load_records([path])
    cell = from_dict(record.cell)
    found = provenance.data_sha256(*(load_split(cell, split) for split in ("train", "val", "test")))
    if found != record.data_sha256:
        raise DataError(
            f"{path}: data_sha256: the images of {cell.dataset} here are not those of the record. "
            "Fetch the published files with medssl data."
        )
    _check_weights(path, record, cell)
    with tempfile.TemporaryDirectory() as folder:
        (again,) = run_grid(
            [cell], Path(folder) / "records", work=Path(folder) / "work", device=device, progress=progress
        )
    differences = _differences(record, again, device)
    return Verification(record.record_id, not differences, differences, _table(record, again))


def _check_weights(path, record: Record, cell) -> None:
    known = record.comparator.weights_sha256
    if known is not None and known != imagenet_sha256(cell.pretrain.encoder):
        raise DataError(
            f"{path}: comparator.weights_sha256: the weights from ImageNet here are not those of the record. "
            "Put the same file in the folder where torch keeps downloads."
        )


def _differences(record: Record, again: Record, device) -> tuple[str, ...]:
    """Name what is not as it was: equality is only promised where nothing is named."""
    here = provenance.device_facts(pick_device(device))
    named = [] if record.code_sha256 == again.code_sha256 else ["the code of medssl"]
    named += [
        f"{library} {record.versions.get(library, 'unknown')} is now {version}"
        for library, version in again.versions.items()
        if record.versions.get(library) != version
    ]
    if (record.device.get("kind"), record.device.get("name")) != (here["kind"], here["name"]):
        named.append(f"{record.device.get('name')} is now {here['name']}")
    if record.ssl.threads != again.ssl.threads:
        named.append(f"{record.ssl.threads} threads are now {again.ssl.threads}")
    return tuple(named)


def _table(record: Record, again: Record) -> pd.DataFrame:
    rows = [
        (arm, score, value, getattr(again, arm).scores[score])
        for arm in ("ssl", "comparator")
        for score, value in getattr(record, arm).scores.items()
    ]
    return pd.DataFrame(rows, columns=["arm", "score", "recorded", "repeated"])
