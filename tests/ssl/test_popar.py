"""Orders, shuffled patches and both terms of POPAR against loops and closed forms."""

import itertools
import math

import pytest
import torch
from torch.nn import functional

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.ssl._patches import pool_on_grid, split_patches, tokens_of
from medssl.ssl.models_genesis import ModelsGenesisConfig, distort
from medssl.ssl.popar import POPAR, POPARConfig, order_cross_entropy, random_orders, shuffle_patches


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def images_of(batch=6, side=16, seed=0):
    """Random images."""
    return torch.rand(batch, 1, side, side, generator=fixed(seed))


def unchanged(images):
    """The view that is the image itself."""
    return images


def made(**options):
    """A method around a small encoder that keeps what its encoder sees."""
    torch.manual_seed(0)
    method = POPAR(SmallCNN(), POPARConfig(**options))
    method.seen, features = [], method.encoder.features
    method.encoder.features = lambda x: method.seen.append(x.detach()) or features(x)
    return method


def order_of(seen, images, grid=2):
    """Where each patch of the images that the encoder saw came from."""
    seen, original = (split_patches(part, (grid, grid)) for part in (seen, images))
    same = (seen[:, :, None] == original[:, None]).all(3)  # [batch, patches, patches]
    assert (same.sum(2) == 1).all()
    return same.long().argmax(2)


def test_orders_are_permutations_and_all_are_drawn(generator):
    """Every row is a permutation, and each of the six orders of three patches has its share."""
    orders = random_orders(6000, 3, generator)
    assert torch.equal(orders.sort(1).values, torch.arange(3).expand(6000, 3))
    counts = (orders @ torch.tensor([9, 3, 1])).bincount()
    assert sorted(counts[counts > 0].tolist()) == pytest.approx([1000] * 6, rel=0.12)
    assert (counts > 0).sum() == 6


@pytest.mark.parametrize(("sides", "grid"), [((4, 6), (2, 3)), ((4, 6, 4), (2, 3, 2))])
def test_shuffling_is_the_loop_over_patches(sides, grid, generator):
    """Place j of image i shows patch order[i, j]."""
    images = torch.rand(3, 1, *sides, generator=generator)
    order = random_orders(3, math.prod(grid), generator)
    before, after = split_patches(images, grid), split_patches(shuffle_patches(images, order, grid), grid)
    for image, place in itertools.product(range(3), range(order.shape[1])):
        assert torch.equal(after[image, place], before[image, order[image, place]])


def test_the_inverse_order_undoes_the_shuffle(generator):
    """Shuffling by the inverse permutation gives the images back, bit for bit."""
    images, order = images_of(), random_orders(6, 16, generator)
    shuffled = shuffle_patches(images, order, (4, 4))
    assert not torch.equal(shuffled, images)
    assert torch.equal(shuffle_patches(shuffled, order.argsort(1), (4, 4)), images)


def test_order_loss_is_the_loop_over_patches(generator):
    """The vectorised cross-entropy is that of one patch at a time."""
    logits = torch.randn(3, 5, 5, generator=generator, dtype=torch.double)
    order, total = random_orders(3, 5, generator), 0.0
    for image, place in itertools.product(range(3), range(5)):
        scores = logits[image, place].tolist()
        total += math.log(sum(map(math.exp, scores))) - scores[order[image, place]]
    assert order_cross_entropy(logits, order).item() == pytest.approx(total / 15, rel=1e-10)


