"""Momentum teachers: a copy of a network that follows it slowly and never gets a gradient."""

import copy
import math

import torch
from torch import nn

__all__ = ["follow", "momentum_at", "teacher_of"]


def teacher_of(network: nn.Module) -> nn.Module:
    """Return a copy, weights and statistics included, that asks for no gradient.

    Examples
    --------
    >>> teacher_of(nn.Linear(2, 2)).weight.requires_grad
    False
    """
    return copy.deepcopy(network).requires_grad_(False)


@torch.no_grad()
def follow(teacher: nn.Module, student: nn.Module, momentum: float) -> None:
    """Set the teacher to momentum x teacher + (1 - momentum) x student, in place.

    Parameters
    ----------
    teacher, student : torch.nn.Module
        Of one architecture; floating values of the state (weights and running statistics) are averaged,
        counters are copied.
    momentum : float
        1 leaves the teacher as it is, 0 makes it a copy.

    Examples
    --------
    >>> teacher, student = nn.BatchNorm1d(1), nn.BatchNorm1d(1)
    >>> _ = nn.init.constant_(student.weight, 3.0)
    >>> follow(teacher, student, 0.5)
    >>> teacher.weight.item()
    2.0
    """
    state = student.state_dict()
    for key, value in teacher.state_dict().items():
        if value.is_floating_point():
            value.lerp_(state[key], 1 - momentum)
        else:
            value.copy_(state[key])


def momentum_at(step: int, steps: int, base: float) -> float:
    """Return the momentum of a step: half a cosine from `base` to 1 (Grill et al. 2020).

    Examples
    --------
    >>> [round(momentum_at(step, 10, 0.9), 3) for step in (0, 5, 10)]
    [0.9, 0.95, 1.0]
    """
    return 1 - (1 - base) * (1 + math.cos(math.pi * step / steps)) / 2
