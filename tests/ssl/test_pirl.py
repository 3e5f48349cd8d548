"""PIRL against a loop and closed forms; its tiles, its weight, its memory and its teacher one by one."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import PIRL
from medssl.ssl.jigsaw import random_tiles
from medssl.ssl.pirl import PIRLConfig, noise_contrastive_loss


def vectors(batch=6, length=9, dimensions=5, seed=0):
    """Vectors, keys, and a queue of unit vectors, in double precision."""
    random = torch.Generator().manual_seed(seed)
    given, keys = torch.randn(2, batch, dimensions, generator=random).double()
    return given, keys, functional.normalize(torch.randn(length, dimensions, generator=random).double())


def slow_loss(given, keys, queue, temperature):
    """The formula of the docstring, one image and one negative at a time."""
    total = 0.0
    for vector, key in zip(given, keys, strict=True):
        vector = vector / vector.norm()
        own = math.exp((vector @ key / key.norm()).item() / temperature)
        others = [math.exp((vector @ other).item() / temperature) for other in queue]
        whole = own + sum(others)
        total -= math.log(own / whole) + sum(math.log(1 - other / whole) for other in others)
    return total / len(given)


@pytest.fixture
def small():
    """A method around an encoder of images of any size, with a queue of 10 vectors."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1), nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )  # fmt: skip
    encoder.width = 16
    return PIRL(encoder, PIRLConfig(projection=4, queue=10, momentum=0.8))


@pytest.fixture
def different(small, generator):
    """The same with other weights in the teacher than in encoder and head."""
    with torch.no_grad():
        for weight in small.teacher.parameters():
            weight.add_(0.1 * torch.randn(weight.shape, generator=generator))
    return small


def images_of(batch=6, seed=5):
    """Random images of 8 x 8 pixels."""
    return torch.rand(batch, 1, 8, 8, generator=torch.Generator().manual_seed(seed))


def fixed(seed=1):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def with_weight(method, weight):
    """The same method with another weight of the jigsaw."""
    method.config = PIRLConfig(weight=weight, projection=4, queue=10, momentum=0.8)
    return method


@pytest.mark.parametrize("temperature", [0.2, 1.0])
@pytest.mark.parametrize("length", [1, 9])
def test_loss_is_the_double_loop(length, temperature):
    """The matrix product gives what the formula gives, image by image."""
    given = vectors(length=length)
    expected = slow_loss(*given, temperature)
    assert noise_contrastive_loss(*given, temperature).item() == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("length", [1, 9, 100])
def test_equal_directions_give_the_loss_of_guessing(length):
    """When nothing tells images apart every vector has the share 1 / (1 + length)."""
    one = torch.ones(3, 1).double()
    loss = noise_contrastive_loss(one, one, torch.ones(length, 1).double(), 0.2).item()
    assert loss == pytest.approx(math.log(1 + length) + length * math.log(1 + 1 / length), rel=1e-10)


def test_an_image_far_from_its_key_has_a_finite_loss():
    """A share of 1 for a negative costs much, and neither loss nor gradient is infinite."""
    given = torch.tensor([[1.0, 0.0]], requires_grad=True)
    loss = noise_contrastive_loss(given, -given.detach(), given.detach().clone(), 0.02)
    loss.backward()
    assert loss.item() == pytest.approx(100 + math.log(1e6), rel=0.01)
    assert torch.isfinite(given.grad).all()


