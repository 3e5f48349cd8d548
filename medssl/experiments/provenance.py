"""What made a result: code, data, versions and device."""

import hashlib
import os
import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import numpy as np
import torch

import medssl

__all__ = ["code_sha256", "commit", "data_sha256", "device_facts", "versions"]

# data sources are not among them: the images themselves are hashed
_PARTS = (
    "augmentation", "encoders", "evaluation", "ssl", "training", "experiments/arms.py", "experiments/cell.py",
    "experiments/corruptions.py", "experiments/volumes.py",
)  # fmt: skip
_LIBRARIES = ("torch", "numpy", "scikit-learn", "monai")


@cache
def code_sha256() -> str:
    """Return one hash over the source that decides a result."""
    root = Path(medssl.__file__).parent
    total = hashlib.sha256()
    for part in _PARTS:
        for path in [root / part] if part.endswith(".py") else sorted((root / part).rglob("*.py")):
            total.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes())
    return total.hexdigest()


@cache
def commit() -> str:
    """Return the commit of the checkout, with "+changes" when it is not clean, or "unknown"."""
    root = Path(medssl.__file__).parent

    def git(*words):
        return subprocess.run(
            ["git", *words], cwd=root, capture_output=True, text=True, timeout=10, check=True
        ).stdout.strip()

    try:
        changes = "+changes" if git("status", "--porcelain", "--", ".") else ""
        return git("rev-parse", "HEAD") + changes
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def data_sha256(*datasets) -> str:
    """Return one hash over images and labels of the given splits, in order."""
    total = hashlib.sha256()
    for dataset in datasets:
        for array in (dataset.images, dataset.labels):
            total.update(f"{array.dtype}{array.shape}".encode())
            total.update(np.ascontiguousarray(array).tobytes())
    return total.hexdigest()


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on."""
    found = {"medssl": medssl.__version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _LIBRARIES}


def device_facts(device: torch.device) -> dict:
    """Return the kind and name of the device."""
    if device.type == "cuda":
        return {"kind": "cuda", "name": torch.cuda.get_device_name(device)}
    return {"kind": "cpu", "name": _processor(), "cores": os.cpu_count()}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
