"""Pretrain an encoder on images without labels.

    medssl pretrain phantom_xray --method simclr --epochs 5 --output encoder.pt

A pool that fits stays on the device, a larger one streams from its file; views are made on the device, a
batch at a time.
Every source of randomness is one generator whose state is in the checkpoint: resume is bit-equal.
What only watches (guards, probe) draws from generators of its own and changes no weight.
"""

import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from medssl import encoders, ssl
from medssl.augmentation import policy_for
from medssl.errors import UsageError
from medssl.files import sha256_of
from medssl.training.calibration import calibrate_normalisation
from medssl.training.checkpoint import load_checkpoint, save_checkpoint
from medssl.training.finite import first_not_finite, not_finite, save_batch
from medssl.training.guards import Guards, check_collapse, measure
from medssl.training.online_probe import OnlineProbe
from medssl.training.pool import check_crop, check_pool, hold, in_memory_format, open_pool
from medssl.training.positives import Partners, check_arguments, to_covariate
from medssl.training.preparation import Preparation
from medssl.training.pretrain_config import PretrainConfig, Pretrained
from medssl.training.tensors import (
    Standardisation,
    autocast,
    cosine_with_warmup,
    fingerprint,
    pick_device,
    require_finite,
    seed_everything,
)

__all__ = ["PretrainConfig", "Pretrained", "pretrain"]


