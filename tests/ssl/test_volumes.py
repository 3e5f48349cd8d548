"""What holds for every method that takes volumes as well as images, and what a short run on them is worth."""

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl._dimensions import PutPatches, _take_apart, cut, in_pixels, put_patches, take_patches
from medssl.ssl.context_restoration import ContextRestoration
from medssl.ssl.denoising import Denoising
from medssl.ssl.dino import DINO
from medssl.ssl.inpainting import Inpainting
from medssl.ssl.jigsaw import Jigsaw
from medssl.ssl.masked_autoencoder import MaskedAutoencoder
from medssl.ssl.models_genesis import ModelsGenesis
from medssl.ssl.relative_position import RelativePosition
from medssl.ssl.rotation import Rotation
from medssl.ssl.simmim import SimMIM

RESTORING = (MaskedAutoencoder, SimMIM, Inpainting, ContextRestoration, ModelsGenesis, Denoising)
ALL = (*RESTORING, Rotation, RelativePosition, Jigsaw, DINO)


class Tiny(nn.Module):
    """Two strided layers on volumes."""

    dimensions, width, stride = 3, 16, 4

    def __init__(self):
        super().__init__()
        layers = []
        for inputs, outputs in ((1, 8), (8, 16)):
            layers += [nn.Conv3d(inputs, outputs, 3, 2, 1), nn.BatchNorm3d(outputs), nn.LeakyReLU(0.1)]
        self.layers = nn.Sequential(*layers)

    def features(self, volumes):
        return self.layers(volumes)

    def forward(self, volumes):
        return self.features(volumes).mean((2, 3, 4))


def made(kind, seed=0):
    """A method around the tiny encoder, the same for the same seed."""
    torch.manual_seed(seed)
    return kind(Tiny())


