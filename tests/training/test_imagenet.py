"""Weights from ImageNet, without a download: the names of torchvision and timm onto those of the encoders."""

import copy
import importlib
import sys
from types import SimpleNamespace

import pytest
import torch
from monai.networks.nets import resnet18

from medssl import encoders
from medssl.errors import DataError, UsageError
from medssl.training import imagenet, initialise

STAGES = {"resnet18": (2, 2, 2, 2), "resnet50": (3, 4, 6, 3)}
FACTOR = {"resnet18": 1, "resnet50": 4}  # channels after a block, per channel inside


def block_of(architecture, inputs, inside, stride) -> dict:
    """Shapes of one block: kernels, normalisations and, where the size changes, the shortcut."""
    outputs = inside * FACTOR[architecture]
    sides = {"resnet18": (3, 3), "resnet50": (1, 3, 1)}[architecture]
    channels = (inputs, *[inside] * (len(sides) - 1), outputs)
    shapes = {}
    for i, side in enumerate(sides, 1):
        shapes[f"conv{i}.weight"] = (channels[i], channels[i - 1], side, side)
        shapes |= {f"bn{i}.{name}": shape for name, shape in normalisation(channels[i]).items()}
    if stride > 1 or inputs != outputs:
        shapes["downsample.0.weight"] = (outputs, inputs, 1, 1)
        shapes |= {f"downsample.1.{name}": shape for name, shape in normalisation(outputs).items()}
    return shapes


def normalisation(channels) -> dict:
    """Shapes of a batch normalisation."""
    return {name: (channels,) for name in ("weight", "bias", "running_mean", "running_var")} | {
        "num_batches_tracked": ()
    }


def published_shapes(architecture) -> dict:
    """Names and shapes as torchvision and timm have them."""
    shapes = {"conv1.weight": (64, 3, 7, 7)}
    shapes |= {f"bn1.{name}": shape for name, shape in normalisation(64).items()}
    inputs = 64
    for stage, count in enumerate(STAGES[architecture]):
        for block in range(count):
            stride = 2 if stage and block == 0 else 1
            inside = block_of(architecture, inputs, 64 << stage, stride)
            shapes |= {f"layer{stage + 1}.{block}.{name}": shape for name, shape in inside.items()}
            inputs = (64 << stage) * FACTOR[architecture]
    return shapes | {"fc.weight": (1000, inputs), "fc.bias": (1000,)}


@pytest.fixture(scope="session")
def published():
    """Random weights of ResNet-18 under the names of torchvision, with variances above zero."""
    generator = torch.Generator().manual_seed(0)
    return {
        name: 0.5 + torch.rand(shape, generator=generator)
        if "bn" in name or "downsample.1" in name
        else 0.05 * torch.randn(shape, generator=generator)
        for name, shape in published_shapes("resnet18").items()
        if not name.endswith("num_batches_tracked")  # as in old files
    }


def constant(architecture) -> dict:
    """Weights that take no space: each tensor is one value, expanded."""
    return {name: torch.ones(()).expand(shape) for name, shape in published_shapes(architecture).items()}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The empty folder where torch keeps downloads; timm is not installed."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "timm", None)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    return tmp_path / "hub" / "checkpoints"


