"""Each encoder under a handful of methods: contrast, a momentum teacher, masks and restoring."""

import copy

import pytest
import torch

from medssl import ssl
from medssl.encoders import ENCODERS

OF_IMAGES = ["simclr", "byol", "masked_autoencoder", "models_genesis"]
OF_BOTH = ["simclr", "byol"]
LIGHT = ["small_cnn", "vit_tiny", "unet"]
HEAVY = {
    "resnet18": "byol", "resnet50": "simclr", "resnet18_large_stem": "masked_autoencoder",
    "resnet50_large_stem": "simclr", "vit_small": "models_genesis",
}  # fmt: skip
VOLUMES = ["small_cnn_3d", "unet_3d"]
PAIRS = [(name, method) for name in LIGHT for method in OF_IMAGES] + list(HEAVY.items())
PAIRS += [(name, method) for name in VOLUMES for method in OF_BOTH] + [("resnet18_3d", "simclr")]


def test_every_encoder_is_among_the_pairs():
    """An encoder that is added has to work with a method."""
    assert {name for name, _ in PAIRS} == set(ENCODERS)


@pytest.mark.parametrize(("name", "method"), PAIRS)
def test_a_method_trains_every_weight_of_the_encoder(name, method, built, generator):
    """The loss is finite and all weights have a finite gradient."""
    encoder = copy.deepcopy(built(name)).train()
    model = ssl.build(method, encoder)
    images = torch.rand(4, 1, *[16] * encoder.dimensions, generator=generator)
    loss = model.loss(images, lambda x: x + 0.1 * torch.randn(x.shape, generator=generator), generator)
    loss.backward()
    if hasattr(model, "after_step"):
        model.after_step(0, 10)
    assert torch.isfinite(loss)
    assert all(torch.isfinite(weight.grad).all() for weight in encoder.parameters())
