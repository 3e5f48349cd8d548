"""What holds for every self-supervised method."""

import pytest
import torch

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl import METHODS, build


def test_both_methods_are_covered():
    """The tests below run for every method that a user can name."""
    assert set(METHODS) == {"simclr", "masked_autoencoder"}


@pytest.mark.parametrize("name", METHODS)
def test_every_weight_of_the_encoder_gets_a_gradient(name, generator):
    """The loss is a finite scalar and reaches every weight of encoder and head."""
    torch.manual_seed(0)
    method = build(name, SmallCNN())
    loss = method.loss(
        torch.rand(8, 1, 16, 16), lambda x: x + 0.1 * torch.randn(x.shape, generator=generator), generator
    )
    assert loss.ndim == 0
    loss.backward()
    for key, weight in method.named_parameters():
        assert weight.grad is not None, key
        assert torch.isfinite(weight.grad).all(), key
    moved = {key for key, weight in method.named_parameters() if weight.grad.abs().max() > 0}
    assert {key for key, _ in method.named_parameters() if key.startswith("encoder")} <= moved


@pytest.mark.parametrize("name", METHODS)
def test_the_head_is_not_part_of_the_encoder(name):
    """What pretraining hands over has the keys of the architecture alone."""
    assert build(name, SmallCNN()).encoder.state_dict().keys() == SmallCNN().state_dict().keys()


@pytest.mark.parametrize("name", METHODS)
def test_a_method_keeps_the_encoder_that_it_was_given(name):
    """The encoder is not copied: training the method trains it."""
    encoder = SmallCNN()
    assert build(name, encoder).encoder is encoder


@pytest.mark.parametrize("name", METHODS)
def test_the_loss_depends_on_the_generator_alone(name):
    """The same weights, images and state of the generator give the same loss."""
    torch.manual_seed(0)
    method = build(name, SmallCNN())
    images = torch.rand(8, 1, 16, 16)
    losses = [
        method.loss(images, lambda x: x, torch.Generator().manual_seed(seed)).item() for seed in (1, 1, 2)
    ]
    assert losses[0] == losses[1]
    assert (losses[0] == losses[2]) == (name == "simclr")  # there the views carry the randomness


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
    with pytest.raises(UsageError, match="unknown method 'dino': choose one of simclr, masked_autoencoder"):
        build("dino", SmallCNN())
