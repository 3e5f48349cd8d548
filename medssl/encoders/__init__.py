"""Encoders: one file an architecture, all with the same methods.

Every encoder has `features` (feature map), `forward` (pooled vector), `width` (length of that vector),
`stride` (pixels or voxels a place of the map stands for along one side; sides are rounded up) and
`dimensions` (2 for images [batch, 1, height, width], 3 for volumes [batch, 1, depth, height, width]).
The encoders of volumes, and the U-Nets, also have `pyramid`, the maps from fine to coarse for a segmentation
decoder, with their channels in `pyramid_widths` and their strides in `pyramid_strides`; the last one is
`features`.
"""

from medssl.encoders.resnet import ResNet18, ResNet18LargeStem, ResNet18Volume, ResNet50, ResNet50LargeStem
from medssl.encoders.small_cnn import SmallCNN, SmallCNN3D
from medssl.encoders.unet import UNet, UNet3D
from medssl.encoders.vit import ViTSmall, ViTTiny
from medssl.errors import UsageError

__all__ = [
    "ENCODERS",
    "ResNet18",
    "ResNet18LargeStem",
    "ResNet18Volume",
    "ResNet50",
    "ResNet50LargeStem",
    "SmallCNN",
    "SmallCNN3D",
    "UNet",
    "UNet3D",
    "ViTSmall",
    "ViTTiny",
    "build",
]

ENCODERS = {
    "small_cnn": SmallCNN,
    "resnet18": ResNet18,
    "resnet50": ResNet50,
    "resnet18_large_stem": ResNet18LargeStem,
    "resnet50_large_stem": ResNet50LargeStem,
    "vit_tiny": ViTTiny,
    "vit_small": ViTSmall,
    "unet": UNet,
    "small_cnn_3d": SmallCNN3D,
    "resnet18_3d": ResNet18Volume,
    "unet_3d": UNet3D,
}


def build(name: str):
    """Return a randomly initialised encoder for single-channel images or volumes.

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
