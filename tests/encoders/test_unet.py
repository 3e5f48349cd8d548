"""The U-Net encoders against explicit layers."""

from itertools import pairwise

import pytest
import torch
from torch.nn import functional

from medssl.encoders import UNet, UNet3D

CONVOLUTION = {2: functional.conv2d, 3: functional.conv3d}


def normalised(x, layer):
    """Batch normalisation with running statistics, written out."""
    shape = (1, -1, *[1] * (x.ndim - 2))
    mean, variance, weight, bias = (
        value.reshape(shape) for value in (layer.running_mean, layer.running_var, layer.weight, layer.bias)
    )
    return (x - mean) / (variance + layer.eps).sqrt() * weight + bias


@pytest.mark.parametrize("name", ["unet", "unet_3d"])
def test_maps_are_those_of_explicit_layers(name, built):
    """A level is twice convolution, normalisation and rectification; all but the first halve the map."""
    encoder = built(name)
    x = torch.rand(2, 1, *[12] * encoder.dimensions, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        maps = encoder.pyramid(x)
        for depth, level in enumerate(encoder.levels):
            for layer, stride in ((0, 1 if depth == 0 else 2), (3, 1)):
                x = CONVOLUTION[encoder.dimensions](x, level[layer].weight, None, stride, 1)
                x = normalised(x, level[layer + 1]).clamp_min(0)
            assert torch.allclose(maps[depth], x, atol=1e-5)
    assert len(maps) == 4


@pytest.mark.parametrize("name", ["unet", "unet_3d"])
def test_the_finest_map_has_the_size_of_the_image(name, built):
    """A decoder can give a class to each pixel or voxel."""
    encoder = built(name)
    image = torch.zeros(1, 1, *[10] * encoder.dimensions)
    assert encoder.pyramid(image)[0].shape[2:] == image.shape[2:]


@pytest.mark.parametrize(("kind", "kernel"), [(UNet, 9), (UNet3D, 27)])
def test_weights_are_those_of_the_layers(kind, kernel):
    """The count follows from the layers: kab for a convolution and 2b for a normalisation."""
    widths, expected = (1, *kind.pyramid_widths), 0
    for a, b in pairwise(widths):
        expected += kernel * a * b + kernel * b * b + 2 * 2 * b
    assert sum(weight.numel() for weight in kind().parameters()) == expected
