"""Images to tensors, devices, precision and seeds: what both loops share."""

import contextlib
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from medssl.errors import RunError, UsageError

__all__ = [
    "Standardisation",
    "autocast",
    "cosine_with_warmup",
    "fingerprint",
    "pick_device",
    "pieces",
    "require_finite",
    "seed_everything",
    "to_tensor",
]


@dataclass(frozen=True)
class Standardisation:
    """Mean and deviation of the pretraining pool, on the 0..1 scale.

    Natural-image statistics have no meaning for a single grey channel, so each pool brings its own.

    Examples
    --------
    >>> Standardisation.of(np.full((2, 4, 4), 51, np.uint8)).mean
    0.2
    """

    mean: float
    deviation: float

    @classmethod
    def of(cls, images: np.ndarray) -> "Standardisation":
        """Measure uint8 images of any shape.

        A memory-mapped file is counted in pieces, exactly; an array in memory is measured as a whole in
        single precision, which may differ from it in the last of the six decimals.
        """
        if isinstance(images, np.memmap):
            return cls._counted(images)
        values = images.astype(np.float32) / 255
        return cls(round(float(values.mean()), 6), round(max(float(values.std()), 1e-3), 6))

    @classmethod
    def _counted(cls, images):
        parts = pieces(images, 2**20)  # small, because bincount makes eight bytes of each
        counts = sum(np.bincount(part.ravel(), minlength=256) for part in parts)
        levels, shares = np.arange(256) / 255, counts / counts.sum()
        mean = shares @ levels
        deviation = math.sqrt(shares @ (levels - mean) ** 2)
        return cls(round(float(mean), 6), round(max(deviation, 1e-3), 6))

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Map values in 0..1 to mean 0 and deviation 1."""
        return (images - self.mean) / self.deviation


def to_tensor(images: np.ndarray, device: torch.device | str = "cpu") -> torch.Tensor:
    """Return uint8 images [n, height, width] as float32 [n, 1, height, width] in 0..1 on `device`.

    Volumes [n, depth, height, width] become [n, 1, depth, height, width].

    Examples
    --------
    >>> to_tensor(np.full((2, 4, 4), 255, np.uint8)).shape
    torch.Size([2, 1, 4, 4])
    """
    images = np.require(images, requirements="W")  # torch warns of memory that it may not write
    return torch.from_numpy(images)[:, None].to(device).float().div_(255)


def pick_device(name: str | None = None) -> torch.device:
    """Return the named device, or the GPU where there is one.

    Raises
    ------
    UsageError
        The device is unknown or absent; nothing falls back to the processor without a word.

    Examples
    --------
    >>> pick_device("cpu").type
    'cpu'
    """
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise UsageError(f"unknown device {name!r}: write 'cpu' or 'cuda'.") from error
    if device.type not in ("cpu", "cuda"):
        raise UsageError(f"device {name!r} is not supported: write 'cpu' or 'cuda'.")
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UsageError(
            "device 'cuda' was asked for but torch finds no GPU: write 'cpu', or see medssl doctor."
        )
    return device


def seed_everything(seed: int, device: torch.device) -> torch.Generator:
    """Seed torch's global state (weights) and return a generator on `device` (order and views)."""
    if seed < 0:
        raise UsageError(f"seed must be 0 or more, got {seed}.")
    torch.manual_seed(seed)
    return torch.Generator(device=device).manual_seed(seed)


def pieces(images: np.ndarray, most_bytes: int = 2**24) -> Iterator[np.ndarray]:
    """Yield copies in memory of consecutive rows of a memory-mapped array, each of at most `most_bytes`.

    A single row that is larger comes alone.

    Examples
    --------
    >>> [len(part) for part in pieces(np.zeros((5, 4, 4), np.uint8), most_bytes=32)]
    [2, 2, 1]
    """
    rows = max(most_bytes // max(images[:1].nbytes, 1), 1)
    for start in range(0, len(images), rows):
        yield np.array(images[start : start + rows])


def fingerprint(*arrays: np.ndarray) -> int:
    """Return a checksum of arrays: a checkpoint must not continue on other images.

    Memory-mapped arrays are read in pieces; their checksum is that of the same array in memory.
    """
    total = 0
    for array in arrays:
        for part in pieces(array) if isinstance(array, np.memmap) else (array,):
            total = zlib.crc32(np.ascontiguousarray(part), total)
    return total


def require_finite(model: torch.nn.Module, name: str) -> None:
    """Raise `RunError` when a weight is not finite: no loss follows the last step to show it."""
    if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
        raise RunError(f"{name}: the weights are not finite after training. Lower learning_rate.")


def autocast(device: torch.device):
    """Use bfloat16 on a GPU; full precision on a processor, where bfloat16 is slower."""
    if device.type == "cuda":
        return torch.autocast("cuda", torch.bfloat16)
    return contextlib.nullcontext()


def cosine_with_warmup(step: int, steps: int, peak: float, warmup: float = 0.1) -> float:
    """Return the learning rate of a step: linear rise, then half a cosine to zero.

    Examples
    --------
    >>> [round(cosine_with_warmup(step, 10, 1.0), 3) for step in (0, 1, 9)]
    [1.0, 1.0, 0.03]
    """
    rise = max(int(steps * warmup), 1)
    if step < rise:
        return peak * (step + 1) / rise
    return peak * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(steps - rise, 1)))
