"""Promises about wrong input, damaged files and interrupted work, each of which was once broken."""

import sys
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl.cli import main
from medssl.encoders import SmallCNN
from medssl.errors import DataError, MedsslError, RunError, UsageError
from medssl.evaluation import paired_bootstrap
from medssl.experiments import arms, find_records, run_grid, runner
from medssl.experiments.grids import phantom_grid
from medssl.files import read_json
from medssl.training import (
    PretrainConfig,
    Standardisation,
    TransferConfig,
    load_checkpoint,
    load_encoder,
    nested_subset,
    pretrain,
    save_encoder,
    split_budget,
    transfer,
)  # fmt: skip
from medssl.training.checkpoint import save_checkpoint

SHORT = TransferConfig(least_steps=50, most_steps=50, batch_size=8)


def cells_():
    grid = phantom_grid(images=60, epochs=1, label_counts=(8,), seeds=(1,), methods=("simclr",))
    return [
        replace(
            c,
            transfer=replace(c.transfer, least_steps=2, most_steps=2),
            dataset_options=(*c.dataset_options, ("size", 16)),
        )
        for c in grid
    ]


def test_ctrl_c_is_one_line_and_exit_code_1(monkeypatch, capsys):
    """Ctrl c is one line and exit code 1."""

    def stop(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("medssl.experiments.grid", stop)
    monkeypatch.setattr(sys, "argv", ["medssl", "run", "xray"])
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    assert "stopped; finished parts are kept" in capsys.readouterr().err


def test_a_killed_worker_is_one_error(monkeypatch, tmp_path):
    """A killed worker is one error."""

    class Pool:
        def submit(self, *_):
            job = Future()
            job.set_exception(BrokenProcessPool("died"))
            return job

        def shutdown(self, **_):
            pass

    monkeypatch.setattr(runner, "_pool", lambda workers: Pool())
    with pytest.raises(RunError, match="a worker process was killed"):
        run_grid(cells_(), tmp_path, work=tmp_path, workers=2, progress=False)


@pytest.mark.parametrize("share", [0.2, 0.9])
def test_truncated_predictions(share, tmp_path):
    """Truncated predictions."""
    arms._write(tmp_path / "a.npz", np.ones((50, 2)), {})
    content = (tmp_path / "a.npz").read_bytes()
    (tmp_path / "a.npz").write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match="damaged predictions"):
        arms.read_arm(tmp_path / "a.npz")


@pytest.mark.parametrize("content", [b"hello world\n", bytes(range(1, 60))])
@pytest.mark.filterwarnings("ignore")
def test_text_for_a_checkpoint(content, tmp_path):
    """Text for a checkpoint."""
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(DataError, match="not a readable checkpoint"):
        load_checkpoint(tmp_path / "a.pt")


def test_a_checkpoint_that_is_no_dictionary(tmp_path):
    """A checkpoint that is no dictionary."""
    save_checkpoint(tmp_path / "a.pt", [1, 2])
    with pytest.raises(DataError):
        load_encoder(tmp_path / "a.pt", SmallCNN())


def test_a_full_disk_while_saving_a_checkpoint(tmp_path, monkeypatch):
    """A full disk while saving a checkpoint."""

    def full(*_):  # what torch 2.13 really raises on a full tmpfs
        raise RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 146112 vs 146008")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(RunError, match="cannot write the checkpoint"):
        save_checkpoint(tmp_path / "a.pt", {})


def test_every_class_is_present_with_patients():
    """Every class is present with patients."""
    labels, groups = np.repeat([0, 1], 4), np.repeat([0, 1], 4)
    assert set(labels[nested_subset(labels, 4, 0, groups)]) == {0, 1}


def test_a_split_by_patients_leaves_every_class_to_fit():
    """A split by patients leaves every class to fit."""
    labels, groups = np.repeat([0, 1], 30), np.repeat([0, 1], 30)
    fit, _ = split_budget(labels, 0, 0.25, groups)
    assert set(labels[fit]) == {0, 1}


def test_transfer_does_not_go_on_with_another_encoder(tmp_path, blobs_):
    """Transfer does not go on with another encoder."""
    images, labels = blobs_
    torch.manual_seed(0)
    first, second = SmallCNN(), SmallCNN()
    path, std = tmp_path / "run.pt", Standardisation(0.5, 0.3)
    transfer(images, labels, 2, first, "xray", std, SHORT, device="cpu", checkpoint=path)
    with pytest.raises(UsageError):
        transfer(images, labels, 2, second, "xray", std, SHORT, device="cpu", checkpoint=path)


