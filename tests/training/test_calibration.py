"""Batch-normalisation statistics of plain images against sums by hand."""

import copy

import pytest
import torch
from torch import nn

from medssl.encoders import SmallCNN
from medssl.training import calibrate_normalisation


def batches_by_hand(values, size):
    """Mean over batches of their means and unbiased variances; a batch of one image is left out."""
    parts = [part.transpose(0, 1).flatten(1) for part in values.split(size) if len(part) > 1]
    return torch.stack([part.mean(1) for part in parts]).mean(0), torch.stack(
        [part.var(1) for part in parts]
    ).mean(0)


@pytest.mark.parametrize(("count", "size"), [(12, 4), (10, 4), (9, 4), (5, 256)])
def test_statistics_are_the_average_over_batches(count, size):
    """Mean and variance of a layer are the averages of those of the batches, as many as there are."""
    layer = nn.BatchNorm2d(3)
    layer.running_mean.fill_(77.0)
    images = torch.rand(count, 3, 5, 5, generator=torch.Generator().manual_seed(0))
    calibrate_normalisation(layer, images, lambda x: 2 * x - 1, batch_size=size)
    mean, variance = batches_by_hand(2 * images - 1, size)
    assert torch.allclose(layer.running_mean, mean, atol=1e-6)
    assert torch.allclose(layer.running_var, variance, atol=1e-6)


def test_one_batch_normalises_exactly():
    """When one batch holds all images, evaluation mode repeats training mode, up to the unbiased variance."""
    torch.manual_seed(0)
    encoder, images = SmallCNN(), torch.rand(40, 1, 32, 32)
    calibrate_normalisation(encoder, images, lambda x: x)
    with torch.no_grad():
        evaluated, trained = encoder(images), encoder.train()(images)
    assert torch.allclose(evaluated, trained, atol=0.02)


def test_every_layer_of_an_encoder_is_reached_and_no_weight(generator):
    """All running statistics move; weights and momentum stay, and the encoder ends in evaluation mode."""
    encoder = SmallCNN()
    before = copy.deepcopy(encoder)
    calibrate_normalisation(encoder, torch.rand(8, 1, 16, 16, generator=generator), lambda x: x)
    for old, new in zip(before.parameters(), encoder.parameters(), strict=True):
        assert torch.equal(old, new)
    layers = [layer for layer in encoder.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert len(layers) == 9 + 1
    assert all(layer.running_mean.abs().sum() > 0 and layer.momentum == 0.1 for layer in layers)
    assert not encoder.training


def test_it_forgets_what_it_was(generator):
    """The result depends on weights and images alone, so that both arms of a comparison are treated alike."""
    encoder, images = SmallCNN(), torch.rand(8, 1, 16, 16, generator=generator)
    calibrate_normalisation(encoder, images, lambda x: x)
    once = copy.deepcopy(encoder.state_dict())
    encoder.train()(torch.rand(4, 1, 16, 16, generator=generator))
    calibrate_normalisation(encoder, images, lambda x: x)
    assert all(torch.equal(once[key], value) for key, value in encoder.state_dict().items())


def test_networks_without_such_layers_pass():
    """A network that has nothing to calibrate stays as it is."""
    network = nn.Conv2d(1, 2, 3)
    calibrate_normalisation(network, torch.rand(4, 1, 8, 8), lambda x: x)
    assert not network.training
