"""Starting from a checkpoint: all of it, or an error or a report that names each key."""

import copy

import pytest
import torch
from torch.nn import functional

from medssl import ssl
from medssl.encoders import ResNet18, SmallCNN
from medssl.errors import DataError, UsageError
from medssl.training import initialise, save_encoder
from medssl.training.checkpoint import save_checkpoint


@pytest.fixture
def source():
    """An encoder whose weights and statistics are not those that a new one has."""
    torch.manual_seed(1)
    encoder = SmallCNN()
    with torch.no_grad():
        for value in encoder.state_dict().values():
            if value.is_floating_point():
                value.add_(torch.rand_like(value))
    return encoder


@pytest.fixture
def encoder():
    """An encoder that has other weights than the source."""
    torch.manual_seed(2)
    return SmallCNN()


def with_prefix(prefix, state) -> dict:
    """The same tensors with something before each key."""
    return {prefix + key: value for key, value in state.items()}


def test_a_saved_encoder_comes_back(source, encoder, same_weights, tmp_path):
    """The file that `medssl pretrain` writes is loaded bit for bit, and the report says so."""
    save_encoder(tmp_path / "encoder.pt", source, {"mean": 0.5})
    report = initialise(encoder, tmp_path / "encoder.pt")
    same_weights(encoder, source)
    assert (report.share, report.prefix, report.problems(), report.outside) == (1.0, "", [], ())
    assert len(report.loaded) == len(source.state_dict())


@pytest.mark.parametrize(
    "nests", [(), ("state_dict",), ("model",), ("encoder",), ("method",), ("model", "state_dict")]
)
def test_weights_are_found_under_the_usual_keys(nests, source, encoder, same_weights, tmp_path):
    """A state dict may stand bare or nested, beside values that are no weights."""
    state = source.state_dict()
    for nest in reversed(nests):
        state = {nest: state, "epoch": 3, "loss": torch.ones(())}
    torch.save(state, tmp_path / "some.pt")
    assert initialise(encoder, tmp_path / "some.pt").share == 1
    same_weights(encoder, source)


@pytest.mark.parametrize(
    "prefix", ["", "module.", "backbone.", "encoder.", "model.", "module.backbone.encoder."]
)
def test_usual_prefixes_are_recognised(prefix, source, encoder, same_weights):
    """What wrappers put before the names is taken off, and reported."""
    report = initialise(encoder, with_prefix(prefix, source.state_dict()))
    same_weights(encoder, source)
    assert (report.prefix, report.share) == (prefix, 1.0)


@pytest.mark.parametrize("prefix", ["online.net", "online.net."])
def test_any_other_prefix_can_be_named(prefix, source, encoder, same_weights):
    """A prefix that nobody uses has to be given, with or without its dot."""
    state = with_prefix("online.net.", source.state_dict())
    with pytest.raises(DataError, match=r"missing stem\.0\.weight"):
        initialise(encoder, state)
    assert initialise(encoder, state, prefix=prefix).share == 1
    same_weights(encoder, source)


def test_a_prefix_that_no_key_has_names_those_there_are(source, encoder):
    """A misspelt prefix is an error that shows how keys begin."""
    state = with_prefix("encoder.", source.state_dict()) | {"head.weight": torch.ones(2)}
    with pytest.raises(DataError, match=r"no key begins with 'encodr\.'; keys begin with encoder, head"):
        initialise(encoder, state, prefix="encodr")


def test_a_pretraining_checkpoint_gives_its_encoder_or_its_teacher(source, encoder, same_weights, tmp_path):
    """The state of a method gives its encoder and names heads and teacher; the teacher can be asked for."""
    method = ssl.build("byol", source)
    with torch.no_grad():
        for weight in method.teacher.parameters():
            weight.add_(1.0)
    save_checkpoint(tmp_path / "run.pt", {"identity": {}, "method": method.state_dict(), "epoch": 2})
    report = initialise(encoder, tmp_path / "run.pt")
    same_weights(encoder, source)
    assert {key.partition(".")[0] for key in report.outside} == {"projector", "predictor", "teacher"}
    initialise(encoder, tmp_path / "run.pt", prefix="teacher.0.")
    same_weights(encoder, method.teacher[0])


