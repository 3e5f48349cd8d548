"""Where the images of a pool live: on the device, or in a file from which batches are streamed."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
import torch

from medssl.errors import DataError, UsageError
from medssl.training.tensors import pieces, to_tensor

__all__ = ["Streamed", "check_crop", "check_pool", "hold", "in_memory_format", "open_pool"]

_SHARE = 0.5  # of the free memory that a pool may take: the model and its activations need the rest


@dataclass(frozen=True)
class Streamed:
    """A pool that stays where it is; what is asked for comes to the device as float32 in 0..1.

    It is indexed and split as the tensor of a pool that is kept on the device, with the same bits.

    Parameters
    ----------
    images : ndarray of uint8
        Shape [n, height, width] or [n, depth, height, width]; a memory-mapped file is read a batch at a time.
    target : torch.device
        Where batches go.

    Examples
    --------
    >>> pool = Streamed(np.full((4, 8, 8), 255, np.uint8), torch.device("cpu"))
    >>> pool[torch.tensor([3, 1])].shape, pool[:3].max().item()
    (torch.Size([2, 1, 8, 8]), 1.0)
    """

    images: np.ndarray
    target: torch.device
    device = torch.device("cpu")  # of the pool, and so of rows that index it

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: torch.Tensor | slice) -> torch.Tensor:
        if isinstance(rows, slice):
            return self._sent(self.images[rows])
        rows = rows.cpu().numpy()
        order = np.argsort(rows)  # a file is read forwards
        batch = self._sent(self.images[rows[order]])
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        return batch[torch.from_numpy(back).to(self.target)]

    def split(self, size: int) -> Iterator[torch.Tensor]:
        """Yield the pool in order, `size` images at a time."""
        return (self[start : start + size] for start in range(0, len(self), size))

    def _sent(self, images):
        part = torch.from_numpy(np.array(images))[:, None]  # a copy in memory, [batch, 1, ...]
        if self.target.type == "cuda":
            part = part.pin_memory().to(self.target, non_blocking=True)
        return part.float().div_(255)


def open_pool(images: np.ndarray | str | Path) -> np.ndarray:
    """Return the images of a pool, memory-mapped where a path is given.

    Parameters
    ----------
    images : ndarray of uint8 or path
        Shape [n, height, width] or [n, depth, height, width], n at least 2; or an .npy file of it.

    Raises
    ------
    DataError
        The file is missing or is no .npy file.
    UsageError
        The images have another type or shape.
    """
    if isinstance(images, str | Path):
        images = _mapped(Path(images))
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise UsageError(
            f"images must be uint8 [n, height, width], or [n, depth, height, width] for volumes, "
            f"got {images.dtype} {list(images.shape)}."
        )
    if len(images) < 2:
        raise UsageError(f"pretraining needs at least 2 images, got {len(images)}.")
    return images


def _mapped(path):
    try:
        return np.lib.format.open_memmap(path, mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise DataError(
            f"{path}: not readable as an .npy file ({error}). Write it with numpy.save."
        ) from error


def check_pool(images: np.ndarray, dimensions: int, encoder: str) -> None:
    """Raise `UsageError` when images do not have the number of dimensions that the encoder takes."""
    if images.ndim - 1 != dimensions:
        shape = "[n, depth, height, width]" if dimensions == 3 else "[n, height, width]"
        raise UsageError(
            f"encoder {encoder} takes {dimensions}-D images, {shape}, got {list(images.shape)}: "
            f"choose a {images.ndim - 1}-D encoder, or give other images."
        )


def check_crop(crop: tuple[int, int, int] | None, images: np.ndarray) -> None:
    """Raise `UsageError` when a crop is not three sides that fit into the volumes."""
    if crop is None:
        return
    if images.ndim != 4 or len(crop) != 3:
        raise UsageError("crop is for volumes: three sides in voxels, (depth, height, width).")
    if not all(1 <= side <= whole for side, whole in zip(crop, images.shape[1:], strict=True)):
        raise UsageError(f"crop {tuple(crop)} does not fit into volumes of {images.shape[1:]} voxels.")


def hold(
    images: np.ndarray, device: torch.device, keep_on_device: bool | None = None
) -> "torch.Tensor | Streamed":
    """Return the pool as one tensor on the device, or as a stream from where it is.

    Parameters
    ----------
    images : ndarray of uint8
        Shape [n, height, width] or [n, depth, height, width].
    device : torch.device
    keep_on_device : bool, optional
        None: keep it when its float32 values take at most half of the free memory of the device.

    Returns
    -------
    Tensor or Streamed
        Both give float32 [batch, 1, ...] in 0..1 on the device, with the same bits.

    Examples
    --------
    >>> hold(np.zeros((4, 8, 8), np.uint8), torch.device("cpu")).shape
    torch.Size([4, 1, 8, 8])
    """
    if keep_on_device is None:
        keep_on_device = 4 * images.size <= _SHARE * _free_bytes(device)
    if not keep_on_device:
        return Streamed(images, device)
    if not isinstance(images, np.memmap):
        return to_tensor(images, device)
    whole, start = torch.empty(len(images), 1, *images.shape[1:], device=device), 0
    for part in pieces(images):  # a copy of the whole file in memory would be one too many
        whole[start : start + len(part)] = to_tensor(part, device)
        start += len(part)
    return whole


def in_memory_format(method: torch.nn.Module, dimensions: int, device: torch.device) -> torch.nn.Module:
    """Move a method to the device with its channels last in memory, which convolutions are faster with.

    Examples
    --------
    >>> layer = in_memory_format(torch.nn.Conv3d(2, 2, 3), 3, torch.device("cpu"))
    >>> layer.weight.is_contiguous(memory_format=torch.channels_last_3d)
    True
    """
    if dimensions == 2:
        return method.to(device, memory_format=torch.channels_last)
    method = method.to(device)
    for weight in method.parameters():
        if weight.ndim == 5:  # what a method keeps in four dimensions has no such format
            weight.data = weight.data.contiguous(memory_format=torch.channels_last_3d)
    return method


def _free_bytes(device):
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return psutil.virtual_memory().available
