"""MoCo against a loop and closed forms; its queue and its key encoder rule by rule."""

import copy
import math

import pytest
import torch
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import MoCo
from medssl.ssl.moco import MoCoConfig, queue_cross_entropy


def vectors(batch=6, length=9, dimensions=5, seed=0):
    """Queries, keys, and a queue of unit vectors, in double precision."""
    random = torch.Generator().manual_seed(seed)
    queries, keys = torch.randn(2, batch, dimensions, generator=random).double()
    return queries, keys, functional.normalize(torch.randn(length, dimensions, generator=random).double())


def slow_loss(queries, keys, queue, temperature):
    """Equation 1, one query and one negative at a time."""
    total = 0.0
    for query, key in zip(queries, keys, strict=True):
        query = query / query.norm()
        own = math.exp((query @ key / key.norm()).item() / temperature)
        others = sum(math.exp((query @ other).item() / temperature) for other in queue)
        total -= math.log(own / (own + others))
    return total / len(queries)


@pytest.fixture
def small(tiny):
    """A method with a queue of 10 keys."""
    return MoCo(tiny, MoCoConfig(queue=10, projection=4, momentum=0.8))


@pytest.fixture
def step(small, noisy_view, generator):
    """Return a function that computes a loss on new images, acts after it and returns the keys."""

    def act(batch):
        small.loss(torch.rand(batch, 1, 8, 8, generator=generator), noisy_view, generator)
        small.after_step(0, 10)
        return small.keys

    return act


@pytest.mark.parametrize("temperature", [0.07, 0.2, 1.0])
@pytest.mark.parametrize("length", [1, 9])
def test_loss_is_the_double_loop(length, temperature):
    """The matrix product gives what equation 1 gives, query by query."""
    given = vectors(length=length)
    expected = slow_loss(*given, temperature)
    assert queue_cross_entropy(*given, temperature).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("length", [1, 9, 100])
def test_equal_directions_give_the_loss_of_guessing(length):
    """When nothing tells images apart the key is one of 1 + length equals."""
    one = torch.ones(3, 1).double()
    loss = queue_cross_entropy(one, one, torch.ones(length, 1).double(), 0.2).item()
    assert loss == pytest.approx(math.log(1 + length), rel=1e-10)


def test_orthogonal_negatives_have_a_closed_form():
    """A query at its key and at right angles to the queue costs log(1 + length exp(-1 / temperature))."""
    axes = torch.eye(8).double()
    loss = queue_cross_entropy(axes[:3], axes[:3], axes[3:], 0.5).item()
    assert loss == pytest.approx(math.log(1 + 5 * math.exp(-2)), rel=1e-10)


def test_loss_ignores_lengths_and_orders():
    """Scaling queries or keys, and permuting the images or the queue, change nothing."""
    queries, keys, queue = vectors()
    loss = queue_cross_entropy(queries, keys, queue, 0.2)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    for other in (
        queue_cross_entropy(3 * queries, 0.2 * keys, queue, 0.2),
        queue_cross_entropy(queries[order], keys[order], queue, 0.2),
        queue_cross_entropy(queries, keys, queue.flip(0), 0.2),
    ):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_the_other_keys_of_the_batch_are_no_negatives():
    """The loss of a query does not know who else is in the batch."""
    queries, keys, queue = vectors()
    alone = [queue_cross_entropy(queries[i : i + 1], keys[i : i + 1], queue, 0.2) for i in range(6)]
    assert torch.allclose(queue_cross_entropy(queries, keys, queue, 0.2), sum(alone) / 6, rtol=1e-12)


