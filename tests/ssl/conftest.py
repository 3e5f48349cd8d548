"""A tiny encoder and a short loop, in which it shows within a second what a rule of a method prevents."""

import pytest
import torch
from torch import nn
from torch.nn import functional


class Tiny(nn.Module):
    """Two layers on images of 8 x 8 pixels."""

    width = 16

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(64, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, self.width)
        )

    def forward(self, images):
        return self.layers(images)


@pytest.fixture
def tiny():
    """A tiny encoder whose weights are always the same."""
    torch.manual_seed(0)
    return Tiny()


@pytest.fixture
def train(generator):
    """Return a function that trains a method on 64 random images with noise and returns the images."""

    def loop(method, steps=300, learning_rate=3e-3):
        images = torch.rand(64, 1, 8, 8, generator=generator)
        optimizer = torch.optim.AdamW(method.parameters(), learning_rate)
        for step in range(steps):
            loss = method.loss(images, noisy(generator), generator)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            if hasattr(method, "after_step"):
                method.after_step(step, steps)
        return images

    return loop


def noisy(generator):
    """Return a view that adds noise."""
    return lambda images: images + 0.3 * torch.randn(images.shape, generator=generator)


@pytest.fixture
def noisy_view(generator):
    """A view that adds noise."""
    return noisy(generator)


@pytest.fixture
def two_views():
    """Return a function that gives two batches of views, and a maker of views that hands out them in turn."""

    def make(batch=6):
        views = torch.rand(2, batch, 1, 8, 8, generator=torch.Generator().manual_seed(5)).unbind()
        return views, in_turn

    def in_turn(*views):
        rest = iter(views)
        return lambda images: next(rest)

    return make


@pytest.fixture
def spread():
    """Return a function that measures how directions differ: 0 when all are equal, 1 over the sphere."""

    def measure(vectors):
        directions = functional.normalize(vectors.detach(), dim=1)
        return (directions.std(0) * directions.shape[1] ** 0.5).mean().item()

    return measure


@pytest.fixture
def autocast():
    """Products in bfloat16, as the loop computes on a GPU."""
    with torch.autocast("cpu", torch.bfloat16):
        yield
