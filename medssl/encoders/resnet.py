"""Residual networks for single-channel images and volumes, with a stem for small images or the large one."""

import torch
from torch import nn

from medssl.encoders._layers import pooled

__all__ = ["ResNet18", "ResNet18LargeStem", "ResNet18Volume", "ResNet50", "ResNet50LargeStem"]

# side and stride of the first convolution, and whether pooling follows
_STEMS = {"small": (3, 1, False), "large": (7, 2, True), "volume": (7, 2, False)}


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016, table 1) from MONAI: one input channel, 11.2 million weights.

    The stem is 3 x 3 with stride 1 and no pooling, as is usual below 64 pixels: total stride 8.

    Examples
    --------
    >>> ResNet18()(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 512])
    """

    depth = 18
    stem = "small"
    dimensions = 2
    width = 512
    stride = 8

    def __init__(self):
        super().__init__()
        from monai.networks import nets  # seconds to import: only those who use it should wait

        side, stride, self.pooling = _STEMS[self.stem]
        self.network = getattr(nets, f"resnet{self.depth}")(
            spatial_dims=self.dimensions, n_input_channels=1, conv1_t_size=side, conv1_t_stride=stride,
            no_max_pool=not self.pooling, shortcut_type="B", feed_forward=False,
        )  # fmt: skip

    def _before_stages(self, x):
        net = self.network
        x = net.act(net.bn1(net.conv1(x)))
        return net.maxpool(x) if self.pooling else x

    def _stages(self):
        return self.network.layer1, self.network.layer2, self.network.layer3, self.network.layer4

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to [batch, channels, height / stride, width / stride]."""
        x = self._before_stages(x)
        for stage in self._stages():
            x = stage(x)
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to pooled features [batch, width]."""
        return pooled(self.features(x))


class ResNet50(ResNet18):
    """ResNet-50 (He et al. 2016, table 1) from MONAI, with the stem for small images: 23.5 million weights.

    As in torchvision, the stride is in the 3 x 3 convolution of a bottleneck.

    Examples
    --------
    >>> ResNet50.width, ResNet50.stride
    (2048, 8)
    """

    depth = 50
    width = 2048


class ResNet18LargeStem(ResNet18):
    """ResNet-18 with the paper's stem, 7 x 7 with stride 2 and then pooling: total stride 32.

    It is for images of 128 pixels and more, and the one into which weights from ImageNet fit completely.

    Examples
    --------
    >>> ResNet18LargeStem.width, ResNet18LargeStem.stride
    (512, 32)
    """

    stem = "large"
    stride = 32


class ResNet50LargeStem(ResNet50):
    """ResNet-50 with the paper's stem, 7 x 7 with stride 2 and then pooling: total stride 32.

    Examples
    --------
    >>> ResNet50LargeStem.width, ResNet50LargeStem.stride
    (2048, 32)
    """

    stem = "large"
    stride = 32


class ResNet18Volume(ResNet18):
    """ResNet-18 for volumes [batch, 1, depth, height, width]: 33.2 million weights, total stride 16.

    The stem has side 7 and stride 2, because a whole volume at full resolution with 64 channels is large; it
    has no pooling, because volumes are short, and because the gradient of that pooling differs between runs
    on a GPU.

    Examples
    --------
    >>> ResNet18Volume.width, ResNet18Volume.dimensions
    (512, 3)
    """

    stem = "volume"
    dimensions = 3
    stride = 16
    pyramid_widths = (64, 128, 256, 512)
    pyramid_strides = (2, 4, 8, 16)

    def pyramid(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Return the maps of the four stages from fine to coarse; the last is `features`."""
        maps = [self._before_stages(x)]
        for stage in self._stages():
            maps.append(stage(maps[-1]))
        return maps[1:]
