"""Encoders: one file an architecture, all with the same two methods.

Every encoder has `features` (feature map), `forward` (pooled vector) and `width` (length of that vector).
"""

from medssl.encoders.resnet import ResNet18
from medssl.encoders.small_cnn import SmallCNN
from medssl.errors import UsageError

__all__ = ["ENCODERS", "ResNet18", "SmallCNN", "build"]

ENCODERS = {"small_cnn": SmallCNN, "resnet18": ResNet18}


def build(name: str):
    """Return a randomly initialised encoder for single-channel images.

    Parameters
    ----------
    name : str
        A key of `ENCODERS`.

    Returns
    -------
    torch.nn.Module
        Its weights are drawn from the global torch generator: seed it first.

    Raises
    ------
    UsageError
        The name is unknown.

    Examples
    --------
    >>> build("small_cnn").width
    128
    """
    if name not in ENCODERS:
        raise UsageError(f"unknown encoder {name!r}: choose one of {', '.join(ENCODERS)}.")
    return ENCODERS[name]()