@pytest.mark.parametrize("patches", [4, 9])
def test_order_loss_has_closed_forms(patches, generator):
    """Guessing costs log(patches), knowing nothing less, and the inverse order is not the order."""
    order = torch.arange(patches).roll(1).repeat(2, 1)
    known = 50 * functional.one_hot(order, patches).double()
    guess = order_cross_entropy(torch.zeros(2, patches, patches), order).item()
    assert guess == pytest.approx(math.log(patches), rel=1e-6)
    assert order_cross_entropy(known, order).item() == pytest.approx(0, abs=1e-12)
    assert order_cross_entropy(known, order.argsort(1)).item() > 10


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 logits give the loss of their exact values."""
    logits, order = torch.randn(2, 4, 4, generator=fixed()).bfloat16(), random_orders(2, 4, fixed())
    with torch.autocast("cpu", enabled=False):
        exact = order_cross_entropy(logits.float(), order)
    assert torch.equal(order_cross_entropy(logits, order), exact)


@pytest.mark.parametrize("grid", [2, 4])
def test_both_terms_are_those_of_the_shuffled_image(grid):
    """The head tells the order of what the encoder sees, and the target of recovery is in the right order."""
    method, images = made(grid=grid, distorted=0.0), images_of(side=32)
    loss = method.loss(images, unchanged, fixed(3))
    order = order_of(method.seen[0], images, grid)
    assert len({tuple(row) for row in order.tolist()}) > 1
    features = method.encoder.features(method.seen[0])
    logits = method.head(tokens_of(pool_on_grid(features, (grid, grid))))
    error = (method.decoder(features, 32, 32) - images).square().mean()
    assert torch.allclose(loss, (order_cross_entropy(logits, order) + error) / 2, rtol=1e-5)


def test_distorted_images_keep_their_order():
    """With `distorted=1` the encoder sees what Models Genesis makes of the view, and the labels count up."""
    method, images = made(distorted=1.0), images_of()
    loss, random = method.loss(images, unchanged, fixed(3)), fixed(3)
    torch.rand(6, generator=random)  # which images keep their order
    random_orders(6, 4, random)
    assert torch.equal(method.seen[0], distort(images, ModelsGenesisConfig(), random))
    features = method.encoder.features(method.seen[0])
    logits, counting = method.head(tokens_of(pool_on_grid(features, (2, 2)))), torch.arange(4).repeat(6, 1)
    error = (method.decoder(features, 16, 16) - images).square().mean()
    assert torch.allclose(loss, (order_cross_entropy(logits, counting) + error) / 2, rtol=1e-5)


def test_a_share_of_the_images_is_distorted():
    """Each image is either shuffled or distorted, with the probability of the option."""
    method, images = made(distorted=0.25), images_of(400)
    method.loss(images, unchanged, fixed(3))
    intact = split_patches(method.seen[0], (2, 2))[:, :, None] == split_patches(images, (2, 2))[:, None]
    shuffled = (intact.all(3).sum(2) == 1).all(1)
    assert shuffled.float().mean().item() == pytest.approx(0.75, abs=0.07)


@pytest.mark.parametrize("recovery", [0.0, 0.3, 1.0])
def test_the_loss_weighs_both_terms(recovery):
    """The weight is that of recovery; the order has the rest, so that at 0 and 1 a head gets no pull."""
    order, error = (made(recovery=share).loss(images_of(), unchanged, fixed(3)).item() for share in (0, 1))
    method = made(recovery=recovery)
    loss = method.loss(images_of(), unchanged, fixed(3))
    assert loss.item() == pytest.approx((1 - recovery) * order + recovery * error, rel=1e-5)
    loss.backward()
    assert (method.head.weight.grad.abs().max() > 0) == (recovery < 1)
    assert (method.decoder.layer.weight.grad.abs().max() > 0) == (recovery > 0)


def test_a_perfect_decoder_restores_the_view():
    """The target of recovery is the view, neither shuffled nor distorted."""
    method, view = made(recovery=1.0), images_of(seed=5)
    method.decoder.forward = lambda features, *sides: view
    assert method.loss(images_of(), lambda images: view, fixed(3)).item() == 0


def test_sides_that_the_grid_does_not_divide_are_refused(generator):
    """The error names the size and the grid."""
    with pytest.raises(UsageError, match="images of 16 x 18 pixels do not divide into 4 patches a side"):
        made(grid=4).loss(torch.rand(2, 1, 16, 18), unchanged, generator)


def test_a_grid_finer_than_the_feature_map_is_refused(generator):
    """The error names the map and the remedy."""
    with pytest.raises(UsageError, match=r"map of 2 x 2, coarser than the grid of 4 .*: lower grid"):
        made(grid=4).loss(torch.rand(2, 1, 16, 16), unchanged, generator)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"grid": 1}, "grid must be at least 2"), ({"distorted": 1.5}, "distorted and recovery must be"),
        ({"recovery": -0.1}, "between 0 and 1"), ({"recovery": float("nan")}, "between 0 and 1"),
    ],
)  # fmt: skip
def test_bad_options_are_refused(options, words):
    """Each error says what is allowed."""
    with pytest.raises(UsageError, match=words):
        POPARConfig(**options)
