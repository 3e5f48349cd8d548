"""BYOL against a loop and closed forms; its teacher, its stopped gradient and its predictor one by one."""

import copy

import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import BYOL
from medssl.ssl._momentum import momentum_at
from medssl.ssl.byol import BYOLConfig, normalised_squared_error


def vectors(batch=7, dimensions=5, seed=0):
    """Two sets of random vectors in double precision."""
    return torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()


def different_teacher(method):
    """Give the teacher other weights than the student's, so that it shows which of them made a value."""
    with torch.no_grad():
        for weight in method.teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(3)))
    return method


@pytest.mark.parametrize("batch", [1, 7])
def test_loss_is_the_loop_over_images(batch):
    """Equation 2, one image at a time: the squared distance of unit vectors."""
    prediction, target = vectors(batch)
    distances = [
        (p / p.norm() - t / t.norm()).square().sum() for p, t in zip(prediction, target, strict=True)
    ]
    expected = sum(distances) / batch
    assert torch.allclose(normalised_squared_error(prediction, target), expected, rtol=1e-12)


@pytest.mark.parametrize(("factor", "value"), [(1, 0.0), (3, 0.0), (-2, 4.0)])
def test_parallel_vectors_have_closed_forms(factor, value):
    """Equal directions cost 0 and opposite ones 4, whatever the lengths."""
    prediction, _ = vectors()
    assert normalised_squared_error(prediction, factor * prediction).item() == pytest.approx(value, abs=1e-12)


def test_loss_ignores_order_length_and_rotation():
    """Permuting images, scaling vectors or rotating the space changes nothing."""
    prediction, target = vectors()
    loss = normalised_squared_error(prediction, target)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    rotation = torch.linalg.qr(vectors(5)[0])[0]
    for other in (
        normalised_squared_error(prediction[order], target[order]),
        normalised_squared_error(prediction * 3, target * 0.2),
        normalised_squared_error(prediction @ rotation, target @ rotation),
    ):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_the_target_gets_no_gradient():
    """Of the two arguments only the prediction is pulled."""
    prediction, target = (vector.requires_grad_() for vector in vectors().unbind())
    normalised_squared_error(prediction, target).backward()
    assert prediction.grad.abs().max() > 0
    assert target.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 vectors give the loss of their exact values."""
    prediction, target = vectors().bfloat16()
    with torch.autocast("cpu", enabled=False):
        exact = normalised_squared_error(prediction.float(), target.float())
    assert torch.equal(normalised_squared_error(prediction, target), exact)


def test_loss_is_that_of_both_ways_round(tiny, two_views, generator):
    """Each view's prediction, from the student, meets the other view's projection, from the teacher."""
    method = different_teacher(BYOL(tiny))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    both = torch.cat([first, second])
    predictions, targets = method.predictor(method.projector(tiny(both))), method.teacher(both)
    cosines = functional.cosine_similarity(predictions, targets.roll(6, 0))
    assert torch.allclose(loss, 2 * (2 - 2 * cosines).mean(), rtol=1e-5)
    assert torch.allclose(loss, method.loss(first, views(second, first), generator), rtol=1e-5)


def test_the_optimiser_does_not_move_the_teacher(tiny, noisy_view, generator):
    """A step changes encoder, projector and predictor, and leaves every weight of the teacher."""
    method = BYOL(tiny)
    before = copy.deepcopy(method.state_dict())
    optimizer = torch.optim.AdamW(method.parameters(), 0.1)
    method.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
    optimizer.step()
    for key, weight in method.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key


@pytest.mark.parametrize("step", [0, 3, 9])
def test_the_teacher_follows_with_the_momentum_of_the_step(step, tiny):
    """After a step it is the average of itself and of encoder and projector; the predictor has no teacher."""
    method = different_teacher(BYOL(tiny, BYOLConfig(momentum=0.8)))
    before, momentum = copy.deepcopy(method.teacher), momentum_at(step, 10, 0.8)
    method.after_step(step, 10)
    student = [*method.encoder.parameters(), *method.projector.parameters()]
    for weight, old, target in zip(method.teacher.parameters(), before.parameters(), student, strict=True):
        assert torch.allclose(weight, momentum * old + (1 - momentum) * target, atol=1e-6)


def test_the_teacher_starts_as_a_copy(tiny):
    """At first the teacher computes what encoder and projector compute."""
    method, images = BYOL(tiny), torch.rand(4, 1, 8, 8)
    assert torch.equal(method.teacher(images), method.projector(method.encoder(images)))


def test_a_slow_teacher_and_a_predictor_prevent_collapse(tiny, train, spread):
    """Projections stay apart; without a predictor and with a teacher that is the student they become one."""
    method = BYOL(copy.deepcopy(tiny), BYOLConfig(momentum=0.9))
    images = train(method)
    assert spread(method.projector(method.encoder(images))) > 0.8
    method = BYOL(tiny, BYOLConfig(momentum=0.0))
    method.predictor = nn.Identity()
    images = train(method)
    assert spread(method.projector(method.encoder(images))) < 0.1


@pytest.mark.parametrize(
    "options",
    [{"momentum": -0.1}, {"momentum": 1.1}, {"momentum": float("nan")}, {"projection": 0}, {"hidden": 0}],
)
def test_impossible_options_are_refused(options):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(
        UsageError, match="momentum must be between 0 and 1, projection and hidden at least 1"
    ):
        BYOLConfig(**options)
