"""The options of pretraining, which are part of a record's identity, and what it returns."""

from dataclasses import dataclass

import torch

from medssl.errors import UsageError
from medssl.training.tensors import Standardisation

__all__ = ["PretrainConfig", "Pretrained"]


@dataclass(frozen=True)
class PretrainConfig:
    """How to pretrain; an unknown field raises.

    Parameters
    ----------
    method : str
        A key of `medssl.ssl.METHODS`.
    encoder : str
        A key of `medssl.encoders.ENCODERS`.
    epochs, batch_size : int
        Passes over the pool and images a step (the last, short batch of an epoch is dropped).
    learning_rate, weight_decay : float
        Peak of the cosine schedule, and AdamW's decay.
    """

    method: str = "simclr"
    encoder: str = "small_cnn"
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4

    def __post_init__(self):
        for name, least in (("epochs", 1), ("batch_size", 2)):
            if getattr(self, name) < least:
                raise UsageError(f"{name} must be at least {least}, got {getattr(self, name)}.")
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, got {self.learning_rate}.")


@dataclass(frozen=True)
class Pretrained:
    """A pretrained encoder (on the processor, in evaluation mode) and how it came about.

    `history` has one dictionary an epoch: epoch, loss, feature_deviation, effective_rank, alignment,
    uniformity, gradient_norm (mean over steps), gradient_norm_max, and probe_auc where there is a probe.
    """

    encoder: torch.nn.Module
    standardisation: Standardisation
    history: list[dict]
    minutes: float