@pytest.fixture
def unfit(source):
    """A state that lacks a key, has one too many and one of another shape."""
    state = source.state_dict()
    state["extra.bias"] = state.pop("stem.0.weight")
    state["stem.1.weight"] = torch.ones(3)
    return state


def test_a_state_that_does_not_fit_lists_every_key(unfit, encoder, same_weights, tmp_path):
    """Missing, unexpected and misshapen keys are in one error, and the encoder keeps its weights."""
    before, path = copy.deepcopy(encoder), tmp_path / "unfit.pt"
    torch.save(unfit, path)
    with pytest.raises(DataError) as caught:
        initialise(encoder, path)
    assert str(caught.value) == (
        f"{path}: weights do not fit the encoder: missing stem.0.weight; unexpected extra.bias; "
        "stem.1.weight has shape (3,), expected (16,). "
        "Choose the encoder that they were made for, or allow it with strict=False."
    )
    same_weights(encoder, before)


def test_what_does_not_fit_can_be_allowed_and_is_reported(unfit, source, encoder):
    """Without strictness the rest is loaded, the others keep their values, and all is in the report."""
    before = copy.deepcopy(encoder.state_dict())
    report = initialise(encoder, unfit, strict=False)
    assert report.missing == ("stem.0.weight",)
    assert report.unexpected == ("extra.bias",)
    assert report.mismatched == (("stem.1.weight", (3,), (16,)),)
    for key, value in encoder.state_dict().items():
        kept = key in ("stem.0.weight", "stem.1.weight")
        assert torch.equal(value, before[key] if kept else source.state_dict()[key]), key
    values = sum(value.numel() for key, value in before.items() if not key.endswith("num_batches_tracked"))
    assert report.share == pytest.approx(1 - (16 * 9 + 16) / values, rel=1e-12)


def test_the_share_counts_values_and_not_keys(source, encoder):
    """One key of a single layer is the share that its values have."""
    key, state = "blocks.2.body.3.weight", source.state_dict()
    values = sum(value.numel() for name, value in state.items() if not name.endswith("num_batches_tracked"))
    report = initialise(encoder, {key: state[key]}, strict=False)
    assert (report.loaded, report.share) == ((key,), 9 * 128 * 128 / values)


@pytest.mark.parametrize("strict", [True, False])
def test_a_state_of_which_nothing_fits_is_an_error(strict, encoder, same_weights):
    """Nobody trains from scratch without knowing it."""
    before = copy.deepcopy(encoder)
    with pytest.raises(
        DataError, match=r"fit.* the encoder: missing stem\.0\.weight.*unexpected layer\.weight"
    ):
        initialise(encoder, {"layer.weight": torch.ones(2)}, strict=strict)
    same_weights(encoder, before)


def test_counters_alone_are_no_weights(source, encoder):
    """Counters of batches, which fit everywhere, do not make a state that fits."""
    counters = {k: v for k, v in source.state_dict().items() if k.endswith("num_batches_tracked")}
    with pytest.raises(DataError, match="no weight fits the encoder"):
        initialise(encoder, counters, strict=False)


def test_old_checkpoints_without_counters_fit(source, encoder):
    """Counters of batches influence nothing and may be absent."""
    state = {k: v for k, v in source.state_dict().items() if not k.endswith("num_batches_tracked")}
    assert initialise(encoder, state).share == 1


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_refused(value, source, encoder, same_weights):
    """A damaged run does not go on, and the error names the layer."""
    before, state = copy.deepcopy(encoder), source.state_dict()
    state["blocks.1.body.0.weight"][0, 0, 0, 0] = value
    with pytest.raises(DataError, match=r"not finite: blocks\.1\.body\.0\.weight"):
        initialise(encoder, state, strict=False)
    same_weights(encoder, before)


def coloured(state) -> dict:
    """The state with a first convolution of three different input channels."""
    kernel = state["stem.0.weight"]
    return state | {"stem.0.weight": torch.cat([0.2 * kernel, 0.7 * kernel - 1, 0.3 * kernel], 1)}