def test_pretraining_does_not_go_on_with_another_modality(tmp_path, blobs_):
    """Pretraining does not go on with another modality."""
    config = PretrainConfig(epochs=1, batch_size=8)
    pretrain(blobs_[0], "xray", config, device="cpu", checkpoint=tmp_path / "a.pt")
    with pytest.raises(UsageError):
        pretrain(blobs_[0], "ct", config, device="cpu", checkpoint=tmp_path / "a.pt")


@pytest.fixture
def blobs_():
    random = np.random.default_rng(0)
    return random.integers(0, 256, (20, 16, 16), dtype=np.uint8), np.arange(20) % 2


def test_binary_json_is_one_error(tmp_path):
    """Binary json is one error."""
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x80")
    with pytest.raises(MedsslError):
        read_json(tmp_path / "a.json")


def test_json_that_is_cut_is_exit_code_2(tmp_path):
    """Json that is cut is exit code 2."""
    from medssl.experiments import load_records

    (tmp_path / "a.json").write_text('{"record_id":')
    with pytest.raises(DataError):
        load_records([tmp_path / "a.json"])


def test_arms_of_other_code_are_trained_anew(tmp_path, monkeypatch):
    """Arms of other code are trained anew."""
    cell = cells_()[0]
    run_grid([cell], tmp_path / "r", work=tmp_path, progress=False)
    find_records(tmp_path / "r")[0].unlink()
    before = arms.arm_path(cell, "ssl", tmp_path)
    monkeypatch.setattr(arms.provenance, "code_sha256", lambda: "other code")
    assert arms.arm_path(cell, "ssl", tmp_path) != before
    monkeypatch.setattr(arms, "pretrain", lambda *a, **o: pytest.fail("trained anew"))
    with pytest.raises(pytest.fail.Exception, match="trained anew"):
        run_grid([cell], tmp_path / "r", work=tmp_path, progress=False)


def test_negative_seed():
    """Negative seed."""
    with pytest.raises(UsageError):
        nested_subset(np.arange(8) % 2, 4, -1)


def test_volumes_are_refused():
    """Volumes are refused."""
    with pytest.raises(UsageError):
        pretrain(np.zeros((4, 8, 16, 16), np.uint8), "mri", PretrainConfig(epochs=1), device="cpu")


def test_unknown_metric():
    """Unknown metric."""
    labels = np.arange(8) % 2
    with pytest.raises(UsageError):
        paired_bootstrap(labels, np.ones((8, 2)) / 2, np.ones((8, 2)) / 2, metric="f1")


@pytest.mark.parametrize(
    "fields", [{"learning_rate": -1.0}, {"batch_size": 0}, {"least_steps": 9, "most_steps": 3}]
)
def test_impossible_transfers(fields):
    """Impossible transfers."""
    with pytest.raises(UsageError):
        TransferConfig(**fields)


def test_diverging_in_the_last_step(blobs_):
    """Diverging in the last step."""
    images, labels = blobs_
    config = TransferConfig(least_steps=1, most_steps=1, learning_rate=1e30, epochs=1)
    with pytest.raises(RunError):
        transfer(images, labels, 2, SmallCNN(), "xray", Standardisation(0.5, 0.3), config, device="cpu")


def test_diverging_in_the_last_epoch(blobs_):
    """Diverging in the last epoch."""
    with pytest.raises(RunError):
        pretrain(blobs_[0], "xray", PretrainConfig(epochs=1, learning_rate=1e30), device="cpu")


@pytest.mark.parametrize("device", ["mps", "meta", "cuda:7"])
def test_devices(device, monkeypatch):
    """Devices."""
    from medssl.training.tensors import pick_device, seed_everything

    with pytest.raises(UsageError):
        seed_everything(0, pick_device(device))


def test_encoder_file_without_standardisation(tmp_path, monkeypatch, capsys):
    """Encoder file without standardisation."""
    save_encoder(tmp_path / "e.pt", SmallCNN(), {})
    monkeypatch.setattr(
        sys, "argv", ["medssl", "transfer", "phantom_xray", "--encoder", str(tmp_path / "e.pt")]
    )
    with pytest.raises(SystemExit):
        main()
