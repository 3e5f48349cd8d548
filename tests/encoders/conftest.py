"""Encoders that are built once, because the large ones take a while."""

from functools import cache

import pytest
import torch

from medssl.encoders import build


@pytest.fixture(scope="session")
def built():
    """Return a function that gives an encoder in evaluation mode, always the same: copy it to change it."""

    @cache
    def make(name):
        torch.manual_seed(0)
        return build(name).eval()

    return make