def test_summed_channels_are_exact_for_a_repeated_grey_image(source, encoder):
    """One channel with summed kernels gives what three equal channels give with the colour kernels."""
    state = coloured(source.state_dict())
    report = initialise(encoder, state, grey="sum")
    image = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    colour = functional.conv2d(image.expand(-1, 3, -1, -1), state["stem.0.weight"], None, 2, 1)
    with torch.no_grad():
        assert torch.allclose(encoder.stem[0](image), colour, atol=1e-5)
        expected = source.eval().blocks(source.stem[1:](colour))
        assert torch.allclose(encoder.eval().features(image), expected, rtol=1e-4, atol=1e-4)
    assert (report.summed, report.share) == (("stem.0.weight",), 1.0)


def test_colour_channels_are_not_summed_unasked(source, encoder):
    """Three input channels for one are a mismatch with both shapes, unless the caller says what to do."""
    with pytest.raises(
        DataError, match=r"stem\.0\.weight has shape \(16, 3, 3, 3\), expected \(16, 1, 3, 3\)"
    ):
        initialise(encoder, coloured(source.state_dict()))


@pytest.mark.parametrize("shape", [(16, 2, 3, 3), (16, 3, 5, 5), (8, 3, 3, 3), (16, 3)])
def test_only_three_channels_of_the_same_kernel_are_summed(shape, source, encoder):
    """Another number of channels, another size or another width stays a mismatch."""
    state = source.state_dict() | {"stem.0.weight": torch.ones(shape)}
    report = initialise(encoder, state, strict=False, grey="sum")
    assert report.mismatched == (("stem.0.weight", shape, (16, 1, 3, 3)),)
    assert report.summed == ()


def test_an_unknown_word_for_grey_is_refused(source, encoder):
    """There is one way to make grey of colour."""
    with pytest.raises(UsageError, match="grey must be 'sum' or None, got 'mean'"):
        initialise(encoder, source.state_dict(), grey="mean")


def test_names_of_a_bare_residual_network_are_recognised(same_weights):
    """Checkpoints of MONAI's own networks lack the wrapper's name; their classifier is unexpected."""
    torch.manual_seed(0)
    source, other = ResNet18(), ResNet18()
    state = with_prefix("module.", source.network.state_dict())
    assert initialise(other, state).share == 1
    same_weights(other, source)
    state["module.fc.weight"] = torch.ones(1000, 512)
    with pytest.raises(DataError, match=r"the encoder: unexpected fc\.weight\. Choose"):
        initialise(other, state)


def test_weights_keep_the_precision_of_the_encoder(source, encoder):
    """Half precision in the file becomes single precision in the encoder."""
    state = {key: value.half() if value.ndim else value for key, value in source.state_dict().items()}
    initialise(encoder, state)
    weight = encoder.stem[0].weight
    assert weight.dtype == torch.float32
    assert torch.equal(weight, state["stem.0.weight"].float())


def test_no_random_number_is_drawn(source, encoder):
    """What is seeded before stays as it would be without a checkpoint."""
    before = torch.get_rng_state()
    initialise(encoder, source.state_dict())
    assert torch.equal(torch.get_rng_state(), before)


class Opens:
    """An object whose loading would create a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_pickled_code_is_refused_and_not_run(encoder, tmp_path):
    """A file that would execute code is an error that says what to name, and nothing is executed."""
    torch.save({"state_dict": Opens(tmp_path / "trace")}, tmp_path / "evil.pt")
    with pytest.raises(
        DataError, match=r"evil\.pt: not a readable checkpoint \(UnpicklingError\)\. Name a file"
    ):
        initialise(encoder, tmp_path / "evil.pt")
    assert not (tmp_path / "trace").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"some\.pt: not a readable checkpoint \(FileNotFoundError\)"),
        ([1, 2], r"some\.pt: holds no checkpoint but a list"),
        (
            {"epoch": 3, "model": {"note": "none"}},
            r"some\.pt: holds no weights, bare or under state_dict, model",
        ),
    ],
)
def test_a_file_without_weights_is_one_error(content, message, encoder, tmp_path):
    """A file that is absent or holds something else is named."""
    if content is not None:
        torch.save(content, tmp_path / "some.pt")
    with pytest.raises(DataError, match=message):
        initialise(encoder, tmp_path / "some.pt")
