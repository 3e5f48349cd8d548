"""Segment volumes: train an encoder and a light decoder on labelled volumes.

Both arms of a comparison pass through this one loop with the same arguments, but for the encoder.
"""

import copy
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from medssl.errors import RunError, UsageError
from medssl.training.checkpoint import save_checkpoint
from medssl.training.dice_loss import dice_and_cross_entropy
from medssl.training.resuming import next_rows, put_back, saved_state, state_of
from medssl.training.segmentation_network import SegmentationNetwork
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
from medssl.training.volume_views import mild_view, random_crop

__all__ = ["SegmentationConfig", "Segmented", "segment"]

SAVE_EVERY = 20  # steps; a step on a volume takes about a second on a processor


@dataclass(frozen=True)
class SegmentationConfig:
    """How to train a segmentation; an unknown field raises.

    Parameters
    ----------
    learning_rate, weight_decay : float
        Peak of the cosine schedule, and AdamW's decay.
    batch_size : int
        Volumes a step; smaller sets use what there is.
    steps : int
        Optimiser steps, whatever the number of volumes.
    crop : tuple of int or None
        Depth, height and width in voxels of a random box of each volume; None takes whole volumes.
        Prediction is always of whole volumes.
    augment : bool
        Whether to train on mild views, see `medssl.training.volume_views`.
    """

    learning_rate: float = 3e-3
    weight_decay: float = 1e-2
    batch_size: int = 2
    steps: int = 400
    crop: tuple[int, int, int] | None = None
    augment: bool = True
    adaptation: ClassVar[str] = "segmentation"  # what records and tables call it

    def __post_init__(self):
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if min(self.batch_size, self.steps) < 1:
            raise UsageError("batch_size and steps must be at least 1.")
        if self.crop is None:
            return
        if not isinstance(self.crop, tuple) or len(self.crop) != 3 or min(self.crop) < 1:
            raise UsageError(f"crop must be three positive sides in voxels or None, got {self.crop!r}.")


@dataclass(frozen=True)
class Segmented:
    """A trained segmentation network with the standardisation that its inputs need."""

    model: nn.Module
    standardisation: Standardisation
    history: list[float]
    minutes: float

    @torch.no_grad()
    def predict(self, volumes: np.ndarray, batch_size: int = 4) -> np.ndarray:
        """Return masks [n, depth, height, width], uint8, of whole uint8 volumes of that shape.

        Raises
        ------
        RunError
            A logit is not finite.
        """
        parts = [volumes[i : i + batch_size] for i in range(0, len(volumes), batch_size)]
        return np.concatenate([_masks(self.model, self.standardisation, part) for part in parts])


@torch.no_grad()
def _masks(model, standardise, volumes):
    model.eval()
    device = next(model.parameters()).device
    logits = model(standardise(to_tensor(volumes, device)))  # [n, classes, depth, height, width]
    if not logits.isfinite().all():
        raise RunError("segment: predictions are not finite. Lower learning_rate.")
    return logits.argmax(1).to(torch.uint8).cpu().numpy()


