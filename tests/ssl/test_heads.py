"""The layers of a head are those that its arguments say."""

import pytest
import torch
from torch import nn

from medssl.ssl._heads import mlp


def kinds(head):
    """Names of the layers."""
    return [type(layer).__name__ for layer in head]


@pytest.mark.parametrize("hidden", [(), (5,), (5, 6, 7)])
def test_layers_have_the_widths_in_their_order(hidden):
    """Each linear layer joins two neighbours of the list, and the batch passes through."""
    head = mlp(3, *hidden, 2)
    shapes = [tuple(layer.weight.shape) for layer in head if isinstance(layer, nn.Linear)]
    assert shapes == list(zip((*hidden, 2), (3, *hidden), strict=True))
    assert head(torch.randn(4, 3)).shape == (4, 2)


def test_the_last_layer_is_linear():
    """Normalisation and activation follow every layer but the last."""
    block = ["Linear", "BatchNorm1d", "ReLU"]
    assert kinds(mlp(3, 4, 5, 2)) == [*block, *block, "Linear"]
    assert kinds(mlp(3, 4, 2, normalise=False, activation=nn.GELU)) == ["Linear", "GELU", "Linear"]


@pytest.mark.parametrize(("normalise", "bias"), [(True, True), (True, False), (False, True), (False, False)])
def test_biases_stand_where_they_act(normalise, bias):
    """A layer before a normalisation has none; the last one has it as asked."""
    head = mlp(3, 4, 2, normalise=normalise, bias=bias)
    assert (head[0].bias is None) == normalise
    assert (head[-1].bias is not None) == bias
