"""NT-Xent against a double loop, MONAI, closed forms and its invariances."""

import math

import pytest
import torch
from monai.losses import ContrastiveLoss

from medssl.encoders import SmallCNN
from medssl.ssl import SimCLR
from medssl.ssl.simclr import SimCLRConfig, normalised_temperature_cross_entropy


def projections(batch=7, dimensions=5, seed=0):
    """Two sets of random projections."""
    return torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed))


def slow_loss(first, second, temperature):
    """Equation 1 of Chen et al. (2020), one anchor and one negative at a time."""
    z = [*first, *second]
    count, total = len(z), 0.0

    def similarity(i, j):
        return (z[i] @ z[j] / (z[i].norm() * z[j].norm())).item() / temperature

    for i in range(count):
        partner = (i + count // 2) % count
        others = sum(math.exp(similarity(i, k)) for k in range(count) if k != i)
        total -= math.log(math.exp(similarity(i, partner)) / others)
    return total / count


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
@pytest.mark.parametrize("batch", [2, 7])
def test_loss_is_the_double_loop(batch, temperature):
    """The matrix product gives what equation 1 gives, anchor by anchor."""
    first, second = projections(batch)
    expected = slow_loss(first.double(), second.double(), temperature)
    assert normalised_temperature_cross_entropy(first, second, temperature).item() == pytest.approx(
        expected, rel=1e-5
    )


@pytest.mark.parametrize("temperature", [0.2, 0.5, 1.0])
def test_loss_is_that_of_monai(temperature):
    """MONAI's independent implementation gives the same value."""
    first, second = projections(16, 8)
    expected = ContrastiveLoss(temperature)(first, second)
    assert torch.allclose(
        normalised_temperature_cross_entropy(first, second, temperature), expected, rtol=0, atol=1e-6
    )


@pytest.mark.parametrize("batch", [1, 4, 33])
def test_equal_projections_give_the_loss_of_guessing(batch):
    """When nothing tells images apart the partner is one of 2B - 1 equals."""
    same = torch.ones(batch, 3)
    loss = normalised_temperature_cross_entropy(same, same, 0.2).item()
    assert loss == pytest.approx(math.log(2 * batch - 1), abs=1e-5)


def test_orthogonal_images_have_a_closed_form():
    """Equal views of mutually orthogonal images give log(1 + (2B - 2) exp(-1 / temperature))."""
    eye = torch.eye(6)
    loss = normalised_temperature_cross_entropy(eye, eye, 0.5).item()
    assert loss == pytest.approx(math.log(1 + 10 * math.exp(-2)), rel=1e-5)


def test_loss_ignores_order_length_and_the_name_of_the_views():
    """Permuting the images, scaling any projection or exchanging the views changes nothing."""
    first, second = projections(9)
    loss = normalised_temperature_cross_entropy(first, second, 0.2)
    order = torch.randperm(9, generator=torch.Generator().manual_seed(1))
    lengths = torch.rand(9, 1, generator=torch.Generator().manual_seed(2)) + 0.1
    for other in (
        normalised_temperature_cross_entropy(first[order], second[order], 0.2),
        normalised_temperature_cross_entropy(first * lengths, second / lengths, 0.2),
        normalised_temperature_cross_entropy(second, first, 0.2),
    ):
        assert torch.allclose(loss, other, atol=1e-5)


def test_partners_are_what_lowers_the_loss():
    """Views of one image side by side cost less than views of different images."""
    first, _ = projections(9)
    paired = normalised_temperature_cross_entropy(first, first, 0.2)
    assert paired < normalised_temperature_cross_entropy(first, first.roll(1, 0), 0.2)


def test_half_precision_projections_are_compared_in_single_precision():
    """bfloat16 projections, as a GPU makes them, give the loss of their exact values."""
    first, second = projections(8).bfloat16()
    exact = normalised_temperature_cross_entropy(first.float(), second.float(), 0.1)
    assert torch.equal(normalised_temperature_cross_entropy(first, second, 0.1), exact)


def test_two_different_views_are_asked_for(generator):
    """The module draws the view twice and passes both through the encoder in one batch."""
    method, seen, sizes = SimCLR(SmallCNN()), [], []
    method.encoder.register_forward_hook(lambda module, given, result: sizes.append(len(given[0])))

    def view(images):
        seen.append(images)
        return images * 0.5 if len(seen) == 1 else images

    method.loss(torch.rand(4, 1, 16, 16), view, generator)
    assert len(seen) == 2
    assert torch.equal(seen[0], seen[1])
    assert sizes == [8]


def test_projection_has_the_length_of_its_option(generator):
    """The option is what the last layer makes."""
    method = SimCLR(SmallCNN(), SimCLRConfig(projection=7))
    assert method.projector(torch.randn(3, 128)).shape == (3, 7)


def test_autocast_does_not_round_the_similarities():
    """Under autocast, projections in single precision give the bits of the loss without it."""
    first, second = projections(8)
    exact = normalised_temperature_cross_entropy(first, second, 0.1)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(normalised_temperature_cross_entropy(first, second, 0.1), exact)