def loss_of(method, volumes, seed=0):
    """The loss of plain volumes."""
    return method.loss(volumes, lambda x: x, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("sides", [(16, 16, 16), (12, 16, 20), (20, 12, 12)])
@pytest.mark.parametrize("kind", ALL)
def test_volumes_train_every_weight(kind, sides):
    """Cubes or not, the loss is finite and reaches all weights of encoder and head; a teacher gets none."""
    method = made(kind)
    loss = loss_of(method, torch.rand(4, 1, *sides, generator=torch.Generator().manual_seed(1)))
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    for key, weight in method.named_parameters():
        if key.startswith("teacher"):
            assert weight.grad is None, key
        else:
            assert weight.grad.abs().max() > 0, key


@pytest.mark.parametrize("kind", ALL)
def test_loss_of_volumes_is_in_single_precision_under_autocast(kind):
    """Encoder and head run in half precision there, the loss does not, and its value is about the same."""
    method, volumes = made(kind), torch.rand(4, 1, 12, 16, 16)
    exact = loss_of(method, volumes).item()
    with torch.autocast("cpu", torch.bfloat16):
        loss = loss_of(method, volumes)
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(exact, rel=0.1)


@pytest.mark.parametrize("kind", ALL)
def test_the_generator_decides_and_the_volumes_stay(kind):
    """The same state gives the same loss whatever the global state is, and nothing is changed in place."""
    method, volumes = made(kind), torch.rand(4, 1, 12, 16, 16)
    copy = volumes.clone()
    torch.manual_seed(1)
    first = loss_of(method, volumes, 2)
    torch.manual_seed(2)
    assert torch.equal(loss_of(method, volumes, 2), first)
    assert torch.equal(volumes, copy)
    if kind not in (Rotation, DINO):  # their randomness is in the views
        assert loss_of(method, volumes, 3) != first


@pytest.mark.parametrize("kind", [kind for kind in ALL if kind not in (Rotation, DINO, Denoising)])
def test_volumes_that_are_too_small_are_named(kind):
    """Five voxels a side are an error that names the size."""
    with pytest.raises(UsageError, match="volumes of 5 x 5 x 5 voxels"):
        loss_of(made(kind), torch.rand(4, 1, 5, 5, 5))


@pytest.mark.parametrize("patch", [1, 2, 4])
def test_patches_of_images_are_those_of_pixel_unshuffle(patch):
    """Bit for bit the same values in the same order, by torch's function and by the one for any dimension."""
    images = torch.rand(3, 1, 8, 12)
    expected = functional.pixel_unshuffle(images, patch)
    assert torch.equal(take_patches(images, patch), expected)
    assert torch.equal(_take_apart(images, patch), expected)
    assert torch.equal(put_patches(expected, patch), functional.pixel_shuffle(expected, patch))


def test_patches_of_volumes_are_the_loop():
    """A patch is the block of voxels at its place, in reading order, and putting back undoes it."""
    volumes = torch.rand(2, 1, 4, 6, 8)
    patches = take_patches(volumes, 2)
    assert patches.shape == (2, 8, 2, 3, 4)
    for place in np.ndindex(2, 3, 4):
        block = tuple(slice(2 * start, 2 * start + 2) for start in place)
        assert torch.equal(patches[:, :, *place], volumes[:, 0, *block].flatten(1))
    assert torch.equal(PutPatches(2)(patches), volumes)


def test_values_of_patches_fill_their_voxels():
    """Each patch's value stands at all its voxels, and cutting keeps the first ones."""
    chosen = torch.rand(2, 2, 3, 2) < 0.5
    voxels = in_pixels(chosen, 3)
    assert voxels.shape == (2, 1, 6, 9, 6)
    for place in np.ndindex(6, 9, 6):
        assert torch.equal(voxels[:, 0, *place], chosen[:, *(start // 3 for start in place)])
    assert torch.equal(cut(voxels, (5, 9, 4)), voxels[:, :, :5, :, :4])


@pytest.mark.parametrize("kind", ALL)
def test_heads_of_volumes_leave_those_of_images_alone(kind):
    """Without the attribute an encoder is one of images, and the method has two-dimensional layers."""
    encoder = Tiny()
    encoder.dimensions = 2
    names = {type(part).__name__ for part in kind(encoder).modules() if part not in set(encoder.modules())}
    copies = {"Conv3d", "BatchNorm3d"} if kind is DINO else set()  # the teacher's copy of the encoder
    assert not {name for name in names - copies if name.endswith("3d")}


def rods(count, generator):
    """Noisy volumes with a bright rod, along the columns in one class and along the rows in the other."""
    labels, volumes = torch.arange(count) % 2, torch.zeros(count, 1, 12, 12, 12)
    places = (torch.rand(count, 3, generator=generator) * torch.tensor([10, 10, 5])).long()
    for volume, label, (depth, across, along) in zip(volumes, labels.tolist(), places.tolist(), strict=True):
        box = [slice(across, across + 2), slice(along, along + 8)]
        volume[0, depth : depth + 2, *(box[::-1] if label else box)] = 2.0
    return volumes + 0.3 * torch.randn(volumes.shape, generator=generator), labels


@torch.no_grad()
def probe(encoder, train, test):
    """Area under the curve of a ridge regression on frozen features."""
    encoder.train()
    for _ in range(20):
        encoder(train[0])  # the statistics of the normalisation become those of this encoder
    encoder.eval()
    (x, labels), (other, truth) = ((encoder(volumes).double(), y) for volumes, y in (train, test))
    mean, deviation = x.mean(0), x.std(0) + 1e-6
    x, other = (x - mean) / deviation, (other - mean) / deviation
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(len(x.T)), x.T @ (2.0 * labels.double() - 1))
    return roc_auc_score(truth.numpy(), (other @ weights).numpy())


def gain_of(kind, seed, steps):
    """Area gained by pretraining over the same encoder before it, and the ratio of last to first losses."""
    generator = torch.Generator().manual_seed(seed)
    train, test = rods(128, generator), rods(200, generator)
    method, losses = made(kind, seed), []
    before = probe(method.encoder, train, test)
    optimizer = torch.optim.AdamW(method.train().parameters(), 5e-3)
    for _ in range(steps):
        batch = train[0][torch.randperm(128, generator=generator)[:32]]
        loss = method.loss(batch, lambda x: x, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return probe(method.encoder, train, test) - before, np.mean(losses[-5:]) / losses[0]


@pytest.mark.parametrize(
    ("kind", "steps", "gain", "ratio"), [(SimMIM, 120, 0.03, 0.75), (Rotation, 80, 0.13, 0.85)]
)
def test_features_of_volumes_are_better_than_random_ones(kind, steps, gain, ratio):
    """Over three seeds the probe gains the stated area on average, and the loss of the task falls in each.

    Each gain lies about two standard errors of a mean of three seeds below what twelve seeds gave.
    """
    gains, ratios = np.transpose([gain_of(kind, seed, steps) for seed in range(3)])
    assert gains.mean() > gain
    assert max(ratios) < ratio
