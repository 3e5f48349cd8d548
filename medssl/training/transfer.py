"""Transfer an encoder to labels: fine-tune it, in whole or in part, or read its frozen features.

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
from medssl.training.checkpoint import save_checkpoint
from medssl.training.feature_scale import FeatureScale
from medssl.training.neighbours import nearest_neighbours
from medssl.training.partial import freeze_early, train_late
from medssl.training.resuming import next_rows, put_back, saved_state, state_of
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
from medssl.training.transfer_config import ADAPTATIONS, TransferConfig

__all__ = ["ADAPTATIONS", "TransferConfig", "Transferred", "transfer"]


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
        Chooses the mild augmentation of fine-tuning; frozen features are those of plain images.
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
    if config.adaptation == "nearest_neighbours":
        return _by_neighbours(images, labels, classes, encoder, standardisation, pick_device(device))
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


def _by_neighbours(images, labels, classes, encoder, standardisation, device):
    """Nothing is drawn, trained or resumed: neither seed, modality nor checkpoint has a part in it."""
    start = time.perf_counter()
    rows = torch.as_tensor(labels, dtype=torch.long, device=device)
    model = nearest_neighbours(to_tensor(images, device), rows, classes, encoder, standardisation)
    return Transferred(model, standardisation, [], (time.perf_counter() - start) / 60)


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
        self.optimizer = torch.optim.AdamW(self._trained(), weight_decay=config.weight_decay, foreach=True)

    def _trained(self):
        """Freeze what the adaptation freezes, and return the weights that it trains."""
        if self.config.adaptation == "linear_probe":
            self._freeze()
            return self.head.parameters()
        if self.config.adaptation == "partial_fine_tune":
            return [*freeze_early(self.encoder), *self.head.parameters()]
        return self.model.parameters()

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
        if self.config.adaptation == "partial_fine_tune":
            train_late(self.encoder)
        return self.model(self.standardise(augment(batch, self.policy, self.generator)))

    def _next_rows(self):
        rows, self.order = next_rows(self.order, len(self.labels), self.config.batch_size, self.generator)
        return rows

    def _log(self, loss):
        if not np.isfinite(loss):
            raise RunError(f"transfer: the loss is not finite at step {self.step}. Lower learning_rate.")
        self.losses.append(loss)

    def _identity(self):
        return {**asdict(self.config), "seed": self.seed, "images": self.fingerprint, **self.start}

    def save(self, path):
        save_checkpoint(path, {"identity": self._identity(), **state_of(self)})

    def resume(self, path):
        state = saved_state(path, self._identity())
        if state is not None:
            put_back(self, state)

    def result(self) -> Transferred:
        require_finite(self.model, "transfer")
        # no loss follows the last step to show that it went wrong
        _probabilities(self.model, self.standardise, self.plain)
        return Transferred(self.model, self.standardise, self.losses, self.minutes)
