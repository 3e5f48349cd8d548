"""Four methods from solo-learn's own transforms, losses and momentum, around this encoder.

Its trainer does not run with this torch, so the heads, which are part of it, are the same plain layers here.
The release on the package index has no masked autoencoder.
Views stay grey: its transforms take one channel when the mean and the deviation of one are given.
"""

from _peers_imports import import_solo
from _peers_parts import (
    DEVIATION,
    HIDDEN,
    MEAN,
    OUTPUTS,
    TEMPERATURE,
    WIDTH,
    frozen_copy,
    mlp,
)
from torch import cat, nn, no_grad
from torch.nn import functional

__all__ = ["PACKAGES", "learner", "transform"]

PACKAGES = ("solo-learn", "torchvision", "torch", "numpy", "pillow")


def transform(method: str, side: int):
    """Return solo-learn's transform of one image with the strengths of its SimCLR script."""
    if method == "masked_autoencoder":
        raise NotImplementedError("solo-learn 1.0.2 has no masked autoencoder")
    loader = import_solo("utils.pretrain_dataloader")
    one = loader.CustomTransform(
        brightness=0.8, contrast=0.8, saturation=0.8, hue=0.2, crop_size=side, mean=[MEAN], std=[DEVIATION]
    )
    return loader.prepare_n_crop_transform([one], [2])


def learner(method: str, encoder: nn.Module) -> nn.Module:
    """Return a module whose `loss` takes a list of views, and which may have `after_step`."""
    kinds = {"simclr": _SimCLR, "byol": _BYOL, "barlow_twins": _BarlowTwins, "dino": _DINO}
    return kinds[method](encoder)


class _SimCLR(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, mlp(WIDTH, WIDTH, WIDTH, normalise=False)
        self.criterion = import_solo("losses.simclr").simclr_loss_func

    def loss(self, views):
        return self.criterion(*(self.head(self.encoder(view)) for view in views), TEMPERATURE)


class _BarlowTwins(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder, self.head = encoder, mlp(WIDTH, WIDTH, WIDTH, WIDTH)
        self.criterion = import_solo("losses.barlow").barlow_loss_func

    def loss(self, views):
        return self.criterion(*(self.head(self.encoder(view)) for view in views))


class _BYOL(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.student = nn.Sequential(encoder, mlp(WIDTH, HIDDEN, WIDTH))
        self.predictor = mlp(WIDTH, HIDDEN, WIDTH)
        self.teacher = frozen_copy(self.student)
        self.criterion = import_solo("losses.byol").byol_loss_func
        self.updater = import_solo("utils.momentum").MomentumUpdater(0.99)

    def loss(self, views):
        first, second = (self.predictor(self.student(view)) for view in views)
        with no_grad():
            first_target, second_target = (self.teacher(view) for view in views)
        return self.criterion(first, second_target) + self.criterion(second, first_target)

    def after_step(self):
        self.updater.update(self.student, self.teacher)


class _Cosines(nn.Module):
    """Unit vectors against prototypes of unit length."""

    def __init__(self, bottleneck, outputs):
        super().__init__()
        self.prototypes = nn.Linear(bottleneck, outputs, bias=False)

    def forward(self, x):
        return functional.linear(functional.normalize(x), functional.normalize(self.prototypes.weight))


class _DINO(_BYOL):
    def __init__(self, encoder):
        nn.Module.__init__(self)
        layers = mlp(WIDTH, HIDDEN, HIDDEN, OUTPUTS, normalise=False, activation=nn.GELU)
        self.student = nn.Sequential(encoder, layers, _Cosines(OUTPUTS, OUTPUTS))
        self.teacher = frozen_copy(self.student)
        self.criterion = import_solo("losses.dino").DINOLoss(OUTPUTS, 0.04, 0.04, 0, 1)
        self.updater = import_solo("utils.momentum").MomentumUpdater(0.97)

    def loss(self, views):
        with no_grad():
            teacher = cat([self.teacher(view) for view in views])
        return self.criterion(cat([self.student(view) for view in views]), teacher)
