"""Vision transformers for single-channel images of any size.

Dosovitskiy et al. (2021), "An image is worth 16x16 words": patches as tokens, layers that normalise first.
There is no class token: the pooled vector is the mean of the patch tokens.
Positions are fixed sines and cosines, so that one set of weights serves every image size.
"""

import torch
from torch import nn
from torch.nn import functional

from medssl.encoders._layers import pooled
from medssl.errors import UsageError

__all__ = ["ViTSmall", "ViTTiny", "sine_cosine_positions"]


def sine_cosine_positions(
    width: int, rows: int, columns: int, device: torch.device | str | None = None
) -> torch.Tensor:
    """Sines and cosines of row and column, at width / 4 frequencies from 1 down to nearly 1 / 10000.

    The frequencies are those of the code of the masked autoencoder (He et al. 2022, util/pos_embed.py).

    Parameters
    ----------
    width : int
        Channels, divisible by 4.
    rows, columns : int
        Sides of the grid of patches.
    device : torch.device or str, optional

    Returns
    -------
    Tensor
        Shape [width, rows, columns]: sines and cosines of the row, then those of the column.

    Raises
    ------
    UsageError
        The width is not divisible by 4.

    Examples
    --------
    >>> sine_cosine_positions(4, 1, 2).flatten(1).T.round(decimals=2).tolist()
    [[0.0, 1.0, 0.0, 1.0], [0.0, 1.0, 0.8399999737739563, 0.5400000214576721]]
    """
    if width % 4:
        raise UsageError(f"positions need a width divisible by 4, got {width}.")
    frequency = 10000.0 ** -(torch.arange(width // 4, device=device) / (width // 4))
    row, column = (torch.arange(side, device=device) * frequency[:, None] for side in (rows, columns))
    row, column = row[:, :, None].expand(-1, -1, columns), column[:, None].expand(-1, rows, -1)
    return torch.cat([row.sin(), row.cos(), column.sin(), column.cos()])


class ViTTiny(nn.Module):
    """Transformer with 192 channels, 12 layers and 3 heads on patches of 4 x 4: 5.3 million weights.

    Its patches are for images of up to 64 pixels, at which it has 256 tokens.
    Sides that are not divisible by the patch are padded with zeros, the mean of a standardised pool.

    Examples
    --------
    >>> encoder = ViTTiny()
    >>> encoder.features(torch.zeros(2, 1, 30, 28)).shape
    torch.Size([2, 192, 8, 7])
    """

    dimensions = 2
    width = 192
    depth = 12
    heads = 3
    stride = 4  # side of a patch

    def __init__(self):
        super().__init__()
        self.embedding = nn.Conv2d(1, self.width, self.stride, self.stride)
        self.layers = nn.Sequential(
            *(
                nn.TransformerEncoderLayer(
                    self.width, self.heads, 4 * self.width, dropout=0.0, activation="gelu",
                    batch_first=True, norm_first=True,
                )
                for _ in range(self.depth)
            )
        )  # fmt: skip
        self.norm = nn.LayerNorm(self.width)

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to tokens [batch, width, height / patch, width / patch]."""
        x = functional.pad(x, (0, -x.shape[3] % self.stride, 0, -x.shape[2] % self.stride))
        tokens = self.embedding(x)  # [batch, width, rows, columns]
        grid = tokens.shape[2:]
        tokens = tokens + sine_cosine_positions(self.width, *grid, x.device)
        tokens = self.norm(self.layers(tokens.flatten(2).mT))  # [batch, rows * columns, width]
        return tokens.mT.unflatten(2, grid)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to pooled features [batch, width]."""
        return pooled(self.features(x))


class ViTSmall(ViTTiny):
    """Transformer with 384 channels, 12 layers and 6 heads on patches of 16 x 16: 21.4 million weights.

    Its patches are for images of 128 pixels and more: at 224 pixels it has 196 tokens, at 28 only 4.

    Examples
    --------
    >>> ViTSmall.width, ViTSmall.stride
    (384, 16)
    """

    width = 384
    heads = 6
    stride = 16
