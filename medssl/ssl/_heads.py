"""Heads: the small networks on top of an encoder that are thrown away after pretraining."""

from itertools import pairwise

from torch import nn

__all__ = ["mlp"]


def mlp(*widths: int, normalise: bool = True, bias: bool = True, activation=nn.ReLU) -> nn.Sequential:
    """Return linear layers with batch normalisation and an activation after all but the last.

    Parameters
    ----------
    *widths : int
        Length of the input, of each hidden layer and of the output.
    normalise : bool
        Batch normalisation after each hidden layer, which then needs no bias.
    bias : bool
        A bias in the last layer.
    activation : type of torch.nn.Module

    Examples
    --------
    >>> [type(layer).__name__ for layer in mlp(8, 4, 2)]
    ['Linear', 'BatchNorm1d', 'ReLU', 'Linear']
    """
    layers = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers.append(nn.Linear(inputs, outputs, bias=not normalise))
        layers += [nn.BatchNorm1d(outputs)] if normalise else []
        layers.append(activation())
    return nn.Sequential(*layers, nn.Linear(*widths[-2:], bias=bias))