def test_keys_and_queue_get_no_gradient():
    """Only queries are pulled."""
    queries, keys, queue = vectors()
    queries.requires_grad_()
    keys.requires_grad_()
    queue_cross_entropy(queries, keys, queue, 0.2).backward()
    assert queries.grad.abs().max() > 0
    assert keys.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 vectors give the loss of their exact values."""
    given = [tensor.bfloat16() for tensor in vectors()]
    with torch.autocast("cpu", enabled=False):
        exact = queue_cross_entropy(*(tensor.float() for tensor in given), 0.1)
    assert torch.equal(queue_cross_entropy(*given, 0.1), exact)


def test_the_first_view_asks_and_the_second_is_the_key(small, two_views, generator):
    """Queries come from encoder and head, keys from the teacher, negatives from the queue."""
    with torch.no_grad():
        for weight in small.teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    (first, second), views = two_views()
    loss = small.loss(first, views(first, second), generator)
    queries, keys = small.projector(small.encoder(first)), small.teacher(second)
    expected = slow_loss(queries.double(), keys.double(), small.queue.double(), 0.2)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_the_queue_starts_with_random_directions(tiny):
    """Unit vectors that torch's global seed decides, spread over the sphere."""
    torch.manual_seed(1)
    first = MoCo(copy.deepcopy(tiny)).queue
    torch.manual_seed(1)
    again = MoCo(copy.deepcopy(tiny)).queue
    other = MoCo(tiny).queue
    assert first.shape == (512, 128)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert torch.allclose(first.norm(dim=1), torch.ones(512), atol=1e-5)
    assert first.mean(0).norm() < 0.1


def test_the_queue_replaces_its_oldest_keys_in_turn(small, step):
    """Batches of 4 in a queue of 10: the third one wraps round and replaces the first two keys."""
    start = small.queue.clone()
    first = step(4)
    assert torch.equal(small.queue, torch.cat([first, start[4:]]))
    second = step(4)
    assert torch.equal(small.queue, torch.cat([first, second, start[8:]]))
    third = step(4)
    assert torch.equal(small.queue, torch.cat([third[2:], first[2:], second, third[:2]]))
    assert small.oldest == 2


def test_a_batch_larger_than_the_queue_leaves_its_last_keys(small, step):
    """Of 23 keys the last 10 stay."""
    keys = step(23)
    assert torch.equal(small.queue, keys[-10:])
    assert small.oldest == 0


def test_a_loss_alone_does_not_change_the_queue(small, noisy_view, generator):
    """Keys enter after the step, so that no batch meets its own keys as negatives."""
    start = small.queue.clone()
    small.loss(torch.rand(4, 1, 8, 8), noisy_view, generator)
    assert torch.equal(small.queue, start)


def test_keys_in_the_queue_are_unit_vectors(small, step):
    """The queue can be multiplied as it is."""
    for _ in range(3):
        step(4)
    assert torch.allclose(small.queue.norm(dim=1), torch.ones(10), atol=1e-6)


def test_the_teacher_follows_with_constant_momentum(small, noisy_view, generator):
    """Each step moves it by the same share, 1 - momentum, towards encoder and head (equation 2)."""
    small.loss(torch.rand(4, 1, 8, 8), noisy_view, generator)
    with torch.no_grad():
        for weight in small.teacher.parameters():
            weight.add_(1)
    for step in (0, 9):
        before = copy.deepcopy(small.teacher)
        small.after_step(step, 10)
        student = [*small.encoder.parameters(), *small.projector.parameters()]
        for weight, old, aim in zip(small.teacher.parameters(), before.parameters(), student, strict=True):
            assert torch.allclose(weight, 0.8 * old + 0.2 * aim, atol=1e-6)


def test_the_optimiser_does_not_move_the_teacher(small, noisy_view, generator):
    """A step changes encoder and head, and leaves every weight of the key encoder."""
    before = copy.deepcopy(small.state_dict())
    optimizer = torch.optim.AdamW(small.parameters(), 0.1)
    small.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
    optimizer.step()
    for key, weight in small.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key


def test_training_tells_images_apart(tiny, train):
    """After a short run an image's own key is nearer to it than most others."""
    method = MoCo(tiny, MoCoConfig(queue=128, momentum=0.9))
    images = train(method, steps=150)
    queries = functional.normalize(method.projector(method.encoder(images)))
    keys = functional.normalize(method.teacher(images))
    nearest = (queries @ keys.T).argmax(1)
    assert (nearest == torch.arange(64)).float().mean() > 0.5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature must be above 0"),
        ({"momentum": 1.5}, "momentum between 0 and 1"),
        ({"queue": 0}, "projection and queue must be at least 1"),
        ({"projection": 0}, "projection and queue must be at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        MoCoConfig(**options)
