"""Start from weights other than random ones: any local checkpoint, or weights from ImageNet.

Nothing is left out in silence: what does not fit is an error that lists each key, or, when the caller allows
it, a line of the report.

    initialise(encoder, "encoder.pt")
    initialise(encoder, "someone_elses.pt", strict=False).share
    initialise(encoders.build("resnet18_large_stem"), imagenet("resnet18_large_stem"), grey="sum")
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch

from medssl.errors import DataError, UsageError
from medssl.training._imagenet import imagenet
from medssl.training._weights import read_weights

__all__ = ["Report", "imagenet", "initialise"]

# what stands before the names of an encoder's weights
_PARTS = ("module", "model", "backbone", "encoder")
_INNER = "network."  # the encoders that wrap a network of MONAI have it; nobody else's checkpoint does
_COUNTER = "num_batches_tracked"  # no weight: old checkpoints lack it


@dataclass(frozen=True)
class Report:
    """What became of the weights of a checkpoint.

    Parameters
    ----------
    loaded, missing : tuple of str
        Names in the encoder that were and were not found.
    unexpected : tuple of str
        Names under the prefix that the encoder does not have.
    mismatched : tuple of (str, tuple of int, tuple of int)
        Name, shape in the checkpoint and shape in the encoder.
    summed : tuple of str
        Those of the loaded whose three input channels were summed.
    outside : tuple of str
        Keys that do not begin with the prefix: heads, teachers and other parts that are no encoder.
    prefix : str
        What stood before the encoder's names.
    share : float
        Loaded values divided by all values of the encoder, running statistics included.
    """

    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    summed: tuple[str, ...]
    outside: tuple[str, ...]
    prefix: str
    share: float

    def problems(self) -> list[str]:
        """Return a phrase for each key that does not fit."""
        shapes = [f"{key} has shape {given}, expected {own}" for key, given, own in self.mismatched]
        missing = [f"missing {key}" for key in self.missing]
        return missing + [f"unexpected {key}" for key in self.unexpected] + shapes


def initialise(
    encoder: torch.nn.Module,
    path: str | Path | Mapping[str, torch.Tensor],
    *,
    strict: bool = True,
    prefix: str = "",
    grey: str | None = None,
) -> Report:
    """Load the weights of a checkpoint into `encoder`, in place and as a whole or not at all.

    Parameters
    ----------
    encoder : torch.nn.Module
        See `medssl.encoders`.
    path : path or mapping
        A file of `torch.save` with a state dict, bare or under "state_dict", "model", "encoder" or "method",
        or the state dict itself. Only tensors and plain values are read, no code.
    strict : bool
        Whether a missing, unexpected or misshapen key is an error.
    prefix : str
        What stands before the encoder's names, such as "teacher.0."; by default the chain of "module.",
        "model.", "backbone." and "encoder." under which most of the encoder's names are found.
        Keys that do not begin with it are other parts of the model, which the report names.
    grey : str, optional
        "sum" adds up the input channels of a first convolution for colour images, which is exact for a grey
        image repeated in three channels; otherwise such a convolution has the wrong shape.

    Returns
    -------
    Report

    Raises
    ------
    UsageError
        `grey` is neither None nor "sum".
    DataError
        The file cannot be read or holds no weights; with `strict`, keys do not fit; a weight is not finite;
        or no weight at all could be loaded. The encoder then keeps the weights that it had.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> source = {f"module.encoder.{key}": value for key, value in SmallCNN().state_dict().items()}
    >>> report = initialise(SmallCNN(), source)
    >>> report.prefix, report.share
    ('module.encoder.', 1.0)
    """
    if grey not in (None, "sum"):
        raise UsageError(f"grey must be 'sum' or None, got {grey!r}.")
    name = "the state dict" if isinstance(path, Mapping) else str(path)
    given, own = read_weights(path, name), encoder.state_dict()
    prefix = _prefix(given, own, prefix, name)
    chosen, report = _match(_renamed(given, own, prefix), own, grey, prefix, _outside(given, prefix))
    if strict and report.problems():
        raise DataError(
            f"{name}: weights do not fit the encoder: {'; '.join(report.problems())}. "
            "Choose the encoder that they were made for, or allow it with strict=False."
        )
    _check(chosen, report, name)
    encoder.load_state_dict(chosen, strict=False)
    return report


def _prefix(given, own, prefix, name) -> str:
    """Return the prefix with its dot, or the one under which most of the encoder's names are found."""
    if prefix:
        prefix = prefix.rstrip(".") + "."
        if not any(key.startswith(prefix) for key in given):
            heads = sorted({key.partition(".")[0] for key in given})
            raise DataError(f"{name}: no key begins with {prefix!r}; keys begin with {', '.join(heads)}.")
        return prefix
    candidates = dict.fromkeys(start for key in given for start in _starts(key))
    return max(candidates, key=lambda start: len(_renamed(given, own, start).keys() & own.keys()))


def _starts(key) -> Iterator[str]:
    """Yield the empty prefix and each chain of the usual parts at the head of a key."""
    start = ""
    yield start
    for part in key.split("."):
        if part not in _PARTS:
            return
        start += part + "."
        yield start


def _renamed(given, own, prefix) -> dict[str, torch.Tensor]:
    """Return what stands under the prefix by the encoder's names."""
    names = {key: key.removeprefix(prefix) for key in given if key.startswith(prefix)}
    return {
        _INNER + name if name not in own and _INNER + name in own else name: given[key]
        for key, name in names.items()
    }


def _outside(given, prefix) -> tuple[str, ...]:
    return tuple(key for key in given if not key.startswith(prefix))


def _match(found, own, grey, prefix, outside) -> tuple[dict[str, torch.Tensor], Report]:
    """Return the tensors that fit the encoder, and the report."""
    summed = [key for key in found.keys() & own.keys() if grey and _is_colour(found[key], own[key])]
    found |= {key: found[key].sum(1, keepdim=True) for key in summed}
    both = [key for key in own if key in found]
    chosen = {key: found[key] for key in both if found[key].shape == own[key].shape}
    return chosen, Report(
        loaded=tuple(chosen),
        missing=tuple(key for key in own if key not in found and not key.endswith(_COUNTER)),
        unexpected=tuple(key for key in found if key not in own),
        mismatched=tuple(
            (key, tuple(found[key].shape), tuple(own[key].shape)) for key in both if key not in chosen
        ),
        summed=tuple(sorted(summed)),
        outside=outside,
        prefix=prefix,
        share=_values(chosen) / _values(own),
    )


def _is_colour(given, own) -> bool:
    """Whether a convolution has three input channels where the encoder's has one, and fits otherwise."""
    if given.ndim != own.ndim or own.ndim < 4 or (given.shape[1], own.shape[1]) != (3, 1):
        return False
    return given.shape[0] == own.shape[0] and given.shape[2:] == own.shape[2:]


def _values(weights) -> int:
    return sum(value.numel() for key, value in weights.items() if not key.endswith(_COUNTER))


def _check(chosen, report, name) -> None:
    if not report.share:
        raise DataError(
            f"{name}: no weight fits the encoder: {'; '.join(report.problems())}. "
            "Choose the encoder that they were made for, or name the prefix of its keys."
        )
    broken = [key for key, value in chosen.items() if not value.isfinite().all()]
    if broken:
        raise DataError(f"{name}: not finite: {', '.join(broken)}. Name another file.")
