"""A plain loop of MONAI's parts: its transforms image by image and its two self-supervised losses.

MONAI has no loss for BYOL or DINO, and its masked autoencoder is a transformer, into which this encoder does
not fit.
The transforms are those of this project's policy for radiographs, each with MONAI's own class, and carry no
metadata, which is the fastest way to use them.
"""

from math import radians

from _peers_parts import DEVIATION, MEAN, TEMPERATURE, WIDTH, mlp
from torch import float32, nn

__all__ = ["PACKAGES", "learner", "transform"]

PACKAGES = ("monai", "torch", "numpy")


def transform(method: str, side: int):
    """Return two random views of one image with MONAI's transforms."""
    if method not in ("simclr", "barlow_twins"):
        raise NotImplementedError(f"MONAI has no {method} for a convolutional encoder")
    from monai import transforms
    from monai.data import set_track_meta

    set_track_meta(False)
    view = transforms.Compose(
        [
            transforms.ToTensor(dtype=float32),
            transforms.ScaleIntensity(minv=None, maxv=None, factor=1 / 255 - 1),
            transforms.RandAffine(
                prob=1, rotate_range=radians(10), scale_range=0.4, translate_range=0.2 * side,
                padding_mode="border",
            ),
            transforms.RandFlip(prob=0.5, spatial_axis=1),
            transforms.RandGaussianSmooth(prob=0.5),
            transforms.RandAdjustContrast(prob=1, gamma=(0.7, 1.5)),
            transforms.RandScaleIntensity(prob=1, factors=0.4),
            transforms.RandShiftIntensity(prob=1, offsets=0.2),
            transforms.RandGaussianNoise(prob=1, std=0.05),
            transforms.NormalizeIntensity(subtrahend=MEAN, divisor=DEVIATION),
        ]
    )  # fmt: skip
    return _Twice(view)


class _Twice:
    def __init__(self, view):
        self.view = view

    def __call__(self, image):
        return [self.view(image), self.view(image)]


def learner(method: str, encoder: nn.Module) -> nn.Module:
    """Return a module whose `loss` takes a list of views."""
    from monai.losses import BarlowTwinsLoss, ContrastiveLoss

    if method == "simclr":
        return _Pair(encoder, mlp(WIDTH, WIDTH, WIDTH), ContrastiveLoss(TEMPERATURE))
    return _Pair(encoder, mlp(WIDTH, WIDTH, WIDTH, WIDTH), BarlowTwinsLoss())


class _Pair(nn.Module):
    def __init__(self, encoder, head, criterion):
        super().__init__()
        self.encoder, self.head, self.criterion = encoder, head, criterion

    def loss(self, views):
        return self.criterion(*(self.head(self.encoder(view)) for view in views))
