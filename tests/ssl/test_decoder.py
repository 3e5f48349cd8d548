"""The decoder that several methods share."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._decoder import Decoder


@pytest.mark.parametrize("stride", [1, 2, 8, 16])
@pytest.mark.parametrize(("height", "width"), [(32, 32), (17, 30)])
def test_the_image_has_the_size_that_was_asked_for(stride, height, width):
    """Whatever power of two the stride is, surplus rows and columns are cut off."""
    features = torch.rand(2, 6, -(-height // stride), -(-width // stride))
    assert Decoder(6, stride)(features, height, width).shape == (2, 1, height, width)


@pytest.mark.parametrize("stride", [1, 2, 8])
def test_the_volume_has_the_size_that_was_asked_for(stride):
    """All three sides are doubled and cut off."""
    sides = (9, 16, 13)
    features = torch.rand(2, 6, *(-(-side // stride) for side in sides))
    assert Decoder(6, stride, dimensions=3)(features, *sides).shape == (2, 1, *sides)


@pytest.mark.parametrize("stride", [3, 6, 12])
def test_a_stride_that_is_no_power_of_two_is_refused(stride):
    """The error names the stride."""
    with pytest.raises(UsageError, match=f"the encoder's stride is {stride}, not a power of two"):
        Decoder(4, stride)


def test_a_pixel_depends_on_the_features_around_it_alone():
    """A feature reaches the pixels that it stands for and those of its surroundings, not the far corner."""
    decoder = Decoder(3, 8).eval()
    features = torch.rand(1, 3, 8, 8)
    changed = features.clone()
    changed[..., 0, 0] += 1
    difference = (decoder(features, 64, 64) - decoder(changed, 64, 64)).abs()[0, 0]
    assert difference[:8, :8].max() > 0
    assert difference[32:].max() == 0
    assert difference[:, 32:].max() == 0


def test_the_image_is_in_single_precision_under_autocast():
    """Half precision ends at the decoder, so that the loss is computed in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        assert Decoder(4, 2)(torch.rand(2, 4, 3, 3), 6, 6).dtype == torch.float32


def test_the_decoder_is_smaller_than_the_smallest_encoder():
    """The encoder has to do the work."""
    sizes = [sum(weight.numel() for weight in part.parameters()) for part in (Decoder(128, 8), SmallCNN())]
    assert sizes[0] < sizes[1] / 2
