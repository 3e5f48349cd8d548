"""Shapes, sizes and references of the encoders."""

import copy

import pytest
import torch
from monai.networks import nets

from medssl.encoders import ENCODERS, SmallCNN, SmallCNN3D, build
from medssl.encoders.small_cnn import ResidualBlock
from medssl.errors import UsageError

LIGHT = ["small_cnn", "resnet18", "vit_tiny", "unet", "small_cnn_3d", "unet_3d"]
PYRAMIDS = ["unet", "small_cnn_3d", "resnet18_3d", "unet_3d"]
SIZES = {2: (12, 20), 3: (9, 12, 16)}  # no side is a multiple of all strides


def weights(network) -> int:
    """Number of trained values."""
    return sum(weight.numel() for weight in network.parameters())


def places(shape, stride) -> tuple[int, ...]:
    """Sides divided by the stride, rounded up."""
    return tuple(-(-side // stride) for side in shape)


@pytest.mark.parametrize("name", ENCODERS)
def test_shapes_follow_from_width_and_stride(name, built):
    """The map has one place for every `stride` pixels of a side, rounded up; its mean is the vector."""
    encoder = built(name)
    shape = SIZES[encoder.dimensions]
    images = torch.rand(2, 1, *shape, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features, pooled = encoder.features(images), encoder(images)
    assert features.shape == (2, encoder.width, *places(shape, encoder.stride))
    assert torch.allclose(pooled, features.flatten(2).mean(2), atol=1e-6)


@pytest.mark.parametrize("side", [28, 64])
@pytest.mark.parametrize("name", ["small_cnn", "vit_tiny", "unet"])
def test_the_usual_sizes_have_their_maps(name, side, built):
    """Images of 28 and 64 pixels work alike, also where the stride does not divide them."""
    with torch.no_grad():
        features = built(name).features(torch.zeros(1, 1, side, side))
    assert features.shape[2:] == places((side, side), built(name).stride)


@pytest.mark.parametrize("name", ENCODERS)
def test_images_of_a_batch_do_not_mix_in_evaluation(name, built):
    """In evaluation mode an image has the same features alone and in company."""
    encoder = built(name)
    images = torch.rand(3, 1, *[16] * encoder.dimensions, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        assert torch.allclose(encoder(images)[1:2], encoder(images[1:2]), atol=1e-5)


@pytest.mark.parametrize("name", LIGHT)
def test_the_global_seed_draws_the_weights(name):
    """The same seed gives the same weights, another seed other ones."""
    drawn = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        drawn.append(torch.cat([weight.flatten() for weight in build(name).parameters()]))
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


@pytest.mark.parametrize("name", ENCODERS)
def test_nothing_stays_behind_on_the_processor(name, built):
    """On a device without memory, which refuses a tensor of the processor, all of a pass has its shapes."""
    encoder = copy.deepcopy(built(name)).to("meta").train()
    assert {value.device.type for value in (*encoder.parameters(), *encoder.buffers())} == {"meta"}
    shape = SIZES[encoder.dimensions]
    images = torch.zeros(2, 1, *shape, device="meta")
    features, pooled = encoder.features(images), encoder(images)
    assert features.shape == (2, encoder.width, *places(shape, encoder.stride))
    assert (pooled.shape, pooled.device.type) == ((2, encoder.width), "meta")


@pytest.mark.parametrize("name", PYRAMIDS)
def test_a_pyramid_is_as_its_class_says(name, built):
    """Maps go from fine to coarse with the declared channels and strides, and end in the features."""
    encoder = built(name)
    shape = SIZES[encoder.dimensions]
    images = torch.rand(1, 1, *shape, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        maps = encoder.pyramid(images)
        assert torch.equal(maps[-1], encoder.features(images))
    declared = zip(encoder.pyramid_widths, encoder.pyramid_strides, strict=True)
    assert [tuple(part.shape) for part in maps] == [(1, w, *places(shape, stride)) for w, stride in declared]
    assert (encoder.pyramid_widths[-1], encoder.pyramid_strides[-1]) == (encoder.width, encoder.stride)
    assert list(encoder.pyramid_strides) == sorted(set(encoder.pyramid_strides))


def test_every_encoder_of_volumes_has_a_pyramid():
    """What segments volumes can use any of them."""
    volumes = {name for name, kind in ENCODERS.items() if kind.dimensions == 3}
    assert volumes == {name for name in PYRAMIDS if name.endswith("3d")}


@pytest.mark.parametrize(
    ("name", "depth", "options"),
    [
        ("resnet18", 18, {"spatial_dims": 2, "conv1_t_size": 3, "no_max_pool": True}),
        ("resnet50_large_stem", 50, {"spatial_dims": 2, "conv1_t_size": 7, "conv1_t_stride": 2}),
        ("resnet18_3d", 18, {"spatial_dims": 3, "conv1_t_stride": 2, "no_max_pool": True}),
    ],
)
def test_residual_features_are_those_of_monai(name, depth, options, built):
    """With equal weights MONAI's own forward pass, up to its pooling, gives the pooled features."""
    encoder = built(name)
    kind = getattr(nets, f"resnet{depth}")
    reference = kind(n_input_channels=1, shortcut_type="B", feed_forward=False, **options).eval()
    reference.load_state_dict(encoder.network.state_dict())
    images = torch.rand(2, 1, *SIZES[encoder.dimensions], generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        assert torch.allclose(encoder(images), reference(images), atol=1e-5)


@pytest.mark.parametrize("dimensions", [2, 3])
def test_residual_block_adds_its_shortcut(dimensions):
    """Equal channels and stride 1 have an identity shortcut: a silent body passes positive inputs on."""
    block = ResidualBlock(4, 4, 1, dimensions).eval()
    torch.nn.init.zeros_(block.body[3].weight)
    inputs = torch.rand(2, 4, *[6] * dimensions)
    assert torch.equal(block(inputs), inputs)


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("small_cnn", 0.303), ("resnet18", 11.2), ("resnet50", 23.5), ("vit_tiny", 5.3), ("vit_small", 21.4),
        ("unet", 1.17), ("small_cnn_3d", 0.883), ("resnet18_3d", 33.2), ("unet_3d", 0.879),
    ],
)  # fmt: skip
def test_number_of_weights(name, millions, built):
    """The networks are as large as their descriptions say."""
    assert weights(built(name)) / 1e6 == pytest.approx(millions, rel=0.009)


@pytest.mark.parametrize(("kind", "kernel"), [(SmallCNN, 9), (SmallCNN3D, 27)])
def test_small_cnn_has_the_weights_of_its_layers(kind, kernel):
    """The count follows from the layers: kab for a convolution, ab for a shortcut, 2b for a normalisation."""

    def block(a, b):
        return kernel * a * b + kernel * b * b + a * b + 3 * 2 * b

    expected = kernel * 16 + 2 * 16 + block(16, 32) + block(32, 64) + block(64, 128)
    assert weights(kind()) == expected


def test_the_twin_for_volumes_sees_a_single_slice_as_the_original_does(built):
    """With the 2-D kernels in its middle slices, a volume of one slice gives the features of the image."""
    flat, deep = built("small_cnn"), SmallCNN3D().eval()
    state = flat.state_dict()
    for key, value in deep.state_dict().items():
        if value.ndim == 5:
            value.zero_()
            value[:, :, value.shape[2] // 2] = state[key]
        else:
            value.copy_(state[key])
    image = torch.rand(2, 1, 20, 28, generator=torch.Generator().manual_seed(4))
    with torch.no_grad():
        assert torch.allclose(deep.features(image[:, :, None])[:, :, 0], flat.features(image), atol=1e-6)


def names_of(name, kind) -> list[str]:
    """Names in the state of a convolution (with or without bias) or a normalisation."""
    kinds = {
        "convolution": ["weight"], "biased": ["weight", "bias"],
        "normalisation": ["weight", "bias", "running_mean", "running_var", "num_batches_tracked"],
    }  # fmt: skip
    return [f"{name}.{part}" for part in kinds[kind]]


def pair(head, first, second, convolution="convolution") -> list[str]:
    """Names of a convolution and the normalisation after it."""
    return names_of(f"{head}.{first}", convolution) + names_of(f"{head}.{second}", "normalisation")


def test_the_names_of_small_cnn_never_change():
    """Checkpoints of earlier runs load: the names of the weights are these."""
    expected = pair("stem", 0, 1)
    for block in ("blocks.0", "blocks.1", "blocks.2"):
        expected += pair(f"{block}.body", 0, 1) + pair(f"{block}.body", 3, 4)
        expected += pair(f"{block}.shortcut", 0, 1)
    assert list(SmallCNN().state_dict()) == expected


def test_the_names_of_resnet18_never_change(built):
    """Checkpoints of earlier runs load: the names of the weights are these."""
    expected = pair("network", "conv1", "bn1")
    for stage in (1, 2, 3, 4):
        for block in (0, 1):
            head = f"network.layer{stage}.{block}"
            expected += pair(head, "conv1", "bn1") + pair(head, "conv2", "bn2")
            if stage > 1 and block == 0:
                expected += pair(f"{head}.downsample", 0, 1, "biased")
    assert list(built("resnet18").state_dict()) == expected


def test_an_unknown_encoder_names_the_known_ones():
    """A misspelt architecture is an error that lists what exists."""
    with pytest.raises(UsageError, match="unknown encoder 'vit': choose one of small_cnn, resnet18"):
        build("vit")
