"""What one training step costs: speed, memory and an estimate of the energy."""

import time

import pandas as pd
import torch

from medssl import encoders, ssl
from medssl.augmentation import augment, policy_for
from medssl.book.results import Results
from medssl.book.wording import show_table
from medssl.errors import UsageError
from medssl.figures.style import display_name

__all__ = ["energy", "report_steps", "step_costs", "steps_table"]

DEPTH = 16  # side of the volumes for methods that need volumes


def energy(minutes: float, watts: float) -> float:
    """Return watt-hours of a time at a constant power.

    Examples
    --------
    >>> energy(30, 100)
    50.0
    """
    return watts * minutes / 60


def step_costs(names, side: int, batch: int, repeats: int = 3, seed: int = 0) -> pd.DataFrame:
    """Take training steps of methods on random images and count what they cost.

    Parameters
    ----------
    names : iterable of str
        Keys of `medssl.ssl.METHODS`.
    side, batch, repeats, seed : int
        Side of the images in pixels, images of a step, timed steps after one that warms up, and the seed.

    Returns
    -------
    DataFrame
        One row a method: `method`, `dimensions`, `encoder_parameters`, `parameters` (trained ones, the
        encoder's included), `fixed` (numbers in teachers, queues and other state), `kept_bytes` (what one
        image leaves in memory between the forward and the backward pass), `images_per_second` (of processor
        time, the fastest step; a second of two threads counts twice).

    Notes
    -----
    The encoder is the small convolutional network; methods that need volumes get its form for volumes and
    cubes of voxels. DiRA is counted in its last stage, which has all three terms.
    """
    return pd.DataFrame([_step(name, side, batch, repeats, seed) for name in names])


def _step(name, side, batch, repeats, seed):
    torch.manual_seed(seed)
    method, images = _method(name, side, batch)
    if name == "dira":
        method.stage.fill_(3)
    generator = torch.Generator().manual_seed(seed)
    policy = policy_for("xray", "pretrain")

    def view(pixels):
        return augment(pixels, policy, generator) if pixels.ndim == 4 else pixels

    beside = {"covariate": torch.arange(float(batch))} if "covariate" in getattr(method, "needs", ()) else {}

    def loss():
        return method.loss(images, view, generator, **beside)

    kept = _kept_bytes(method, loss)
    trained = sum(each.numel() for each in method.parameters() if each.requires_grad)
    state = [*method.parameters(), *method.buffers()]
    return {
        "method": name, "dimensions": images.ndim - 2,
        "encoder_parameters": sum(each.numel() for each in method.encoder.parameters()),
        "parameters": trained, "fixed": sum(each.numel() for each in state) - trained,
        "kept_bytes": kept / batch, "images_per_second": batch / _seconds(method, loss, repeats),
    }  # fmt: skip


def _method(name, side, batch):
    try:
        return ssl.build(name, encoders.build("small_cnn")), torch.rand(batch, 1, side, side)
    except UsageError:  # of volumes alone
        method = ssl.build(name, encoders.build("small_cnn_3d"))
        return method, torch.rand(batch, 1, DEPTH, DEPTH, DEPTH)


def _kept_bytes(method, loss) -> int:
    """Bytes that the forward pass keeps for the backward pass, weights and repeats of one tensor left out."""
    weights = {each.untyped_storage().data_ptr() for each in method.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        loss().backward()
    return sum(kept.values())


def _seconds(method, loss, repeats) -> float:
    optimiser = torch.optim.AdamW([each for each in method.parameters() if each.requires_grad], 1e-4)
    times = []
    for _ in range(repeats + 1):
        start = time.process_time()  # other work on the machine must not count
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()
        times.append(time.process_time() - start)
    return max(min(times[1:]), 1e-6)


def steps_table(steps: pd.DataFrame, watts: float):
    """Return the table of step costs as a reader wants it; energy is for a million images."""
    minutes = 1e6 / steps["images_per_second"] / 60
    shown = {
        "method": steps["method"].map(display_name),
        "axes": steps["dimensions"].map("{}-D".format),
        "trained numbers": steps["parameters"].map("{:,}".format),
        "of them the encoder": steps["encoder_parameters"].map("{:,}".format),
        "teachers, queues, state": steps["fixed"].map("{:,}".format),
        "kB kept for an image": (steps["kept_bytes"] / 1000).map("{:,.0f}".format),
        "images a processor second": steps["images_per_second"].map("{:,.0f}".format),
        "processor minutes for a million images": minutes.map("{:,.0f}".format),
        "Wh for a million images": energy(minutes, watts).map("{:,.0f}".format),
    }
    return show_table(pd.DataFrame(shown))


def report_steps(results: Results, steps: pd.DataFrame, watts: float, *, cell: str) -> None:
    """Add the extremes of memory and speed over the methods for images, and the assumed watts."""
    flat = steps[steps["dimensions"] == 2]
    ends = {
        "slowest": flat.loc[flat["images_per_second"].idxmin()],
        "fastest": flat.loc[flat["images_per_second"].idxmax()],
        "leanest": flat.loc[flat["kept_bytes"].idxmin()],
        "hungriest": flat.loc[flat["kept_bytes"].idxmax()],
    }
    for key, row in ends.items():
        results.add(key, float(row["images_per_second"]), text=display_name(row["method"]), cell=cell)
    spread = ends["fastest"]["images_per_second"] / ends["slowest"]["images_per_second"]
    results.add("speed_spread", float(spread), text=f"{spread:.1f}", cell=cell)
    memory = ends["hungriest"]["kept_bytes"] / ends["leanest"]["kept_bytes"]
    results.add("memory_spread", float(memory), text=f"{memory:.1f}", cell=cell)
    results.add("methods", len(steps), cell=cell)
    results.add("watts", float(watts), text=f"{watts:g} W", cell=cell)
