"""What every test shares: one thread, no GPU, no settings of the user, a wide terminal.

The variables are set before numpy and torch are imported, so that their thread pools and every process
that a test starts see them.
"""

import os

os.environ |= {"OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "COLUMNS": "120", "NO_COLOR": "1"}

import numpy as np
import pytest
import torch

torch.set_num_threads(1)  # two threads that wait for each other on a busy machine are many times slower


@pytest.fixture(autouse=True)
def no_user_settings(monkeypatch, tmp_path_factory):
    """No test finds the real images by accident: one that wants them names the folder."""
    monkeypatch.delenv("MEDSSL_DATA", raising=False)
    monkeypatch.setenv("MEDSSL_CACHE", str(tmp_path_factory.getbasetemp() / "no-cache"))


@pytest.fixture
def generator() -> torch.Generator:
    """A seeded generator on the processor."""
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def blobs():
    """Return a function that draws easy images: class 1 has a bright square in the middle."""

    def draw(n: int, size: int = 16, seed: int = 0):
        random = np.random.default_rng(seed)
        labels = np.arange(n) % 2
        images = random.integers(40, 120, (n, size, size), dtype=np.uint8)
        middle = slice(size // 4, -size // 4)
        images[labels == 1, middle, middle] += 100
        return images, labels

    return draw
