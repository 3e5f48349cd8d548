"""Images a second that pretraining takes in, beside what the model alone could take in.

Run it from the repository:

    .venv/bin/python benchmarks/pretraining_throughput.py
    .venv/bin/python benchmarks/pretraining_throughput.py --seconds 20 --threads 1

"whole step" is what `medssl.pretrain` does with a batch: views, forward pass, backward pass, clipping and
optimiser.
"model alone" is forward and backward pass on the same batch without augmentation, the ceiling for this model.
Both are measured in turns, so that other work on the machine meets both, and the median is shown.
"share" is the first divided by the second: what is missing to 1 is the price of augmentation and optimiser.
"""

import argparse
import statistics
import sys
import time
from dataclasses import dataclass

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from medssl.experiments.provenance import device_facts
from medssl.ssl import METHODS
from medssl.training import PretrainConfig

CASES = (("small_cnn", 28, 256), ("small_cnn", 64, 256), ("resnet18", 28, 32))  # encoder, side, batch
CPU = torch.device("cpu")


@dataclass(frozen=True)
class Speed:
    """Median images a second of the whole step and of the model alone, and the number of repeats."""

    whole: float
    alone: float
    repeats: int


def prepare(method: str, encoder: str, side: int, batch: int):
    """Return a pretraining run of the package on random images, and one batch of it."""
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side), dtype=np.uint8)
    config = PretrainConfig(method=method, encoder=encoder, batch_size=batch)
    run = sys.modules["medssl.training.pretrain"]._Run(images, "xray", config, 0, CPU)
    run.method.train()
    return run, run.images


def whole_step(run, images) -> None:
    """Take one training step as `medssl.pretrain` does."""
    run._step(images, 50, 100)


def model_alone(run, images) -> None:
    """Forward and backward pass without augmentation."""
    loss = run.method.loss(images, run.standardise, run.generator)
    run.optimizer.zero_grad()
    loss.backward()


def seconds_of(action, *arguments) -> float:
    """Wall-clock seconds of one call."""
    start = time.perf_counter()
    action(*arguments)
    return time.perf_counter() - start


def measure(method: str, encoder: str, side: int, batch: int, seconds: float) -> Speed:
    """Take both steps in turns for `seconds`, at least three times after one that warms up."""
    run, images = prepare(method, encoder, side, batch)
    times = []
    begin = time.perf_counter()
    while len(times) < 4 or time.perf_counter() - begin < seconds:
        times.append([seconds_of(action, run, images) for action in (whole_step, model_alone)])
    whole, alone = (batch / statistics.median(column) for column in zip(*times[1:], strict=True))
    return Speed(whole, alone, len(times) - 1)


def machine() -> str:
    """Describe the processor, threads, versions and load in one line."""
    facts, threads = device_facts(CPU), torch.get_num_threads()
    return (
        f"{facts['name']}, {facts['cores']} cores, {threads} threads, torch {torch.__version__}, "
        f"load {psutil.getloadavg()[0]:.1f} at the start"
    )


def main() -> None:
    """Measure every method with every encoder and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each row")
    parser.add_argument(
        "--threads", type=int, default=None, help="threads of torch; its own choice if not given"
    )
    given = parser.parse_args()
    if given.threads is not None:
        torch.set_num_threads(given.threads)
    table = Table(title=machine(), title_justify="left")
    for name in ("method", "encoder", "pixels", "batch", "whole step", "model alone", "share", "repeats"):
        table.add_column(name, justify="left" if name in ("method", "encoder") else "right")
    for encoder, side, batch in CASES:
        for method in METHODS:
            speed = measure(method, encoder, side, batch, given.seconds)
            share = f"{speed.whole / speed.alone:.2f}"
            speeds = (f"{speed.whole:.0f}", f"{speed.alone:.0f}", share, str(speed.repeats))
            table.add_row(method, encoder, str(side), str(batch), *speeds)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)
    print("whole step and model alone: images a second, median")


if __name__ == "__main__":
    main()