def test_the_encoder_computes_what_the_published_network_computes(published, folder):
    """With the large stem and summed channels, a grey image gives the features of the colour network."""
    torch.save(published, folder / "resnet18-01234567.pth")
    encoder = encoders.build("resnet18_large_stem").eval()
    report = initialise(encoder, imagenet("resnet18_large_stem"), grey="sum")
    reference = resnet18(
        spatial_dims=2, n_input_channels=3, conv1_t_stride=2, num_classes=1000, bias_downsample=False
    ).eval()
    missing, unexpected = reference.load_state_dict(published, strict=False)
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    reference.fc = torch.nn.Identity()  # what is left ends in average pooling
    image = torch.rand(2, 1, 40, 40, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = reference(image.expand(-1, 3, -1, -1))
        assert torch.allclose(encoder(image), expected, rtol=1e-3, atol=1e-3 * expected.abs().max().item())
    assert (report.share, report.summed) == (1.0, ("network.conv1.weight",))


@pytest.mark.parametrize("name", ["resnet18_large_stem", "resnet50_large_stem"])
def test_names_and_shapes_are_those_of_the_encoder(name, tmp_path):
    """Every weight of the encoder is there and no other; only the colour kernel has another shape."""
    architecture = name.removesuffix("_large_stem")
    torch.save(constant(architecture), tmp_path / "weights.pth")
    state = imagenet(name, file=tmp_path / "weights.pth")
    with torch.device("meta"):
        own = encoders.build(name).state_dict()
    assert state.keys() == own.keys()
    assert [key for key in own if own[key].shape != state[key].shape] == ["network.conv1.weight"]
    biases = [key for key in state if key.endswith("downsample.0.bias")]
    assert len(biases) == {"resnet18": 3, "resnet50": 4}[architecture]
    assert not any(state[key].any() for key in biases)


def test_the_small_stem_is_reported_and_all_else_loaded(published, tmp_path):
    """The stem for small images has another shape: an error, or one line of the report."""
    torch.save({"state_dict": published}, tmp_path / "weights.pth")
    state, encoder = imagenet("resnet18", file=tmp_path / "weights.pth"), encoders.build("resnet18")
    stem = copy.deepcopy(encoder.network.conv1.weight)
    with pytest.raises(DataError, match=r"network\.conv1\.weight has shape \(64, 3, 7, 7\), expected"):
        initialise(encoder, state, grey="sum")
    report = initialise(encoder, state, strict=False, grey="sum")
    assert report.problems() == ["network.conv1.weight has shape (64, 3, 7, 7), expected (64, 1, 3, 3)"]
    assert torch.equal(encoder.network.conv1.weight, stem)
    assert torch.equal(encoder.network.layer4[1].bn2.weight, published["layer4.1.bn2.weight"])
    assert report.share > 0.999


def test_without_weights_the_error_says_what_was_tried(folder):
    """One sentence names the folder, timm and why it failed, and two ways out."""
    with pytest.raises(UsageError) as caught:
        imagenet("resnet50")
    assert str(folder) in str(caught.value)
    for part in (r"resnet50-????????.pth", "timm (ModuleNotFoundError", "pip install timm", "file="):
        assert part in str(caught.value)


def test_a_broken_torchvision_is_part_of_the_error(folder, monkeypatch):
    """timm imports torchvision; what that raises is told, and does not come through."""

    def broken(name):
        raise RuntimeError("operator torchvision::nms does not exist")

    monkeypatch.setattr(importlib, "import_module", broken)
    with pytest.raises(UsageError, match=r"timm \(RuntimeError: operator torchvision::nms does not"):
        imagenet("resnet18")


@pytest.fixture
def timm(folder, monkeypatch, published):
    """Stand-ins for timm and its store of downloads, which note what they were asked for."""
    asked = []

    def create_model(name, pretrained):
        asked.append(("create", name, pretrained))
        return SimpleNamespace(state_dict=lambda: published)

    def cached(source, file):
        asked.append(("cached", source, file))
        return stand_in.cached_file

    def read(file):
        asked.append(("read", file))
        return published

    stand_in = SimpleNamespace(
        create_model=create_model, models=SimpleNamespace(load_state_dict=read), asked=asked,
        cached_file=None, get_pretrained_cfg=lambda name: SimpleNamespace(hf_hub_id=f"timm/{name}.some"),
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "timm", stand_in)
    monkeypatch.setitem(sys.modules, "huggingface_hub", SimpleNamespace(try_to_load_from_cache=cached))
    return stand_in


def test_nothing_is_fetched_unless_the_user_asks(timm):
    """By default timm is asked only for what it has; an empty store is an error that names it."""
    with pytest.raises(UsageError, match=r"it has not downloaded timm/resnet18\.some"):
        imagenet("resnet18")
    assert timm.asked == [("cached", "timm/resnet18.some", "model.safetensors")]


def test_what_timm_has_downloaded_is_used(timm, published):
    """A file in timm's store is read without the network."""
    timm.cached_file = "store/model.safetensors"
    state = imagenet("resnet18")
    assert timm.asked[1:] == [("read", "store/model.safetensors")]
    assert torch.equal(state["network.bn1.bias"], published["bn1.bias"])


def test_timm_may_fetch_when_it_is_allowed(timm):
    """With `download=True` timm makes the pretrained network."""
    assert "network.layer4.1.conv2.weight" in imagenet("resnet18", download=True)
    assert timm.asked == [("create", "resnet18", True)]


def test_a_choice_between_files_is_left_to_the_user(folder):
    """Two published versions are not chosen between in silence."""
    for name in ("resnet50-0676ba61.pth", "resnet50-11ad3fa6.pth", "resnet18-f37072fd.pth"):
        (folder / name).touch()
    with pytest.raises(UsageError, match=r"fit, resnet50-0676ba61\.pth, resnet50-11ad3fa6\.pth\. Choose one"):
        imagenet("resnet50")


def test_weights_of_another_network_are_refused(tmp_path):
    """A file of ResNet-50 is no ResNet-18."""
    torch.save(constant("resnet50"), tmp_path / "weights.pth")
    with pytest.raises(DataError, match=r"weights\.pth: not the weights of resnet18, .* shapes differ"):
        imagenet("resnet18", file=tmp_path / "weights.pth")


def test_encoders_without_such_weights_are_refused():
    """The error lists the encoders that can have them."""
    with pytest.raises(UsageError, match="for encoder 'small_cnn': choose one of resnet18, resnet50"):
        imagenet("small_cnn")


def test_no_random_number_is_drawn(tmp_path):
    """What is seeded before stays as it would be without these weights."""
    torch.save(constant("resnet18"), tmp_path / "weights.pth")
    before = torch.get_rng_state()
    imagenet("resnet18", file=tmp_path / "weights.pth")
    assert torch.equal(torch.get_rng_state(), before)
