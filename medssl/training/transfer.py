"""Transfer an encoder to labels: fine-tune all of it, or train a linear probe on frozen features.

    medssl transfer phantom_xray --encoder encoder.pt --labels 100

Both arms of a comparison pass through this one loop with the same arguments, but for the encoder.
"""

import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from tqdm import tqdm

from medssl.augmentation import augment, policy_for
from medssl.errors import RunError, UsageError
from medssl.training.checkpoint import load_checkpoint, save_checkpoint
from medssl.training.feature_scale import FeatureScale
from medssl.training.tensors import (
    Standardisation,
    autocast,
    cosine_with_warmup,
    fingerprint,
    pick_device,
    require_finite,
    seed_everything,
    to_tensor,
)

__all__ = ["ADAPTATIONS", "TransferConfig", "Transferred", "transfer"]

ADAPTATIONS = ("fine_tune", "linear_probe")


@dataclass(frozen=True)
class TransferConfig:
    """How to transfer; an unknown field raises.

    Parameters
    ----------
    adaptation : str
        "fine_tune" trains encoder and head; "linear_probe" trains the head on frozen features.
    learning_rate, weight_decay : float
        Peak of the cosine schedule, and AdamW's decay.
    batch_size : int
        Images a step; smaller sets use what there is.
    epochs, least_steps, most_steps : int
        The schedule is `epochs` passes, but never fewer or more steps than these.
    """

    adaptation: str = "fine_tune"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 32
    epochs: int = 10
    least_steps: int = 100
    most_steps: int = 740

    def __post_init__(self):
        if self.adaptation not in ADAPTATIONS:
            raise UsageError(
                f"unknown adaptation {self.adaptation!r}: choose one of {', '.join(ADAPTATIONS)}."
            )

        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if min(self.batch_size, self.epochs, self.least_steps) < 1 or self.most_steps < self.least_steps:
            raise UsageError(
                "batch_size, epochs and least_steps must be at least 1, and most_steps at least least_steps."
            )

    def steps(self, n: int) -> int:
        """Return the number of optimiser steps for n labelled images."""
        passes = self.epochs * -(-n // self.batch_size)
        return min(max(passes, self.least_steps), self.most_steps)


@dataclass(frozen=True)
class Transferred:
    """A trained classifier with the standardisation that its inputs need."""

    model: nn.Module
    standardisation: Standardisation
    history: list[float]
    minutes: float

    def predict(self, images: np.ndarray, batch_size: int = 1024) -> np.ndarray:
        """Return class probabilities [n, classes], float32, of uint8 images [n, height, width]."""
        parts = [images[i : i + batch_size] for i in range(0, len(images), batch_size)]
        return np.concatenate([_probabilities(self.model, self.standardisation, part) for part in parts])


@torch.no_grad()
def _probabilities(model, standardise, images):
    model.eval()
    device = next(model.parameters()).device
    probabilities = functional.softmax(model(standardise(to_tensor(images, device))).float(), 1)
    if not probabilities.isfinite().all():
        raise RunError("transfer: predictions are not finite. Lower learning_rate.")
    return probabilities.cpu().numpy()


def transfer(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    encoder: nn.Module,
    modality: str,
    standardisation: Standardisation,
    config: TransferConfig | None = None,
    *,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Transferred:
    """Train a classifier from `encoder` on labelled images; the encoder that was passed is not changed.

    Parameters
    ----------
    images : ndarray of uint8
        Labelled images, shape [n, height, width].
    labels : ndarray of int
        Class indices, shape [n].
    classes : int
        Number of classes, also of those that the subset lacks.
    encoder : torch.nn.Module
        Pretrained or randomly initialised.
    modality : str
        Chooses the mild augmentation of fine-tuning; the probe sees plain images.
    standardisation : Standardisation
        The one of the pretraining pool, for both arms.
    config : TransferConfig, optional
    seed : int
        Seeds the head, the order and the augmentation.
    device : str, optional
    checkpoint : path, optional
        Written every 50 steps; a run that finds it continues from it, bit for bit.
    progress : bool

    Returns
    -------
    Transferred

    Raises
    ------
    UsageError
        Lengths differ, no image, a label outside 0..classes-1, unknown device.
    RunError
        The loss is not finite.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> images = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)
    >>> labels = np.array([0, 1, 0, 1, 0, 1])
    >>> short = TransferConfig(least_steps=2, most_steps=2)
    >>> done = transfer(images, labels, 2, SmallCNN(), "xray", Standardisation(0.5, 0.3), short, device="cpu")
    >>> done.predict(images).shape
    (6, 2)
    """
    config = config or TransferConfig()
    _check(images, labels, classes)
    run = _Run(images, labels, classes, encoder, modality, standardisation, config, seed, pick_device(device))
    run.resume(checkpoint)
    for step in tqdm(range(run.step, run.steps), desc=config.adaptation, unit="step", disable=not progress):
        run.one_step(step)
        if checkpoint is not None and (step + 1) % 50 == 0:
            run.save(checkpoint)
    return run.result()


def _check(images, labels, classes):
    if len(images) != len(labels) or len(images) == 0:
        raise UsageError(f"{len(images)} images and {len(labels)} labels: both must be equal and at least 1.")
    if labels.min() < 0 or labels.max() >= classes:
        raise UsageError(f"labels lie in {labels.min()}..{labels.max()}, expected 0..{classes - 1}.")


class _Run:
    """State of one transfer: everything here is in the checkpoint."""

    def __init__(self, images, labels, classes, encoder, modality, standardisation, config, seed, device):
        self.config, self.device, self.seed = config, device, seed
        self.generator = seed_everything(seed, device)
        self.standardise = standardisation
        weights = [value.cpu().numpy() for value in encoder.state_dict().values()]
        self.start = {
            "encoder": fingerprint(*weights), "modality": modality, "device": device.type,
            **asdict(standardisation),
        }  # fmt: skip
        self.encoder = copy.deepcopy(encoder).to(device, memory_format=torch.channels_last)
        self.head = nn.Linear(encoder.width, classes).to(device)
        self.model = nn.Sequential(self.encoder, self.head)
        self.policy = policy_for(modality, "fine_tune")
        self.images = to_tensor(images, device)  # [n, 1, height, width]
        self.plain, self.fingerprint = images[:64], fingerprint(images, labels)
        self.labels = torch.as_tensor(labels, dtype=torch.long, device=device)
        self.steps, self.step, self.losses, self.minutes = config.steps(len(images)), 0, [], 0.0
        self.order = torch.empty(0, dtype=torch.long, device=device)
        if config.adaptation == "linear_probe":
            self._freeze()
        trained = self.head if config.adaptation == "linear_probe" else self.model
        self.optimizer = torch.optim.AdamW(
            trained.parameters(), weight_decay=config.weight_decay, foreach=True
        )

    def _freeze(self):
        """Replace images by their standardised frozen features and fold the scale into the head's input."""
        self.encoder.eval().requires_grad_(False)
        with torch.no_grad():
            features = torch.cat([self.encoder(self.standardise(part)) for part in self.images.split(1024)])
        scale = FeatureScale(features.mean(0), features.std(0, correction=0).clamp_min(1e-6))
        self.model = nn.Sequential(self.encoder, scale, self.head)
        self.images = scale(features)  # [n, width]

    def one_step(self, step):
        """Take one optimiser step on the next rows."""
        start = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_with_warmup(step, self.steps, self.config.learning_rate)
        rows = self._next_rows()
        with autocast(self.device):
            loss = functional.cross_entropy(self._logits(self.images[rows]), self.labels[rows])
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step = step + 1
        self._log(loss.item())
        self.minutes += (time.perf_counter() - start) / 60

    def _logits(self, batch):
        if self.config.adaptation == "linear_probe":
            return self.head(batch)
        self.model.train()
        return self.model(self.standardise(augment(batch, self.policy, self.generator)))

    def _next_rows(self):
        """Take the next rows of an endless sequence of shuffled passes."""
        size = min(self.config.batch_size, len(self.labels))
        while len(self.order) < size:
            again = torch.randperm(len(self.labels), generator=self.generator, device=self.device)
            self.order = torch.cat([self.order, again])
        rows, self.order = self.order[:size], self.order[size:]
        return rows

    def _log(self, loss):
        if not np.isfinite(loss):
            raise RunError(f"transfer: the loss is not finite at step {self.step}. Lower learning_rate.")
        self.losses.append(loss)

    def _identity(self):
        return {**asdict(self.config), "seed": self.seed, "images": self.fingerprint, **self.start}

    def save(self, path):
        state = {
            "identity": self._identity(), "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(), "generator": self.generator.get_state(),
            "order": self.order, "step": self.step, "losses": self.losses, "minutes": self.minutes,
        }  # fmt: skip
        save_checkpoint(path, state)

    def resume(self, path):
        if path is None or not Path(path).exists():
            return
        state = load_checkpoint(path)
        if state.get("identity") != self._identity():
            raise UsageError(
                f"{path}: this checkpoint belongs to another run. Name another file or remove it."
            )
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.order, self.step = state["order"].to(self.device), state["step"]
        self.losses, self.minutes = state["losses"], state["minutes"]

    def result(self) -> Transferred:
        require_finite(self.model, "transfer")
        # no loss follows the last step to show that it went wrong
        _probabilities(self.model, self.standardise, self.plain)
        return Transferred(self.model, self.standardise, self.losses, self.minutes)