def segment(
    volumes: np.ndarray,
    masks: np.ndarray,
    classes: int,
    encoder: nn.Module,
    standardisation: Standardisation,
    config: SegmentationConfig | None = None,
    *,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Segmented:
    """Train a segmentation from `encoder` on labelled volumes; the encoder that was passed is not changed.

    Parameters
    ----------
    volumes : ndarray of uint8
        Labelled volumes, shape [n, depth, height, width].
    masks : ndarray of int
        Class of each voxel, 0 for the background, of the same shape.
    classes : int
        Number of classes, the background included.
    encoder : torch.nn.Module
        Pretrained or randomly initialised, with `pyramid`: see `SegmentationNetwork`.
    standardisation : Standardisation
        The one of the pretraining pool, for both arms.
    config : SegmentationConfig, optional
    seed : int
        Seeds the decoder, the order, the boxes and the views.
    device : str, optional
    checkpoint : path, optional
        Written every 20 steps; a run that finds it continues from it, bit for bit on a processor.
    progress : bool

    Returns
    -------
    Segmented

    Raises
    ------
    UsageError
        Shapes differ, no volume, a class outside 0..classes-1, a box larger than a volume, an encoder
        without `pyramid`, a checkpoint of another run.
    RunError
        The loss is not finite.

    Examples
    --------
    >>> class Tiny(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first = nn.Conv3d(1, 4, 3, 2, 1)
    ...     def pyramid(self, x):
    ...         return [self.first(x)]
    >>> volumes = np.random.default_rng(0).integers(0, 256, (3, 8, 8, 8), dtype=np.uint8)
    >>> masks = (volumes > 200).astype(np.uint8)
    >>> short = SegmentationConfig(steps=2)
    >>> done = segment(volumes, masks, 2, Tiny(), Standardisation(0.5, 0.3), short, device="cpu")
    >>> done.predict(volumes).shape
    (3, 8, 8, 8)
    """
    config = config or SegmentationConfig()
    _check(volumes, masks, classes, config)
    run = _Run(volumes, masks, classes, encoder, standardisation, config, seed, pick_device(device))
    run.resume(checkpoint)
    for step in tqdm(range(run.step, config.steps), desc="segment", unit="step", disable=not progress):
        run.one_step(step)
        if checkpoint is not None and (step + 1) % SAVE_EVERY == 0:
            run.save(checkpoint)
    return run.result()


def _check(volumes, masks, classes, config):
    if volumes.ndim != 4 or volumes.dtype != np.uint8:
        found = f"{volumes.dtype} {list(volumes.shape)}"
        raise UsageError(f"volumes must be uint8 [n, depth, height, width], got {found}.")
    if masks.shape != volumes.shape or len(volumes) == 0:
        raise UsageError(f"volumes {volumes.shape} and masks {masks.shape}: shapes must agree, with n >= 1.")
    if masks.min() < 0 or masks.max() >= classes:
        raise UsageError(f"masks hold {masks.min()}..{masks.max()}, expected 0..{classes - 1}.")
    if config.crop and any(a > b for a, b in zip(config.crop, volumes.shape[1:], strict=True)):
        raise UsageError(f"crop {config.crop} is larger than a volume of {volumes.shape[1:]} voxels.")


class _Run:
    """State of one run: everything here is in the checkpoint."""

    def __init__(self, volumes, masks, classes, encoder, standardisation, config, seed, device):
        self.config, self.device, self.seed = config, device, seed
        self.generator = seed_everything(seed, device)
        self.standardise = standardisation
        weights = [value.cpu().numpy() for value in encoder.state_dict().values()]
        self.start = {
            "encoder": fingerprint(*weights), "volumes": fingerprint(volumes, masks),
            "device": device.type, **asdict(standardisation),
        }  # fmt: skip
        shape = config.crop or volumes.shape[1:]
        self.model = SegmentationNetwork(copy.deepcopy(encoder), classes, shape).to(device)
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), weight_decay=config.weight_decay, foreach=True
        )
        self.volumes = to_tensor(volumes, device)  # [n, 1, depth, height, width]
        self.plain, self.masks = volumes[:1], torch.as_tensor(masks, device=device)
        self.step, self.losses, self.minutes = 0, [], 0.0
        self.order = torch.empty(0, dtype=torch.long, device=device)

    def one_step(self, step):
        """Take one optimiser step on the next volumes."""
        start = time.perf_counter()
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_with_warmup(step, self.config.steps, self.config.learning_rate)
        volumes, masks = self._batch()
        self.model.train()
        with autocast(self.device):
            logits = self.model(self.standardise(volumes))
        loss = dice_and_cross_entropy(logits.float(), masks)  # sums over voxels need single precision
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.step = step + 1
        self._log(loss.item())
        self.minutes += (time.perf_counter() - start) / 60

    def _batch(self):
        rows, self.order = next_rows(self.order, len(self.masks), self.config.batch_size, self.generator)
        volumes, masks = self.volumes[rows], self.masks[rows].long()
        if self.config.augment:
            volumes, masks = mild_view(volumes, masks, self.generator)
        if self.config.crop:
            volumes, masks = random_crop(volumes, masks, self.config.crop, self.generator)
        return volumes, masks

    def _log(self, loss):
        if not np.isfinite(loss):
            raise RunError(f"segment: the loss is not finite at step {self.step}. Lower learning_rate.")
        self.losses.append(loss)

    def _identity(self):
        return {**asdict(self.config), "seed": self.seed, **self.start}

    def save(self, path):
        save_checkpoint(path, {"identity": self._identity(), **state_of(self)})

    def resume(self, path):
        state = saved_state(path, self._identity())
        if state is not None:
            put_back(self, state)

    def result(self) -> Segmented:
        require_finite(self.model, "segment")
        # no loss follows the last step to show that it went wrong
        _masks(self.model, self.standardise, self.plain)
        return Segmented(self.model, self.standardise, self.losses, self.minutes)
