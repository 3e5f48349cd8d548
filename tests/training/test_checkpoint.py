"""Checkpoint files: whole or not there, free of code, strict about every key."""

import copy

import pytest
import torch

from medssl.encoders import ResNet18, SmallCNN
from medssl.errors import DataError
from medssl.training import load_checkpoint, load_encoder, save_encoder
from medssl.training.checkpoint import save_checkpoint


class Opens:
    """An object whose loading would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


@pytest.fixture
def saved(tmp_path):
    """A file with the weights of a small encoder, and that encoder."""
    torch.manual_seed(0)
    encoder = SmallCNN()
    save_encoder(tmp_path / "encoder.pt", encoder, {"mean": 0.5, "history": [{"epoch": 1}]})
    return tmp_path / "encoder.pt", encoder


def test_an_encoder_comes_back_with_what_describes_it(saved, same_weights):
    """Weights return bit for bit, and plain values as they were."""
    path, encoder = saved
    other = SmallCNN()
    assert load_encoder(path, other) == {"mean": 0.5, "history": [{"epoch": 1}]}
    same_weights(encoder, other)


def test_missing_unexpected_and_misshapen_keys_are_all_listed(saved, same_weights):
    """One error lists every key that does not fit, and the encoder keeps its weights."""
    path, encoder = saved
    state = encoder.state_dict()
    state["extra.bias"] = state.pop("stem.0.weight")
    state["stem.1.weight"] = torch.ones(3)
    save_checkpoint(path, {"encoder": state, "about": {}})
    other = SmallCNN()
    before = copy.deepcopy(other)
    with pytest.raises(DataError) as caught:
        load_encoder(path, other)
    assert str(caught.value) == (
        f"{path}: weights do not fit the encoder: missing stem.0.weight; "
        "stem.1.weight has shape (3,), expected (16,); unexpected extra.bias"
    )
    same_weights(other, before)


def test_another_architecture_is_refused(saved):
    """Weights of one network do not go into another one in part."""
    with pytest.raises(DataError, match=r"missing network\.bn1\.bias.*unexpected blocks\.0"):
        load_encoder(saved[0], ResNet18())


def test_a_file_of_something_else_is_refused(saved):
    """A checkpoint that holds no encoder lacks every key."""
    save_checkpoint(saved[0], {"epoch": 3})
    with pytest.raises(DataError, match=r"missing stem\.0\.weight"):
        load_encoder(saved[0], SmallCNN())


def test_pickled_code_is_refused_and_not_run(tmp_path):
    """A file that would execute code when it is unpickled is an error, and nothing is executed."""
    path, trace = tmp_path / "evil.pt", tmp_path / "trace"
    torch.save({"encoder": Opens(trace)}, path)
    with pytest.raises(DataError, match=r"evil\.pt: not a readable checkpoint \(UnpicklingError\)"):
        load_checkpoint(path)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0, 0.001, 0.3, 0.9, 0.9999])
def test_a_truncated_file_is_one_error(share, saved):
    """Wherever the file was cut, the error names it and the remedy."""
    path, _ = saved
    content = path.read_bytes()
    path.write_bytes(content[: int(share * len(content))])
    with pytest.raises(DataError, match=r"encoder\.pt: not a readable checkpoint .* Remove it and run again"):
        load_checkpoint(path)


def test_a_missing_file_is_one_error(tmp_path):
    """The error names the file that is not there."""
    with pytest.raises(DataError, match=r"absent\.pt: not a readable checkpoint \(FileNotFoundError\)"):
        load_checkpoint(tmp_path / "absent.pt")


def test_a_write_that_is_killed_leaves_the_old_file(saved, monkeypatch, killed):
    """When the process ends in the middle of writing, the last whole checkpoint is there and nothing else."""
    path, encoder = saved

    def half(state, part):
        part.write_bytes(path.read_bytes()[:1000])
        raise killed

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", half)
        with pytest.raises(killed):
            save_encoder(path, SmallCNN(), {})
    assert [file.name for file in path.parent.iterdir()] == ["encoder.pt"]
    assert load_encoder(path, encoder)["mean"] == 0.5
