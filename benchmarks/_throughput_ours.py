"""This project's loop: what `medssl.pretrain` does with a batch, and what the model costs alone."""

import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
import torch

from medssl.errors import UsageError
from medssl.experiments.provenance import device_facts
from medssl.ssl import METHODS
from medssl.training import PretrainConfig
from medssl.training.tensors import autocast

__all__ = [
    "CASES", "PACKAGES", "OurRun", "Speed", "every_method", "machine", "measure", "model_alone", "prepare",
    "whole_step",
]  # fmt: skip

PACKAGES = ("torch", "numpy")
CASES = (("small_cnn", 28, 256), ("small_cnn", 64, 256), ("resnet18", 28, 32))  # encoder, side, batch
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Speed:
    """Median images a second of the whole step and of the model alone, and the number of repeats."""

    whole: float
    alone: float
    repeats: int


class OurRun:
    """A contender: both steps in turns, so that other work on the machine meets both."""

    def __init__(self, method: str, side: int, device: str, batch: int = 256):
        self.run, self.images = prepare(method, "small_cnn", side, batch, torch.device(device))

    def turn(self, count: int) -> dict[str, float]:
        """Take each step `count` times and return images a second of both."""
        times = [
            [seconds_of(action, self.run, self.images) for action in (whole_step, model_alone)]
            for _ in range(count)
        ]
        whole, alone = (count * len(self.images) / sum(column) for column in zip(*times, strict=True))
        return {"whole": whole, "alone": alone}


def prepare(method: str, encoder: str, side: int, batch: int, device: torch.device = CPU):
    """Return a pretraining run of the package on random images, and one batch of it."""
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side), dtype=np.uint8)
    config = PretrainConfig(method=method, encoder=encoder, batch_size=batch)
    beside = {"covariate": np.arange(batch, dtype=float)} if method == "y_aware" else {}
    run = sys.modules["medssl.training.pretrain"]._Run(images, "xray", config, 0, device, **beside)
    run.method.train()
    return run, run.images


def whole_step(run, images) -> None:
    """Draw the batch from the pool and take one training step as `medssl.pretrain` does."""
    order = torch.randperm(len(images), generator=run.generator, device=images.device)
    run._step(images[order], 50, 100, **run._beside(order, None, slice(None)))


def model_alone(run, images) -> None:
    """Forward and backward pass without augmentation."""
    beside = run._beside(torch.arange(len(images), device=images.device), None, slice(None))
    with autocast(run.device):
        loss = run.method.loss(images, run.standardise, run.generator, **beside)
    run.optimizer.zero_grad()
    loss.backward()


def seconds_of(action, run, images) -> float:
    """Wall-clock seconds of one call, the GPU's work included."""
    start = time.perf_counter()
    action(run, images)
    if run.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


def measure(method: str, encoder: str, side: int, batch: int, seconds: float, device=CPU) -> Speed:
    """Take both steps in turns for `seconds`, at least three times after one that warms up."""
    run, images = prepare(method, encoder, side, batch, device)
    times = []
    begin = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begin < seconds:
        times.append([seconds_of(action, run, images) for action in (whole_step, model_alone)])
    whole, alone = (batch / statistics.median(column) for column in zip(*times[1:], strict=True))
    return Speed(whole, alone, len(times) - 1)


def machine(device: torch.device = CPU, threads: int | None = None) -> str:
    """Describe the processor, threads and version of torch in one line."""
    facts, threads = device_facts(device), threads or torch.get_num_threads()
    cores = f", {facts['cores']} cores" if "cores" in facts else ""
    return f"{facts['name']}{cores}, {threads} threads, torch {torch.__version__}"


def every_method(seconds: float, device: torch.device):
    """Yield (method, encoder, side, batch, speed) for all methods; a reason where there is no speed."""
    for encoder, side, batch in CASES:
        for method in METHODS:
            try:
                yield method, encoder, side, batch, measure(method, encoder, side, batch, seconds, device)
            except UsageError as error:  # of volumes alone, or for other sizes
                yield method, encoder, side, batch, str(error)
