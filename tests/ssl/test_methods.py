"""What holds for every self-supervised method."""

import copy
import sys

import pytest
import torch

from medssl.encoders import SmallCNN, SmallCNN3D
from medssl.errors import UsageError
from medssl.ssl import METHODS, build
from medssl.training import PretrainConfig, pretrain

# Views are compared, or all their rotations told apart: all randomness is in the views.
# (DiRA is here because of its first stage.)
VIEWS_ALONE = {
    "simclr", "byol", "simsiam", "barlow_twins", "vicreg", "moco", "moco_v3", "swav", "dino", "rotation",
    "y_aware", "dira",
}  # fmt: skip
# Something is hidden, moved or distorted, which the method draws itself.
DRAWS_ITSELF = {
    "masked_autoencoder", "simmim", "inpainting", "context_restoration", "models_genesis", "denoising",
    "relative_position", "jigsaw", "pirl", "rubiks_cube", "popar", "smit",
    "brain_aware_replacement",
}  # fmt: skip
TEACHERS = {"byol", "moco", "moco_v3", "dino", "pirl", "dira", "smit"}
ACTS_AFTER_A_STEP = TEACHERS | {"swav"}
VOLUMES = {"rubiks_cube"}  # methods that images of two dimensions do not serve
LATER = {"swav": {"prototypes"}, "dira": {"decoder", "discriminator"}}  # left alone by the first steps


def images_of(method, batch=8, side=16, seed=0):
    """Random images, or volumes for an encoder of volumes."""
    sides = (side,) * method.encoder.dimensions
    return torch.rand(batch, 1, *sides, generator=torch.Generator().manual_seed(seed))


def encoder_of(name):
    """A small encoder of what the method takes."""
    return SmallCNN3D() if name in VOLUMES else SmallCNN()


def loss_of(method, images, view, generator):
    """The loss, with what the method needs beside images."""
    beside = {"covariate": torch.arange(float(len(images)))}
    return method.loss(images, view, generator, **{key: beside[key] for key in getattr(method, "needs", ())})


def unchanged(images):
    """The view that is the image itself."""
    return images


def made(name, seed=0):
    """A method around a small encoder, the same for the same seed."""
    torch.manual_seed(seed)
    return build(name, encoder_of(name))


def one_step(method, optimizer, step=0, steps=10):
    """One step of a loop, as pretraining makes it, on images that depend on the step."""
    random = torch.Generator().manual_seed(step)
    loss = loss_of(method, images_of(method, seed=step), noisy(random), random)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    if hasattr(method, "after_step"):
        method.after_step(step, steps)
    return loss.item()


def noisy(generator):
    """A view that adds noise."""
    return lambda images: images + 0.1 * torch.randn(images.shape, generator=generator)


def test_all_methods_are_covered():
    """The tests below run for every method that a user can name, and each of these is of one kind."""
    assert set(METHODS) == VIEWS_ALONE | DRAWS_ITSELF
    assert not VIEWS_ALONE & DRAWS_ITSELF
    assert {name for name, method in METHODS.items() if hasattr(method, "after_step")} == ACTS_AFTER_A_STEP


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_of_the_encoder_gets_a_gradient(name, generator):
    """The loss is a finite scalar and reaches all weights of encoder and head; a teacher gets no gradient."""
    method = made(name)
    loss = loss_of(method, images_of(method), noisy(generator), generator)
    assert loss.ndim == 0
    loss.backward()
    moved = set()
    for key, weight in method.named_parameters():
        if key.startswith("teacher") or key.split(".")[0] in LATER.get(name, ()):
            assert weight.grad is None, key
            continue
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key
        moved |= {key} if weight.grad.abs().max() > 0 else set()
    assert {key for key, _ in method.named_parameters() if key.startswith("encoder")} <= moved


@pytest.mark.parametrize("name", METHODS)
def test_weights_without_gradient_are_teachers(name):
    """Whatever asks for no gradient belongs to a teacher, and a teacher asks for none at all."""
    asks = {key: weight.requires_grad for key, weight in made(name).named_parameters()}
    assert {key for key, asked in asks.items() if not asked} == {key for key in asks if "teacher" in key}
    assert (not all(asks.values())) == (name in TEACHERS)


