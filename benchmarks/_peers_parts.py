"""What the loops of all peers share: this project's encoder, plain heads, and a copy that follows."""

import copy
import sys
from itertools import pairwise
from pathlib import Path

from torch import nn

__all__ = [
    "BATCH", "DEVIATION", "HIDDEN", "MEAN", "METHODS", "OUTPUTS", "PATCH", "RATIO", "TEMPERATURE", "WIDTH",
    "encoder", "frozen_copy", "mlp",
]  # fmt: skip

METHODS = ("simclr", "byol", "barlow_twins", "dino", "masked_autoencoder")
BATCH = 256
# the sizes and options that this project's methods have by default, so that all train the same weights
WIDTH, HIDDEN, OUTPUTS, TEMPERATURE, PATCH, RATIO = 128, 256, 64, 0.2, 4, 0.6
MEAN, DEVIATION = 0.5, 0.29  # of random grey values


def encoder() -> nn.Module:
    """Return the small convolutional network of this project, which needs nothing but torch."""
    sys.path.append(str(Path(__file__).parents[1]))
    from medssl.encoders.small_cnn import SmallCNN

    return SmallCNN()


def mlp(*widths: int, normalise: bool = True, activation=nn.ReLU) -> nn.Sequential:
    """Return linear layers with an activation between them."""
    layers = []
    for inputs, outputs in pairwise(widths):
        layers.append(nn.Linear(inputs, outputs))
        layers += [nn.BatchNorm1d(outputs)] if normalise else []
        layers.append(activation())
    return nn.Sequential(*layers[: -2 if normalise else -1])


def frozen_copy(network: nn.Module) -> nn.Module:
    """Return a copy that asks for no gradient."""
    return copy.deepcopy(network).requires_grad_(False)
