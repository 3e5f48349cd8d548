"""A light decoder in the manner of U-Net over the maps of any encoder that has `pyramid`.

Ronneberger, Fischer and Brox (2015), "U-Net: convolutional networks for biomedical image segmentation":
a coarse map is enlarged, joined with the finer map of the encoder, and convolved, level by level.
Here each level has one convolution, and the volume itself is the finest level where the encoder's first
map is coarser.
Enlarging takes the nearest voxel, which works for sides of any length; the gradient of trilinear
interpolation differs between runs on a GPU.
"""

import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError

__all__ = ["SegmentationNetwork"]

LEAST_WIDTH, MOST_WIDTH = 8, 64  # channels of a level of the decoder


class _Join(nn.Module):
    """Thin the coarse map, enlarge it, join it with the fine one, convolve."""

    def __init__(self, coarse: int, fine: int, outputs: int):
        super().__init__()
        # thinning first gives what thinning the larger map would, for an eighth of the work
        self.thin = nn.Conv3d(coarse, outputs, 1)
        self.body = nn.Sequential(
            nn.Conv3d(outputs + fine, outputs, 3, padding=1, bias=False),
            nn.InstanceNorm3d(outputs, affine=True),  # a batch has too few volumes for batch statistics
            nn.ReLU(inplace=True),
        )

    def forward(self, coarse: torch.Tensor, fine: torch.Tensor) -> torch.Tensor:
        size = fine.shape[2:]
        larger = functional.interpolate(self.thin(coarse), size)  # nearest: see the top
        return self.body(torch.cat([larger, fine], 1))


class SegmentationNetwork(nn.Module):
    """Encoder and decoder; the encoder that is passed becomes a part of it.

    Parameters
    ----------
    encoder : torch.nn.Module
        With `pyramid(x)`, which returns maps [batch, channels, depth, height, width] from fine to coarse.
    classes : int
        Number of classes, the background included.
    shape : tuple of int
        Depth, height and width of a volume: one is passed through to learn the channels of the maps.

    Raises
    ------
    UsageError
        The encoder has no `pyramid`, or the volume is too small for a second level.

    Examples
    --------
    >>> class Tiny(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.first = nn.Conv3d(1, 4, 3, 2, 1)
    ...         self.second = nn.Conv3d(4, 8, 3, 2, 1)
    ...     def pyramid(self, x):
    ...         fine = self.first(x)
    ...         return [fine, self.second(fine)]
    >>> network = SegmentationNetwork(Tiny(), 3, (8, 10, 8))
    >>> network(torch.zeros(2, 1, 8, 10, 8)).shape
    torch.Size([2, 3, 8, 10, 8])
    """

    def __init__(self, encoder: nn.Module, classes: int, shape: tuple[int, int, int]):
        super().__init__()
        if not hasattr(encoder, "pyramid") or getattr(encoder, "dimensions", 3) != 3:
            raise UsageError(
                f"{type(encoder).__name__} has no pyramid of volumes: segmentation needs an encoder such as "
                "small_cnn_3d or unet_3d."
            )
        self.encoder = encoder
        *finer, width = self._channels(shape)
        joins = []
        for channels in reversed(finer):
            outputs = min(max(channels, LEAST_WIDTH), MOST_WIDTH)
            joins.append(_Join(width, channels, outputs))
            width = outputs
        self.joins = nn.ModuleList(joins)
        self.head = nn.Conv3d(width, classes, 1)

    @torch.no_grad()
    def _channels(self, shape):
        """Return the channels of each level, fine to coarse; running statistics stay as they are."""
        self.encoder.eval()
        device = next(self.encoder.parameters()).device
        levels = self._levels(torch.zeros(1, 1, *shape, device=device))
        if any(size < 1 for level in levels for size in level.shape[2:]) or len(levels) < 2:
            raise UsageError(f"volumes of {list(shape)} voxels are too small for this encoder.")
        return [level.shape[1] for level in levels]

    def _levels(self, x):
        maps = list(self.encoder.pyramid(x))
        return maps if maps[0].shape[2:] == x.shape[2:] else [x, *maps]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map volumes [batch, 1, depth, height, width] to logits [batch, classes, depth, height, width]."""
        *finer, coarse = self._levels(x)
        for join, fine in zip(self.joins, reversed(finer), strict=True):
            coarse = join(coarse, fine)
        return self.head(coarse)