@pytest.mark.parametrize("name", METHODS)
def test_the_head_is_not_part_of_the_encoder(name):
    """What pretraining hands over has the keys of the architecture alone."""
    assert made(name).encoder.state_dict().keys() == encoder_of(name).state_dict().keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_encoder_that_it_was_given(name):
    """The encoder is not copied: training the method trains it."""
    encoder = encoder_of(name)
    assert build(name, encoder).encoder is encoder


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_depends_on_the_generator_alone(name):
    """The same weights, images and state of the generator give the same loss, whatever the global state."""
    method, losses = made(name), []
    for seed, elsewhere in ((1, 3), (1, 4), (2, 3)):
        torch.manual_seed(elsewhere)
        random = torch.Generator().manual_seed(seed)
        losses.append(loss_of(method, images_of(method), unchanged, random).item())
    assert losses[0] == losses[1]
    assert (losses[0] == losses[2]) == (name in VIEWS_ALONE)


@pytest.mark.parametrize("name", METHODS)
def test_the_seed_at_construction_decides_the_start(name):
    """Weights and queues are drawn from torch's global state alone."""
    first, again, other = (made(name, seed).state_dict() for seed in (1, 1, 2))
    assert all(torch.equal(value, again[key]) for key, value in first.items())
    assert not all(torch.equal(value, other[key]) for key, value in first.items())


@pytest.mark.parametrize("name", METHODS)
def test_images_are_left_as_they_are(name, generator):
    """The pool stays on the device between epochs, so that nothing may write into it."""
    method = made(name)
    images = images_of(method)
    loss_of(method, images, unchanged, generator)
    assert torch.equal(images, images_of(method))


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_is_in_single_precision_under_autocast(name, generator, autocast):
    """The loop may compute in bfloat16; the loss does not, and lies near that of single precision."""
    method = made(name)
    loss = loss_of(method, images_of(method), unchanged, torch.Generator().manual_seed(1))
    assert loss.dtype == torch.float32
    with torch.autocast("cpu", enabled=False):
        exact = loss_of(method, images_of(method), unchanged, torch.Generator().manual_seed(1))
    assert loss.item() == pytest.approx(exact.item(), rel=0.2, abs=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_all_that_a_method_keeps_is_in_its_state(name):
    """Teachers, queues, centres: another instance that takes the state goes on to the same bits."""
    method, other = made(name), made(name, seed=1)
    optimizer = torch.optim.SGD(method.parameters(), 0.01)
    for step in range(3):
        one_step(method, optimizer, step)
    other.load_state_dict(copy.deepcopy(method.state_dict()))
    following = torch.optim.SGD(other.parameters(), 0.01)
    for step in range(3, 6):
        assert one_step(other, following, step) == one_step(method, optimizer, step)
    for key, value in method.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.parametrize("name", sorted(ACTS_AFTER_A_STEP))
def test_an_interrupted_run_ends_in_the_bits_of_a_whole_one(name, blobs, tmp_path, monkeypatch):
    """A run stopped after its first epoch and started again has the losses and the encoder of a whole one."""
    loop, pool = sys.modules["medssl.training.pretrain"], blobs(24)[0]
    config, path = PretrainConfig(name, epochs=3, batch_size=8), tmp_path / "run.pt"
    whole = pretrain(pool, "xray", config, device="cpu")

    def save_and_stop(*arguments, save=loop.save_checkpoint):
        save(*arguments)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(loop, "save_checkpoint", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            pretrain(pool, "xray", config, device="cpu", checkpoint=path)
    torch.manual_seed(99)  # the global state of the second process is another one
    resumed = pretrain(pool, "xray", config, device="cpu", checkpoint=path)
    assert resumed.history == whole.history
    for key, value in whole.encoder.state_dict().items():
        assert torch.equal(value, resumed.encoder.state_dict()[key]), key


def test_options_reach_the_configuration():
    """Options are fields of the configuration; what is not given keeps its default."""
    config = build("masked_autoencoder", SmallCNN(), ratio=0.75).config
    assert (config.ratio, config.patch) == (0.75, 4)


@pytest.mark.parametrize("name", METHODS)
def test_an_unknown_option_names_the_known_ones(name):
    """A misspelt option is an error that lists what exists."""
    known = ", ".join(METHODS[name].Config.__dataclass_fields__)
    with pytest.raises(UsageError, match=f"{name} has no option heat, masking: its options are {known}"):
        build(name, SmallCNN(), heat=0.1, masking=1)


def test_an_unknown_method_names_the_known_ones():
    """A misspelt method is an error that lists what exists."""
    known = ", ".join(METHODS)
    with pytest.raises(UsageError, match=f"unknown method 'moco_v4': choose one of {known}"):
        build("moco_v4", SmallCNN())
