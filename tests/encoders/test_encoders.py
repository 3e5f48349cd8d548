"""Shapes, sizes and references of the encoders."""

import pytest
import torch
from monai.networks.nets import resnet18

from medssl.encoders import ENCODERS, ResNet18, SmallCNN, build
from medssl.encoders.small_cnn import ResidualBlock
from medssl.errors import UsageError


def weights(network) -> int:
    """Number of trained values."""
    return sum(weight.numel() for weight in network.parameters())


@pytest.mark.parametrize("side", [28, 64])
@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_follow_from_width_and_stride(name, side):
    """The map has one place for every `stride` pixels, rounded up, and its mean is the pooled vector."""
    torch.manual_seed(0)
    encoder = build(name).eval()
    images = torch.rand(2, 1, side, side)
    with torch.no_grad():
        features, pooled = encoder.features(images), encoder(images)
    places = -(-side // encoder.stride)
    assert features.shape == (2, encoder.width, places, places)
    assert torch.allclose(pooled, features.mean((2, 3)))


@pytest.mark.parametrize("name", ENCODERS)
def test_images_need_not_be_square(name):
    """Height and width are independent."""
    assert build(name).eval().features(torch.rand(1, 1, 20, 36)).shape[2:] == (3, 5)


@pytest.mark.parametrize("name", ENCODERS)
def test_images_of_a_batch_do_not_mix_in_evaluation(name):
    """In evaluation mode an image has the same features alone and in company."""
    torch.manual_seed(0)
    encoder, images = build(name).eval(), torch.rand(3, 1, 16, 16)
    with torch.no_grad():
        assert torch.allclose(encoder(images)[1:2], encoder(images[1:2]), atol=1e-6)


@pytest.mark.parametrize("name", ENCODERS)
def test_the_global_seed_draws_the_weights(name):
    """The same seed gives the same weights, another seed other ones."""
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weight.flatten() for weight in build(name).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_resnet_features_are_those_of_monai():
    """With equal weights MONAI's own forward pass, up to its pooling, gives the pooled features."""
    torch.manual_seed(0)
    encoder = ResNet18().eval()
    reference = resnet18(
        spatial_dims=2, n_input_channels=1, conv1_t_size=3, conv1_t_stride=1, no_max_pool=True,
        shortcut_type="B", num_classes=512,
    ).eval()  # fmt: skip
    reference.load_state_dict(encoder.network.state_dict(), strict=False)
    reference.fc = torch.nn.Identity()  # what is left ends in average pooling
    images = torch.rand(2, 1, 28, 28)
    with torch.no_grad():
        assert torch.allclose(encoder(images), reference(images), atol=1e-5)


def test_residual_block_adds_its_shortcut():
    """Equal channels and stride 1 have an identity shortcut: a silent body passes positive inputs on."""
    block = ResidualBlock(4, 4, 1).eval()
    torch.nn.init.zeros_(block.body[3].weight)
    inputs = torch.rand(2, 4, 6, 6)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize(("name", "millions"), [("small_cnn", 0.303), ("resnet18", 11.2)])
def test_number_of_weights(name, millions):
    """The networks are as large as the book says."""
    assert weights(build(name)) / 1e6 == pytest.approx(millions, rel=0.005)


def test_small_cnn_has_the_weights_of_its_layers():
    """The count follows from the layers: 9ab for a convolution, ab for a shortcut, 2b for a normalisation."""

    def block(a, b):
        return 9 * a * b + 9 * b * b + a * b + 3 * 2 * b

    assert weights(SmallCNN()) == 9 * 16 + 2 * 16 + block(16, 32) + block(32, 64) + block(64, 128)


def test_an_unknown_encoder_names_the_known_ones():
    """A misspelt architecture is an error that lists what exists."""
    with pytest.raises(UsageError, match="unknown encoder 'vit': choose one of small_cnn, resnet18"):
        build("vit")
