"""A partner replaces the image of the second view, and without one nothing is different."""

import copy
import inspect

import pytest
import torch

from medssl.errors import UsageError
from medssl.ssl import METHODS, build
from medssl.ssl._views import two_views

TWO_VIEWS = ("simclr", "moco", "moco_v3", "byol", "simsiam", "barlow_twins", "vicreg", "swav", "dino")


def images_of(seed, batch=6):
    """Random images of 8 x 8 pixels."""
    return torch.rand(batch, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def pulled(tiny):
    """Return a function that gives the loss and the gradients of the encoder, always from the same start."""

    def compute(name, *given, **options):
        torch.manual_seed(0)
        method = build(name, copy.deepcopy(tiny))
        loss = method.loss(*given, **options)
        loss.backward()
        return [loss.detach(), *(weight.grad for weight in method.encoder.parameters())]

    return compute


def noisy(seed=1):
    """A view that adds noise from its own generator, and this generator."""
    random = torch.Generator().manual_seed(seed)
    return lambda images: images + 0.3 * torch.randn(images.shape, generator=random), random


def same(first, second):
    """Whether two lists of tensors hold the same bits."""
    return all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


def test_methods_that_compare_views_take_a_partner():
    """The argument is there where the views are compared, and not where there is no second one."""
    takes = {name for name, one in METHODS.items() if "partner" in inspect.signature(one.loss).parameters}
    assert set(TWO_VIEWS) <= takes
    assert not {"rotation", "jigsaw", "masked_autoencoder", "pirl", "rubiks_cube", "y_aware"} & takes


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_an_image_as_its_own_partner_changes_no_bit(name, pulled):
    """Loss and gradients are those of a call without the argument, and those of None."""
    images = images_of(0)
    alone = pulled(name, images, *noisy())
    assert same(alone, pulled(name, images, *noisy(), partner=images.clone()))
    assert same(alone, pulled(name, images, *noisy(), partner=None))


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_the_second_view_is_one_of_the_partner(name, pulled):
    """The loss is that of two views made elsewhere, the first of images and the second of partners."""
    images, partner = images_of(0), images_of(1)
    view, random = noisy()
    made = iter([view(images), view(partner)])
    expected = pulled(name, images, lambda given: next(made), random)
    assert same(expected, pulled(name, images, *noisy(), partner=partner))


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_the_gradient_depends_on_the_partner(name, pulled):
    """Another partner pulls the encoder elsewhere."""
    images = images_of(0)
    pulls = [
        pulled(name, images, *noisy(), partner=partner) for partner in (images, images_of(1), images_of(2))
    ]
    assert not same(pulls[0], pulls[1])
    assert not same(pulls[1], pulls[2])


@pytest.mark.parametrize("name", TWO_VIEWS)
def test_a_partner_of_another_shape_is_refused(name, pulled):
    """More or fewer partners than images would pair the wrong ones, and the error names both shapes."""
    words = r"partner must have the shape of the images, \[6, 1, 8, 8\], got \[4, 1, 8, 8\]"
    with pytest.raises(UsageError, match=words):
        pulled(name, images_of(0), *noisy(), partner=images_of(1, 4))


def test_views_are_drawn_in_turn():
    """The first view is of the images and the second one of the partner, or of the images once more."""
    seen = []
    images, partner = images_of(0), images_of(1)
    for given, second in ((None, images), (partner, partner)):
        two_views(images, lambda shown: seen.append(shown) or shown, given)
        assert [shown is expected for shown, expected in zip(seen, (images, second), strict=True)] == [
            True
        ] * 2
        seen.clear()
