"""Losses in single precision: on a GPU the loop computes in bfloat16, which is too coarse for a loss."""

import contextlib
from collections.abc import Iterator

import torch

__all__ = ["single_precision"]


@contextlib.contextmanager
def single_precision(*tensors: torch.Tensor) -> Iterator[tuple[torch.Tensor, ...]]:
    """Turn autocast off and yield the tensors in float32, or in float64 where they are.

    A cast alone would not do: autocast also rounds the inputs of a product of float32 matrices.

    Parameters
    ----------
    *tensors : Tensor
        At least one, all on one device.

    Examples
    --------
    >>> with torch.autocast("cpu", torch.bfloat16), single_precision(torch.ones(2, 2).bfloat16()) as (ones,):
    ...     print((ones @ ones).dtype)
    torch.float32
    """
    with torch.autocast(tensors[0].device.type, enabled=False):
        yield tuple(tensor.to(torch.promote_types(tensor.dtype, torch.float32)) for tensor in tensors)
