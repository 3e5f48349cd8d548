"""ResNet-18 for single-channel images, with a stem for small ones."""

import torch
from torch import nn

__all__ = ["ResNet18"]


class ResNet18(nn.Module):
    """ResNet-18 (He et al. 2016, table 1) from MONAI: one input channel, 11.2 million weights.

    The stem is 3 x 3 with stride 1 and no pooling, as is usual below 64 pixels: total stride 8.

    Examples
    --------
    >>> ResNet18()(torch.zeros(2, 1, 32, 32)).shape
    torch.Size([2, 512])
    """

    width = 512
    stride = 8

    def __init__(self):
        super().__init__()
        from monai.networks.nets import resnet18  # seconds to import: only those who use it should wait

        self.network = resnet18(
            spatial_dims=2, n_input_channels=1, conv1_t_size=3, conv1_t_stride=1, no_max_pool=True,
            shortcut_type="B", feed_forward=False,
        )  # fmt: skip

    def features(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to [batch, 512, height / 8, width / 8], rounded up."""
        net = self.network
        x = net.act(net.bn1(net.conv1(x)))
        return net.layer4(net.layer3(net.layer2(net.layer1(x))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map images [batch, 1, height, width] to pooled features [batch, 512]."""
        return self.features(x).mean((2, 3))
