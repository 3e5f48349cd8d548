"""Pretrain an encoder on images without labels.

    medssl pretrain phantom_xray --method simclr --epochs 5 --output encoder.pt

The whole pool stays on the device; views are made there, a batch at a time.
Every source of randomness is one generator whose state is in the checkpoint: resume is bit-equal.
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from medssl import encoders, ssl
from medssl.augmentation import augment, policy_for
from medssl.errors import RunError, UsageError
from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_checkpoint, save_checkpoint
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

__all__ = ["PretrainConfig", "Pretrained", "pretrain"]


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

    `history` has one dictionary an epoch: epoch, loss, feature_deviation, gradient_norm.
    """

    encoder: torch.nn.Module
    standardisation: Standardisation
    history: list[dict]
    minutes: float


def pretrain(
    images: np.ndarray,
    modality: str,
    config: PretrainConfig | None = None,
    *,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Pretrained:
    """Pretrain on `images` and return the encoder.

    Parameters
    ----------
    images : ndarray of uint8
        The unlabelled pool, shape [n, height, width].
    modality : str
        Chooses the augmentation policy.
    config : PretrainConfig, optional
        Defaults are sensible for a small pool on a processor.
    seed : int
        Seeds weights, order, views and masks.
    device : str, optional
        "cpu" or "cuda"; the GPU where there is one.
    checkpoint : path, optional
        Written after each epoch; a run that finds it continues from it, bit for bit.
    progress : bool
        Show a bar on stderr.

    Returns
    -------
    Pretrained

    Raises
    ------
    UsageError
        Unknown method, encoder or device; a pool smaller than two images.
    RunError
        The loss is not finite, or the checkpoint cannot be written.
    DataError
        The checkpoint is damaged or belongs to another configuration.

    Examples
    --------
    >>> pool = np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    >>> result = pretrain(pool, "xray", PretrainConfig(epochs=1, batch_size=4), device="cpu")
    >>> len(result.history)
    1
    """
    config = config or PretrainConfig()
    if images.ndim != 3 or images.dtype != np.uint8:
        raise UsageError(f"images must be uint8 [n, height, width], got {images.dtype} {list(images.shape)}.")
    if len(images) < 2:
        raise UsageError(f"pretraining needs at least 2 images, got {len(images)}.")
    run = _Run(images, modality, config, seed, pick_device(device))
    run.resume(checkpoint)
    bar = tqdm(
        range(run.epoch, config.epochs), initial=run.epoch, total=config.epochs,
        desc=f"{config.method} seed {seed}", unit="epoch", disable=not progress,
    )  # fmt: skip
    for _ in bar:
        bar.set_postfix(loss=f"{run.one_epoch():.3f}")
        run.save(checkpoint)
    return run.result()


class _Run:
    """State of one pretraining run: everything here is in the checkpoint."""

    def __init__(self, images, modality, config, seed, device):
        self.config, self.device, self.seed = config, device, seed
        self.generator = seed_everything(seed, device)
        encoder = encoders.build(config.encoder)
        self.method = ssl.build(config.method, encoder).to(device, memory_format=torch.channels_last)
        self.optimizer = torch.optim.AdamW(
            self.method.parameters(), config.learning_rate, weight_decay=config.weight_decay, foreach=True
        )
        self.modality, self.policy = modality, policy_for(modality, "pretrain")
        self.standardise = Standardisation.of(images)
        self.images = to_tensor(images, device)  # [n, 1, height, width]
        self.fingerprint = fingerprint(images)
        self.batch = min(config.batch_size, len(images))
        self.epoch, self.history, self.minutes = 0, [], 0.0

    def view(self, images):
        return self.standardise(augment(images, self.policy, self.generator))

    def one_epoch(self) -> float:
        """Run one epoch and return its mean loss."""
        start, losses, norms = time.perf_counter(), [], []
        self.method.train()
        order = torch.randperm(len(self.images), generator=self.generator, device=self.device)
        steps = len(order) // self.batch
        for step in range(steps):
            batch = self.images[order[step * self.batch : (step + 1) * self.batch]]
            loss, norm = self._step(batch, self.epoch * steps + step, self.config.epochs * steps)
            losses.append(loss)
            norms.append(norm)
        self._log(torch.stack(losses).mean().item(), torch.stack(norms).mean().item())
        self.minutes += (time.perf_counter() - start) / 60
        return self.history[-1]["loss"]

    def _step(self, batch, step, steps):
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_with_warmup(step, steps, self.config.learning_rate)
        with autocast(self.device):
            loss = self.method.loss(batch, self.view, self.generator)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), 5.0)
        self.optimizer.step()
        if hasattr(self.method, "after_step"):  # momentum teachers and queues
            self.method.after_step(step, steps)
        return loss.detach(), norm

    def _log(self, loss, norm):
        self.epoch += 1
        deviation = self._deviation()
        if not np.isfinite([loss, deviation]).all():
            what = "feature deviation" if np.isfinite(loss) else "loss"
            raise RunError(
                f"{self.config.method}: the {what} is not finite in epoch {self.epoch}. "
                f"Lower learning_rate (now {self.config.learning_rate}) or look for damaged images."
            )
        self.history.append(
            {"epoch": self.epoch, "loss": loss, "feature_deviation": deviation, "gradient_norm": norm}
        )

    @torch.no_grad()
    def _deviation(self) -> float:
        """Mean deviation of normalised features over images: near 0 means collapse."""
        self.method.eval()
        features = self.method.encoder(self.standardise(self.images[: self.batch]))  # [batch, width]
        features = torch.nn.functional.normalize(features.float(), dim=1)
        return (features.std(0) * features.shape[1] ** 0.5).mean().item()

    def _identity(self):
        facts = {"seed": self.seed, "images": self.fingerprint, "device": self.device.type}
        facts |= {"modality": self.modality, "options": asdict(self.method.config)}
        return {**asdict(self.config), **facts}

    def save(self, path):
        if path is None:
            return
        state = {
            "identity": self._identity(), "method": self.method.state_dict(),
            "optimizer": self.optimizer.state_dict(), "generator": self.generator.get_state(),
            "epoch": self.epoch, "history": self.history, "minutes": self.minutes,
        }  # fmt: skip
        save_checkpoint(path, state)

    def resume(self, path):
        if path is None or not Path(path).exists():
            return
        state = load_checkpoint(path)
        if state.get("identity") != self._identity():
            raise UsageError(
                f"{path}: this checkpoint belongs to another configuration, seed, pool or device. "
                "Name another file, or remove it to start again."
            )
        self.method.load_state_dict(state["method"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.epoch, self.history, self.minutes = state["epoch"], state["history"], state["minutes"]

    def result(self) -> Pretrained:
        require_finite(self.method, self.config.method)
        calibrate_normalisation(self.method.encoder, self.images, self.standardise)
        return Pretrained(self.method.encoder.cpu().eval(), self.standardise, self.history, self.minutes)
