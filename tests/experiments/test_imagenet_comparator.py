"""The comparator that begins with weights from ImageNet, which the user provides."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from medssl import encoders
from medssl.errors import DataError, UsageError
from medssl.experiments import arms, run_grid
from medssl.experiments.cell import WITH_IMAGENET, from_dict
from medssl.experiments.verify import verify

NAME = "resnet18_large_stem"


def provide(folder, seed):
    """Write weights as torchvision names them, of a network drawn by `seed`, where torch keeps downloads."""
    torch.manual_seed(seed)
    own = encoders.build(NAME).state_dict()
    state = {
        key.removeprefix("network."): value for key, value in own.items() if "downsample.0.bias" not in key
    }
    state["conv1.weight"] = state["conv1.weight"].repeat(1, 3, 1, 1) / 3  # three equal channels
    state |= {"fc.weight": torch.zeros(1000, 512), "fc.bias": torch.zeros(1000)}
    (folder / "hub" / "checkpoints").mkdir(parents=True, exist_ok=True)
    torch.save(state, folder / "hub" / "checkpoints" / "resnet18-01234567.pth")
    arms.imagenet_sha256.cache_clear()
    return own


@pytest.fixture
def home(tmp_path, monkeypatch):
    """The folder of torch, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    arms.imagenet_sha256.cache_clear()
    yield tmp_path / "torch"
    arms.imagenet_sha256.cache_clear()


@pytest.fixture
def cell(cells):
    """A tiny cell in the larger network, one pass of pretraining."""
    larger = replace(cells[0].pretrain, encoder=NAME, epochs=1)
    return replace(cells[0], pretrain=larger, comparator="imagenet")


def test_the_comparator_begins_with_the_weights_provided(cell, home, tmp_path):
    """Every kernel is that of the file; the statistics of normalisation are those of the images at hand."""
    own = provide(home, 1)
    encoder, _ = arms._encoder(cell, "comparator", tmp_path, None)
    found = encoder.state_dict()
    kernels = [key for key in own if key.endswith(".weight")]
    assert all(torch.allclose(found[key], own[key], rtol=0, atol=1e-6) for key in kernels)
    assert not torch.equal(found["network.bn1.running_mean"], own["network.bn1.running_mean"])


def test_the_record_names_the_weights_and_other_weights_are_another_result(cell, home, tmp_path):
    """Their hash stands with the comparator only; predictions of other weights are not taken for these."""
    provide(home, 1)
    (record,) = run_grid([cell], tmp_path / "records", work=tmp_path, progress=False)
    assert record.comparator.weights_sha256 == arms.imagenet_sha256(NAME)
    assert record.ssl.weights_sha256 is None
    path = tmp_path / "records" / cell.dataset / f"{cell.record_id}.json"
    assert "weights_sha256" not in json.loads(path.read_text())["ssl"]
    assert from_dict(record.cell) == cell
    before = arms.arm_path(cell, "comparator", tmp_path), arms.arm_path(cell, "ssl", tmp_path)
    provide(home, 2)
    after = arms.arm_path(cell, "comparator", tmp_path), arms.arm_path(cell, "ssl", tmp_path)
    assert before[0] != after[0]
    assert before[1] == after[1]
    with pytest.raises(DataError, match=r"comparator.weights_sha256: the weights from ImageNet here are not"):
        verify(path)


def test_records_of_other_comparators_have_no_weights(finished):
    """The field is left out, so that earlier records stay as they are."""
    texts = [path.read_text() for path in finished.records.glob("*/*.json")]
    assert texts
    assert not any("weights_sha256" in text for text in texts)


def test_missing_weights_are_an_error_that_says_where_to_put_them(cell, home, tmp_path, monkeypatch):
    """Nothing is fetched."""
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(UsageError, match="no weights from ImageNet for resnet18 on this machine"):
        arms.run_arm(cell, "comparator", tmp_path)


def test_an_encoder_without_such_weights_is_refused(cell):
    """The small network and the small stems have none that fit."""
    with pytest.raises(UsageError, match=f"choose one of {', '.join(WITH_IMAGENET)}"):
        replace(cell, pretrain=replace(cell.pretrain, encoder="resnet18"))
