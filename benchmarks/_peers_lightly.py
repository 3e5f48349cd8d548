"""The five methods as lightly has them: its transforms, heads, losses and momentum, around this encoder.

lightly has no convolutional masked autoencoder: the decoder is this project's, and the mask, the patches and
the normalised targets are lightly's.
Views stay grey: its transforms take one channel when the mean and the deviation of one are given.
"""

from _peers_imports import import_lightly
from _peers_parts import (
    DEVIATION,
    HIDDEN,
    MEAN,
    OUTPUTS,
    PATCH,
    RATIO,
    TEMPERATURE,
    WIDTH,
    frozen_copy,
)
from torch import nn, no_grad, zeros_like

__all__ = ["PACKAGES", "learner", "transform"]

PACKAGES = ("lightly", "torchvision", "torch", "numpy", "pillow")


def transform(method: str, side: int):
    """Return lightly's transform of one image with its default strengths, at `side` pixels."""
    transforms = import_lightly("transforms")
    grey = {"mean": [MEAN], "std": [DEVIATION]}
    if method == "byol":
        views = (transforms.BYOLView1Transform, transforms.BYOLView2Transform)
        return transforms.BYOLTransform(*(view(input_size=side, normalize=grey) for view in views))
    if method == "dino":
        return transforms.DINOTransform(global_crop_size=side, n_local_views=0, normalize=grey)
    kind = {"masked_autoencoder": transforms.MAETransform}.get(method, transforms.SimCLRTransform)
    return kind(input_size=side, normalize=grey)


def learner(method: str, encoder: nn.Module) -> nn.Module:
    """Return a module whose `loss` takes a list of views, and which may have `after_step`."""
    kinds = {
        "simclr": _SimCLR,
        "byol": _BYOL,
        "barlow_twins": _BarlowTwins,
        "dino": _DINO,
        "masked_autoencoder": _MaskedAutoencoder,
    }
    return kinds[method](encoder)


class _SimCLR(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.head = import_lightly("models.modules.heads").SimCLRProjectionHead(WIDTH, WIDTH, WIDTH)
        self.criterion = import_lightly("loss").NTXentLoss(temperature=TEMPERATURE)

    def loss(self, views):
        return self.criterion(*(self.head(self.encoder(view)) for view in views))


class _BarlowTwins(_SimCLR):
    def __init__(self, encoder):
        super().__init__(encoder)
        self.head = import_lightly("models.modules.heads").BarlowTwinsProjectionHead(WIDTH, WIDTH, WIDTH)
        self.criterion = import_lightly("loss").BarlowTwinsLoss()


class _BYOL(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        heads = import_lightly("models.modules.heads")
        self.encoder = encoder
        self.head = heads.BYOLProjectionHead(WIDTH, HIDDEN, WIDTH)
        self.predictor = heads.BYOLPredictionHead(WIDTH, HIDDEN, WIDTH)
        self.teacher, self.teacher_head = frozen_copy(self.encoder), frozen_copy(self.head)
        self.criterion = import_lightly("loss").NegativeCosineSimilarity()

    def loss(self, views):
        first, second = (self.predictor(self.head(self.encoder(view))) for view in views)
        with no_grad():
            first_target, second_target = (self.teacher_head(self.teacher(view)) for view in views)
        return (self.criterion(first, second_target) + self.criterion(second, first_target)) / 2

    def after_step(self):
        update = import_lightly("models.utils").update_momentum
        update(self.encoder, self.teacher, m=0.99)
        update(self.head, self.teacher_head, m=0.99)


class _DINO(_BYOL):
    def __init__(self, encoder):
        nn.Module.__init__(self)
        head = import_lightly("models.modules.heads").DINOProjectionHead
        widths = (WIDTH, HIDDEN, OUTPUTS, OUTPUTS)
        self.encoder, self.head = encoder, head(*widths, batch_norm=False)
        # a module with weight normalisation cannot be copied once it has run, so a second one is made
        self.teacher, self.teacher_head = frozen_copy(encoder), head(*widths, batch_norm=False)
        self.teacher_head.load_state_dict(self.head.state_dict())
        self.teacher_head.requires_grad_(False)
        self.criterion = import_lightly("loss").DINOLoss(output_dim=OUTPUTS)

    def loss(self, views):
        student = [self.head(self.encoder(view)) for view in views]
        with no_grad():
            teacher = [self.teacher_head(self.teacher(view)) for view in views]
        return self.criterion(teacher, student)


class _MaskedAutoencoder(nn.Module):
    def __init__(self, encoder):
        super().__init__()
        self.encoder = encoder
        self.decoder = nn.ConvTranspose2d(encoder.width, 1, encoder.stride, encoder.stride)
        self.criterion = nn.MSELoss()

    def loss(self, views):
        tools, (images,) = import_lightly("models.utils"), views
        side = images.shape[-1]
        patches = tools.patchify(images, PATCH)  # [batch, patches, patch * patch]
        _, hidden = tools.random_token_mask(
            patches.shape[:2], RATIO, mask_class_token=True, device=images.device
        )
        target = tools.normalize_mean_var(tools.get_at_index(patches, hidden))
        visible = tools.unpatchify(tools.set_at_index(patches, hidden, zeros_like(target)), PATCH, channels=1)
        prediction = self.decoder(self.encoder.features(visible))[..., :side, :side]
        return self.criterion(tools.get_at_index(tools.patchify(prediction, PATCH), hidden), target)