def test_loss_ignores_lengths_and_orders():
    """Scaling vectors or keys, and permuting the images or the queue, change nothing."""
    given, keys, queue = vectors()
    loss = noise_contrastive_loss(given, keys, queue, 0.2)
    order = torch.randperm(6, generator=fixed())
    for other in (
        noise_contrastive_loss(3 * given, 0.2 * keys, queue, 0.2),
        noise_contrastive_loss(given[order], keys[order], queue, 0.2),
        noise_contrastive_loss(given, keys, queue.flip(0), 0.2),
    ):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_keys_get_no_gradient():
    """Only the vectors are pulled."""
    given, keys, queue = vectors()
    given.requires_grad_()
    keys.requires_grad_()
    noise_contrastive_loss(given, keys, queue, 0.2).backward()
    assert given.grad.abs().max() > 0
    assert keys.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 vectors give the loss of their exact values."""
    given = [tensor.bfloat16() for tensor in vectors()]
    with torch.autocast("cpu", enabled=False):
        exact = noise_contrastive_loss(*(tensor.float() for tensor in given), 0.1)
    assert torch.equal(noise_contrastive_loss(*given, 0.1), exact)


def test_the_vector_of_a_jigsaw_is_the_loop_over_tiles(small):
    """Each tile passes encoder and first layer, and the second layer gets them in a random order."""
    images, random = images_of(), fixed()
    tiles = random_tiles(images, 2, random)
    order = torch.rand(6, 4, generator=random).argsort(1)
    expected = []
    for image in range(6):
        seen = [tiles[image, tile][None, None] for tile in order[image]]
        expected.append(
            small.jigsaw_projector(torch.cat([small.tile_projector(small.encoder(x)) for x in seen], 1))
        )
    assert torch.allclose(small.jigsaw_vectors(images, fixed()), torch.cat(expected), atol=1e-6)


def test_each_image_has_an_order_of_its_own_and_all_are_equally_likely(small, monkeypatch):
    """Among many images each tile is as often at each place."""
    orders = []
    monkeypatch.setattr("medssl.ssl.pirl.shuffle_tiles", lambda tiles, order: orders.append(order) or tiles)
    small.jigsaw_vectors(torch.zeros(4000, 1, 8, 8), fixed())
    assert torch.equal(orders[0].sort(1).values, torch.arange(4).expand(4000, 4))
    for place in range(4):
        assert torch.allclose(orders[0][:, place].bincount() / 4000, torch.full((4,), 0.25), atol=0.03)


@pytest.mark.parametrize("weight", [0.0, 0.25, 1.0])
def test_loss_weighs_the_jigsaw_and_the_image(weight, different):
    """Both are contrasted with the same keys and queue; the teacher makes the keys from a third view."""
    cut, whole, remembered = images_of(seed=1), images_of(seed=2), images_of(seed=3)
    views = iter([cut, whole, remembered])
    loss = with_weight(different, weight).loss(images_of(), lambda given: next(views), fixed())
    memory = [different.teacher(remembered).double(), different.queue.double(), 0.07]
    jigsaw = slow_loss(different.jigsaw_vectors(cut, fixed()).double(), *memory)
    image = slow_loss(different.projector(different.encoder(whole)).double(), *memory)
    assert loss.item() == pytest.approx(weight * jigsaw + (1 - weight) * image, rel=1e-4)
    assert next(views, None) is None


@pytest.mark.parametrize(("weight", "idle"), [(1.0, "projector"), (0.0, "tile_projector")])
def test_each_part_trains_its_own_head(weight, idle, small, noisy_view, generator):
    """The jigsaw alone leaves the head of images as it is, and the image alone those of tiles."""
    with_weight(small, weight).loss(images_of(), noisy_view, generator).backward()
    for name in ("projector", "tile_projector"):
        assert (getattr(small, name).weight.grad.abs().max() == 0) == (name == idle)


def test_the_queue_starts_with_random_directions(small):
    """Unit vectors, so that it can be multiplied as it is."""
    assert small.queue.shape == (10, 4)
    assert torch.allclose(small.queue.norm(dim=1), torch.ones(10), atol=1e-5)
    assert not torch.equal(small.queue[0], small.queue[1])


def test_the_queue_takes_the_vectors_after_the_step(small, noisy_view, generator):
    """A loss changes nothing; then the oldest vectors make room, and a third batch of 4 wraps round."""
    start, made = small.queue.clone(), []
    for _ in range(3):
        before = small.queue.clone()
        small.loss(images_of(4), noisy_view, generator)
        assert torch.equal(small.queue, before)
        small.after_step(0, 10)
        made.append(small.keys)
    assert torch.equal(small.queue, torch.cat([made[2][2:], made[0][2:], made[1], made[2][:2]]))
    assert torch.allclose(small.queue.norm(dim=1), torch.ones(10), atol=1e-5)
    assert not torch.equal(small.queue, start)


@pytest.mark.parametrize("step", [0, 9])
def test_the_teacher_follows_with_constant_momentum(step, different, noisy_view, generator):
    """Each step moves it by the same share towards encoder and head of images."""
    different.loss(images_of(), noisy_view, generator)
    before = copy.deepcopy(different.teacher)
    different.after_step(step, 10)
    student = [*different.encoder.parameters(), *different.projector.parameters()]
    for weight, old, aim in zip(different.teacher.parameters(), before.parameters(), student, strict=True):
        assert torch.allclose(weight, 0.8 * old + 0.2 * aim, atol=1e-6)


def test_the_optimiser_does_not_move_the_teacher(small, noisy_view, generator):
    """A step changes encoder and all three heads, and leaves every weight of the teacher."""
    before = copy.deepcopy(small.state_dict())
    optimizer = torch.optim.AdamW(small.parameters(), 0.1)
    small.loss(images_of(), noisy_view, generator).backward()
    optimizer.step()
    for key, weight in small.named_parameters():
        assert torch.equal(weight, before[key]) == key.startswith("teacher"), key


@pytest.mark.parametrize(("weight", "low", "high"), [(0.5, 0.3, 1.0), (0.0, -0.1, 0.1)])
def test_the_jigsaw_term_is_what_moves_a_jigsaw_to_its_image(weight, low, high, small):
    """After a short run its cosine with its own image is above that with others, unless its weight is 0."""
    small.config, random = PIRLConfig(weight, 0.2, projection=4, queue=10, momentum=0.9), fixed()
    images = torch.linspace(-2, 2, 32)[:, None, None, None].expand(32, 1, 8, 8)
    optimizer = torch.optim.AdamW(small.parameters(), 1e-2)

    def noisy(given):
        return given + 0.1 * torch.randn(given.shape, generator=random)

    for step in range(60):
        loss = small.loss(images, noisy, random)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        small.after_step(step, 60)
    jigsaw = functional.normalize(small.jigsaw_vectors(images, random).detach())
    cosines = jigsaw @ functional.normalize(small.projector(small.encoder(images)).detach()).T
    own = torch.eye(32, dtype=torch.bool)
    assert low < cosines[own].mean() - cosines[~own].mean() < high


def test_an_encoder_of_volumes_is_refused(small):
    """Tiles are cut from images of two dimensions, and the error says so."""
    small.encoder.dimensions = 3
    with pytest.raises(UsageError, match="pirl cuts images into tiles, and Sequential is for volumes"):
        PIRL(small.encoder)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight": 1.1}, "weight and momentum must be between 0 and 1, temperature above 0"),
        ({"momentum": -0.1}, "weight and momentum must be between 0 and 1, temperature above 0"),
        ({"temperature": 0.0}, "weight and momentum must be between 0 and 1, temperature above 0"),
        ({"grid": 4}, "grid must be 2 or 3, projection and queue at least 1"),
        ({"queue": 0}, "grid must be 2 or 3, projection and queue at least 1"),
        ({"projection": 0}, "grid must be 2 or 3, projection and queue at least 1"),
    ],
)
def test_impossible_options_are_refused(options, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        PIRLConfig(**options)
