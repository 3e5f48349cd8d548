"""A small pool, an encoder and short configurations that the training tests share."""

import sys

import numpy as np
import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.training import Standardisation, TransferConfig, calibrate_normalisation, to_tensor


class Killed(BaseException):
    """Stands for a run that ends from outside: nothing in the package may catch it."""


@pytest.fixture
def killed():
    """The exception of a killed run."""
    return Killed


@pytest.fixture
def loops():
    """The modules of the two loops, whose names the package gives to their functions."""
    return sys.modules["medssl.training.pretrain"], sys.modules["medssl.training.transfer"]


@pytest.fixture
def kill_after_saving(monkeypatch, killed):
    """Return a function that lets a module save a number of times and then ends the run."""

    def arrange(module, times=1):
        save, done = module.save_checkpoint, []

        def save_and_die(path, state):
            save(path, state)
            done.append(path)
            if len(done) == times:
                raise killed

        monkeypatch.setattr(module, "save_checkpoint", save_and_die)
        return lambda: monkeypatch.setattr(module, "save_checkpoint", save)

    return arrange


@pytest.fixture
def same_weights():
    """Return a function that asserts that two networks hold the same bits."""

    def check(first, second):
        first, second = first.state_dict(), second.state_dict()
        assert first.keys() == second.keys()
        for key, value in first.items():
            assert torch.equal(value, second[key]), key

    return check


@pytest.fixture
def pool(blobs) -> np.ndarray:
    """24 images of 16 x 16 pixels."""
    return blobs(24)[0]


@pytest.fixture
def task(blobs):
    """Images, labels, classes, encoder, modality and standardisation: the arguments of `transfer`."""
    images, labels = blobs(20)
    torch.manual_seed(7)
    encoder, standardisation = SmallCNN(), Standardisation.of(images)
    calibrate_normalisation(encoder, to_tensor(images), standardisation)
    return images, labels, 2, encoder, "xray", standardisation


@pytest.fixture
def steps():
    """Return a function that makes a configuration with an exact number of steps."""
    return lambda count, **fields: TransferConfig(batch_size=8, least_steps=count, most_steps=count, **fields)
