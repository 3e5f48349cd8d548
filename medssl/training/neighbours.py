"""Nearest neighbours: what frozen features know of the labels before anything is trained.

Wu, Xiong, Yu and Lin (2018), "Unsupervised feature learning via non-parametric instance discrimination":
the labelled images that are most similar to an image vote for its class, each with weight
exp(similarity / temperature), where similarity is the cosine of their features.

The authors of DINO note in their evaluation that 20 neighbours usually work best; a budget of fewer
labels uses all of them, and then the weights alone tell near from far.
"""

import copy

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import RunError, UsageError

__all__ = ["NearestNeighbours", "nearest_neighbours"]

NEIGHBOURS = 20
TEMPERATURE = 0.07


class NearestNeighbours(nn.Module):
    """The vote of the nearest labelled images, as logits, so that it takes the place of a linear head.

    Parameters
    ----------
    features : Tensor
        Features of the labelled images, shape [n, width].
    labels : Tensor of int
        Their classes, shape [n].
    classes : int
        Number of classes.
    neighbours : int
        How many vote; all where there are fewer labelled images.
    temperature : float
        Below 0.1 the nearest decide; a large one counts votes.

    Raises
    ------
    UsageError
        No neighbour, or a temperature that is not positive.

    Examples
    --------
    >>> known = torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    >>> vote = NearestNeighbours(known, torch.tensor([0, 1]), 2, temperature=1.0)
    >>> vote(torch.tensor([[3.0, 0.0]])).softmax(1)  # e / (e + 1) and 1 / (e + 1)
    tensor([[0.7311, 0.2689]])
    """

    def __init__(
        self,
        features: torch.Tensor,
        labels: torch.Tensor,
        classes: int,
        neighbours: int = NEIGHBOURS,
        temperature: float = TEMPERATURE,
    ):
        super().__init__()
        if neighbours < 1 or not temperature > 0:
            raise UsageError(
                f"neighbours must be at least 1 and temperature above 0, got {neighbours} and {temperature}."
            )
        self.neighbours, self.temperature = min(neighbours, len(labels)), temperature
        self.register_buffer("features", functional.normalize(features.float(), dim=1))  # [n, width]
        self.register_buffer("votes", functional.one_hot(labels, classes).bool())  # [n, classes]

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Return logits [batch, classes] whose softmax is each class's share of the weighted vote.

        The logit of a class for which no neighbour votes is minus infinity: its probability is 0.
        """
        similarity = functional.normalize(features.float(), dim=1) @ self.features.T  # [batch, n]
        nearest, rows = similarity.topk(self.neighbours, dim=1)  # [batch, neighbours]
        weights = (nearest / self.temperature)[..., None]  # [batch, neighbours, 1], logarithms
        return weights.masked_fill(~self.votes[rows], -torch.inf).logsumexp(1)


@torch.no_grad()
def nearest_neighbours(
    images: torch.Tensor, labels: torch.Tensor, classes: int, encoder: nn.Module, standardise
) -> nn.Sequential:
    """Return a copy of the encoder followed by the vote of the labelled images.

    Parameters
    ----------
    images : Tensor
        Labelled images in 0..1, shape [n, 1, height, width].
    labels : Tensor of int
        Shape [n], on the device of the images.
    classes : int
    encoder : torch.nn.Module
        Copied to the images' device, frozen and in evaluation mode.
    standardise : callable
        Maps images to the encoder's input.

    Raises
    ------
    RunError
        A feature is not finite.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> model = nearest_neighbours(
    ...     torch.rand(4, 1, 28, 28), torch.tensor([0, 1, 0, 1]), 3, SmallCNN(), lambda x: x
    ... )
    >>> model(torch.rand(2, 1, 28, 28)).softmax(1)[:, 2]  # no label of the third class
    tensor([0., 0.])
    """
    encoder = copy.deepcopy(encoder).to(images.device).eval().requires_grad_(False)
    features = torch.cat([encoder(standardise(part)) for part in images.split(1024)])
    if not features.isfinite().all():
        raise RunError("nearest_neighbours: the features are not finite. Pretrain at a lower learning_rate.")
    return nn.Sequential(encoder, NearestNeighbours(features, labels, classes))