def pretrain(
    images: np.ndarray | str | Path,
    modality: str,
    config: PretrainConfig | None = None,
    *,
    seed: int = 0,
    device: str | None = None,
    checkpoint: str | Path | None = None,
    progress: bool = False,
    guards: Guards | None = None,
    probe: tuple | None = None,
    partners: Partners | None = None,
    covariate: np.ndarray | None = None,
    initial: str | Path | None = None,
    keep_on_device: bool | None = None,
    crop: tuple[int, int, int] | None = None,
) -> Pretrained:
    """Pretrain on `images` and return the encoder.

    Parameters
    ----------
    images : ndarray of uint8 or path
        The unlabelled pool, shape [n, height, width], or [n, depth, height, width] for an encoder of volumes;
        a memory-mapped array or the path of an .npy file is never read whole into memory when it streams.
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
    guards : Guards, optional
        When the run stops by itself.
    probe : tuple, optional
        Images and labels of the validation split, and if known the group of each image, for a linear probe
        after each epoch; never test images.
    partners : Partners, optional
        Draws the image of the second view, see `medssl.training.positives`; for methods that compare views.
    covariate : ndarray, optional
        One number an image, for methods that use it.
    initial : path, optional
        Weights to start from in place of random ones, see `medssl.training.initialise`.
    keep_on_device : bool, optional
        False streams batches from `images`; the result is the same. None decides by the free memory.
    crop : tuple of int, optional
        Depth, height and width in voxels of the random part of each volume that a step sees.

    Returns
    -------
    Pretrained

    Raises
    ------
    UsageError
        Unknown method, encoder or device; a pool smaller than two images or of other dimensions than the
        encoder's; an argument that the method does not take, or lacks.
    RunError
        The loss is not finite (the batch is kept in a file), features collapsed, or the checkpoint cannot
        be written.
    DataError
        A file is damaged or belongs to another configuration.

    Examples
    --------
    >>> pool = np.random.default_rng(0).integers(0, 256, (8, 28, 28), dtype=np.uint8)
    >>> result = pretrain(pool, "xray", PretrainConfig(epochs=1, batch_size=4), device="cpu")
    >>> len(result.history)
    1
    """
    config = config or PretrainConfig()
    run = _Run(
        open_pool(images), modality, config, seed, pick_device(device),
        guards=guards, probe=None if probe is None else OnlineProbe.of(*probe), partners=partners,
        covariate=covariate, initial=initial, keep_on_device=keep_on_device, crop=crop,
    )  # fmt: skip
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
    """State of one pretraining run: everything that changes is in the checkpoint."""

    def __init__(
        self, images, modality, config, seed, device, *, guards=None, probe=None, partners=None,
        covariate=None, initial=None, keep_on_device=None, crop=None,
    ):  # fmt: skip
        self.config, self.device, self.seed, self.modality = config, device, seed, modality
        self.guards, self.probe, self.checkpoint = guards or Guards(), probe, None
        self.generator = seed_everything(seed, device)
        encoder = _encoder(config.encoder, images, crop, initial)
        method = ssl.build(config.method, encoder)
        check_arguments(config.method, method, partners, covariate, len(images))
        self.method = in_memory_format(method, images.ndim - 1, device)
        self.optimizer = torch.optim.AdamW(
            self.method.parameters(), config.learning_rate, weight_decay=config.weight_decay, foreach=True
        )
        self.standardise = Standardisation.of(images)
        self.preparation = Preparation(self.standardise, policy_for(modality, "pretrain"), crop)
        self.images = hold(images, device, keep_on_device)  # [n, 1, height, width] or [n, 1, depth, ...]
        self.partners = None if partners is None else partners.to(device)
        self.covariate = None if covariate is None else to_covariate(covariate, len(images)).to(device)
        self.facts = {"images": fingerprint(images)} | _extras(partners, self.covariate, initial, crop)
        self.batch = min(config.batch_size, len(images))
        self.look_every = 1 if device.type == "cpu" else self.guards.check_every  # a GPU waits at each look
        self.epoch, self.history, self.minutes = 0, [], 0.0

    def view(self, images):
        return self.preparation.view(images, self.generator)

    def one_epoch(self) -> float:
        """Run one epoch and return its mean loss."""
        start, losses, norms = time.perf_counter(), [], []
        self.method.train()
        order = torch.randperm(len(self.images), generator=self.generator, device=self.device)
        partners = None if self.partners is None else self.partners.draw(order, self.generator)
        order = order.to(self.images.device)  # of a streamed pool: once an epoch, not each step
        partners = None if partners is None else partners.to(self.images.device)
        steps, looked = len(order) // self.batch, 0
        for step in range(steps):
            rows = slice(step * self.batch, (step + 1) * self.batch)
            batch, beside = self._batch(order[rows]), self._beside(order, partners, rows)
            loss, norm = self._step(batch, self.epoch * steps + step, self.config.epochs * steps, **beside)
            losses.append(loss)
            norms.append(norm)
            if step + 1 in (looked + self.look_every, steps):
                self._require_finite(losses, looked, order)
                looked = step + 1
        norms = torch.stack(norms)
        self._log(torch.stack(losses).mean().item(), norms.mean().item(), norms.max().item())
        self.minutes += (time.perf_counter() - start) / 60
        return self.history[-1]["loss"]

    def _batch(self, rows):
        return self.preparation.cropped(self.images[rows], self.generator)

    def _beside(self, order, partners, rows):
        """Return what the loss takes beside images, view and generator, as far as it was given."""
        found = {} if self.covariate is None else {"covariate": self.covariate[order[rows]]}
        return found if partners is None else found | {"partner": self._batch(partners[rows])}

    def _step(self, batch, step, steps, **beside):
        for group in self.optimizer.param_groups:
            group["lr"] = cosine_with_warmup(step, steps, self.config.learning_rate)
        with autocast(self.device):
            loss = self.method.loss(batch, self.view, self.generator, **beside)
        self.optimizer.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.method.parameters(), 5.0)
        self.optimizer.step()
        if hasattr(self.method, "after_step"):  # momentum teachers and queues
            self.method.after_step(step, steps)
        return loss.detach(), norm

    def _require_finite(self, losses, start, order):
        step = first_not_finite(losses, start)
        if step is not None:
            rows, epoch = order[step * self.batch : (step + 1) * self.batch], self.epoch + 1
            facts = {"step": step, "epoch": epoch, "loss": losses[step].item()}
            kept = save_batch(self.checkpoint, self.images[rows], rows, **facts)
            raise not_finite("loss", epoch, self.config, kept)

    def _log(self, loss, norm, largest):
        self.epoch += 1
        found = measure(self.method, self.images[: self.batch], self.preparation)
        if not np.isfinite([loss, found["feature_deviation"]]).all():
            what = "feature deviation" if np.isfinite(loss) else "loss"
            raise not_finite(what, self.epoch, self.config)
        if self.probe is not None:
            at_once = self._images_at_once()
            found["probe_auc"] = self.probe.score(
                self.method.encoder, self.preparation.plain, self.device, at_once
            )
        norms = {"gradient_norm": norm, "gradient_norm_max": largest}
        self.history.append({"epoch": self.epoch, "loss": loss} | norms | found)
        check_collapse(self.history, self.guards, self.config)

    def _images_at_once(self):
        """Return how many images pass the encoder without gradients: volumes fill the memory sooner."""
        return 256 if self.images[:1].ndim == 4 else self.batch

    def _identity(self):
        facts = {"seed": self.seed, "device": self.device.type, "modality": self.modality}
        return {**asdict(self.config), **facts, "options": asdict(self.method.config), **self.facts}

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
        self.checkpoint = path
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
        plain = self.preparation.plain
        calibrate_normalisation(self.method.encoder, self.images, plain, self._images_at_once())
        return Pretrained(self.method.encoder.cpu().eval(), self.standardise, self.history, self.minutes)


def _encoder(name, images, crop, initial):
    encoder = encoders.build(name)
    check_pool(images, getattr(encoder, "dimensions", 2), name)
    check_crop(crop, images)
    if initial is not None:
        from medssl.training.initialise import initialise

        initialise(encoder, initial)
    return encoder


def _extras(partners, covariate, initial, crop):
    """Return what identifies a run beside configuration and pool, as far as it was given."""
    found = {
        "partners": None if partners is None else partners.fingerprint(),
        "covariate": None if covariate is None else fingerprint(covariate.cpu().numpy()),
        "initial": None if initial is None else sha256_of(initial),
        "crop": None if crop is None else list(crop),
    }
    return {key: value for key, value in found.items() if value is not None}
