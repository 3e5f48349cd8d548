"""MoCo v3 against a loop and closed forms; its teacher, its predictor and its negatives one by one."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import MoCoV3
from medssl.ssl._momentum import momentum_at
from medssl.ssl.moco_v3 import MoCoV3Config, batch_cross_entropy


def vectors(batch=6, dimensions=5, seed=0):
    """Queries and keys in double precision."""
    return torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()


def slow_loss(queries, keys, temperature):
    """One query and one key at a time: -log of the own key's share, times 2 x temperature."""
    queries, keys = ([vector / vector.norm() for vector in given] for given in (queries, keys))
    total = 0.0
    for place, query in enumerate(queries):
        shares = [math.exp((query @ key).item() / temperature) for key in keys]
        total -= math.log(shares[place] / sum(shares))
    return 2 * temperature * total / len(queries)


@pytest.fixture
def different(tiny, generator):
    """A method whose teacher has other weights than the student."""
    method = MoCoV3(tiny, MoCoV3Config(momentum=0.8))
    with torch.no_grad():
        for weight in method.teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return method


@pytest.mark.parametrize("temperature", [0.1, 0.2, 1.0])
@pytest.mark.parametrize("batch", [2, 6])
def test_loss_is_the_double_loop(batch, temperature):
    """The matrix product gives what the formula gives, query by query."""
    expected = slow_loss(*vectors(batch), temperature)
    assert batch_cross_entropy(*vectors(batch), temperature).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("batch", [1, 4, 33])
def test_equal_directions_give_the_loss_of_guessing(batch, temperature):
    """When nothing tells images apart the key is one of the batch, and the factor is 2 x temperature."""
    same = torch.ones(batch, 3).double()
    loss = batch_cross_entropy(same, same, temperature).item()
    assert loss == pytest.approx(2 * temperature * math.log(batch), abs=1e-10)


def test_orthogonal_images_have_a_closed_form():
    """Queries at their keys and at right angles to the others cost 2 T log(1 + (B - 1) exp(-1 / T))."""
    axes = torch.eye(6).double()
    expected = 2 * 0.5 * math.log(1 + 5 * math.exp(-2))
    assert batch_cross_entropy(axes, axes, 0.5).item() == pytest.approx(expected, rel=1e-10)


def test_loss_ignores_lengths_and_order():
    """Scaling queries or keys, and permuting the images, change nothing."""
    queries, keys = vectors()
    loss = batch_cross_entropy(queries, keys, 0.2)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    for other in (
        batch_cross_entropy(3 * queries, 0.2 * keys, 0.2),
        batch_cross_entropy(queries[order], keys[order], 0.2),
    ):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_the_negatives_are_the_other_keys_and_no_queries():
    """Another key changes the loss of every query; another query changes no loss but its own."""
    queries, keys = vectors()
    queries.requires_grad_()
    other = keys.clone()
    other[5] = -other[5]
    pulls = [
        torch.autograd.grad(batch_cross_entropy(queries, given, 0.2), queries)[0] for given in (keys, other)
    ]
    assert ((pulls[0] - pulls[1]).abs().amax(1) > 1e-6).all()
    moved = queries.detach().clone()
    moved[5] = -moved[5]
    moved.requires_grad_()
    pull = torch.autograd.grad(batch_cross_entropy(moved, keys, 0.2), moved)[0]
    assert torch.allclose(pull[:5], pulls[0][:5], rtol=1e-12)


def test_keys_get_no_gradient():
    """Only queries are pulled."""
    queries, keys = (given.requires_grad_() for given in vectors().unbind())
    batch_cross_entropy(queries, keys, 0.2).backward()
    assert queries.grad.abs().max() > 0
    assert keys.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 vectors give the loss of their exact values."""
    queries, keys = vectors().bfloat16()
    with torch.autocast("cpu", enabled=False):
        exact = batch_cross_entropy(queries.float(), keys.float(), 0.1)
    assert torch.equal(batch_cross_entropy(queries, keys, 0.1), exact)


def test_loss_is_that_of_both_ways_round(different, two_views, generator):
    """Each view's prediction, from the student, looks for the other view's key, from the teacher."""
    (first, second), views = two_views()
    loss = different.loss(first, views(first, second), generator)
    both = torch.cat([first, second])
    asked = different.predictor(different.projector(different.encoder(both))).double().chunk(2)
    keys = different.teacher(both).double().chunk(2)
    expected = slow_loss(asked[0], keys[1], 0.2) + slow_loss(asked[1], keys[0], 0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-5)
    other = different.loss(first, views(second, first), generator).item()
    assert loss.item() == pytest.approx(other, rel=1e-5)


def test_there_is_no_queue(different):
    """What the method keeps is weights and the statistics of normalisation."""
    parts = {key.split(".")[0] for key in different.state_dict()}
    assert parts == {"encoder", "projector", "predictor", "teacher"}


def test_heads_end_in_normalisation_without_weights(tiny):
    """Projections and predictions have mean 0 and deviation 1 over a batch."""
    method = MoCoV3(tiny, MoCoV3Config(projection=5, hidden=7))
    projections = method.projector(tiny(torch.rand(32, 1, 8, 8)))
    for vectors in (projections, method.predictor(projections)):
        assert vectors.shape == (32, 5)
        assert torch.allclose(vectors.mean(0), torch.zeros(5), atol=1e-5)
        assert torch.allclose(vectors.var(0, unbiased=False), torch.ones(5), atol=0.02)
    assert [weight.shape for weight in method.predictor.parameters()] == [(7, 5), (7,), (7,), (5, 7)]


def test_the_teacher_starts_as_a_copy(tiny):
    """At first the teacher computes what encoder and projector compute."""
    method, images = MoCoV3(tiny), torch.rand(4, 1, 8, 8)
    assert torch.equal(method.teacher(images), method.projector(method.encoder(images)))


@pytest.mark.parametrize("step", [0, 3, 9])
def test_the_teacher_follows_with_a_momentum_that_rises(step, different):
    """After a step it is the average of itself and the student, with half a cosine's momentum."""
    before, momentum = copy.deepcopy(different.teacher), momentum_at(step, 10, 0.8)
    different.after_step(step, 10)
    student = [*different.encoder.parameters(), *different.projector.parameters()]
    for weight, old, aim in zip(different.teacher.parameters(), before.parameters(), student, strict=True):
        assert torch.allclose(weight, momentum * old + (1 - momentum) * aim, atol=1e-6)


def test_the_optimiser_does_not_move_the_teacher(different, noisy_view, generator):
    """A step changes encoder, projector and predictor, and leaves every weight of the teacher."""
    before = copy.deepcopy(different.state_dict())
    optimizer = torch.optim.AdamW(different.parameters(), 0.1)
    different.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
    optimizer.step()
    for key, weight in different.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key


def test_training_tells_images_apart(tiny, train):
    """After a short run an image's own key is nearer to its prediction than most others."""
    method = MoCoV3(tiny, MoCoV3Config(momentum=0.9))
    images = train(method, steps=100)
    queries = functional.normalize(method.predictor(method.projector(method.encoder(images))))
    nearest = (queries @ functional.normalize(method.teacher(images)).T).argmax(1)
    assert (nearest == torch.arange(64)).float().mean() > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0 and momentum between 0 and 1"),
        ({"momentum": 1.5}, "temperature must be above 0 and momentum between 0 and 1"),
        ({"momentum": float("nan")}, "temperature must be above 0 and momentum between 0 and 1"),
        ({"projection": 0}, "projection and hidden must be at least 1"),
        ({"hidden": 0}, "projection and hidden must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        MoCoV3Config(**options)
