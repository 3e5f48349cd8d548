"""The y-aware loss against a triple loop, NT-Xent, the supervised contrastive loss and closed forms."""

import math

import pytest
import torch

from medssl.errors import UsageError
from medssl.ssl import YAware
from medssl.ssl.simclr import normalised_temperature_cross_entropy
from medssl.ssl.y_aware import YAwareConfig, y_aware_cross_entropy


def projections(batch=6, dimensions=4, seed=0):
    """Two sets of random projections in double precision."""
    return torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()


AGES = torch.tensor([30.0, 31.0, 45.0, 60.0, 62.0, 80.0]).double()


def slow_loss(first, second, covariate, bandwidth, temperature):
    """The formula of the docstring, one anchor, one positive and one other image at a time."""
    z = [vector / vector.norm() for vector in (*first, *second)]
    y, total = covariate.tolist() * 2, 0.0

    def kernel(i, k):
        return math.exp(-((y[i] - y[k]) ** 2) / (2 * bandwidth**2))

    def similarity(i, k):
        return math.exp((z[i] @ z[k]).item() / temperature)

    for i in range(len(z)):
        others = [k for k in range(len(z)) if k != i]
        weight, mass = sum(kernel(i, k) for k in others), sum(similarity(i, k) for k in others)
        total -= sum(kernel(i, k) / weight * math.log(similarity(i, k) / mass) for k in others)
    return total / len(z)


@pytest.mark.parametrize("bandwidth", [1.0, 10.0])
@pytest.mark.parametrize("temperature", [0.1, 1.0])
def test_loss_is_the_triple_loop(bandwidth, temperature):
    """The matrices give what the formula gives, pair by pair."""
    first, second = projections()
    loss = y_aware_cross_entropy(first, second, AGES, bandwidth, temperature).item()
    assert loss == pytest.approx(slow_loss(first, second, AGES, bandwidth, temperature), rel=1e-10)


def test_a_narrow_kernel_gives_the_loss_of_simclr():
    """When only the other view of the same image is near, the loss is NT-Xent."""
    first, second = projections()
    expected = normalised_temperature_cross_entropy(first, second, 0.2).item()
    assert y_aware_cross_entropy(first, second, AGES, 1e-3, 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_groups_give_the_supervised_contrastive_loss():
    """With a covariate that names a class and a narrow kernel, images of a class are equal positives."""
    first, second = projections()
    group = torch.tensor([0.0, 0, 1, 1, 1, 2]).double()
    z = torch.nn.functional.normalize(torch.cat([first, second]), dim=1)
    similarity = (z @ z.T / 0.2).fill_diagonal_(-torch.inf)
    same = (group.repeat(2)[:, None] == group.repeat(2)).fill_diagonal_(False)
    expected = -torch.stack(
        [row[mask].mean() for row, mask in zip(similarity.log_softmax(1), same, strict=True)]
    )
    loss = y_aware_cross_entropy(first, second, group, 0.01, 0.2)
    assert torch.allclose(loss, expected.mean(), rtol=1e-10)


def test_a_wide_kernel_makes_all_images_equal_positives():
    """When the covariate does not matter the covariate does not show."""
    first, second = projections()
    loss = y_aware_cross_entropy(first, second, AGES, 1e6, 0.2)
    assert torch.allclose(loss, y_aware_cross_entropy(first, second, AGES.flip(0), 1e6, 0.2), rtol=1e-8)


@pytest.mark.parametrize("batch", [1, 6])
def test_equal_projections_give_the_loss_of_guessing(batch):
    """When nothing tells images apart each of the 2B - 1 others is as likely as any other."""
    same = torch.ones(batch, 3).double()
    loss = y_aware_cross_entropy(same, same, AGES[:batch], 5.0, 0.1).item()
    assert loss == pytest.approx(math.log(2 * batch - 1), abs=1e-10)


def test_images_of_near_age_are_what_lowers_the_loss():
    """An embedding that follows age costs less than the same embedding with ages dealt out anew."""
    angle = (AGES - 30) / 50
    z = torch.stack([angle.cos(), angle.sin()], 1)
    mixed = AGES[[3, 0, 5, 1, 4, 2]]
    assert y_aware_cross_entropy(z, z, AGES, 5.0, 0.1) < y_aware_cross_entropy(z, z, mixed, 5.0, 0.1)


def test_loss_ignores_origin_and_unit_of_the_covariate_order_lengths_and_views():
    """Ages in months with a bandwidth in months, other origins, orders, lengths and exchanged views."""
    first, second = projections()
    loss = y_aware_cross_entropy(first, second, AGES, 5.0, 0.2)
    order = torch.randperm(6, generator=torch.Generator().manual_seed(1))
    for other in (
        y_aware_cross_entropy(first, second, 12 * AGES, 60.0, 0.2),
        y_aware_cross_entropy(first, second, AGES - 100, 5.0, 0.2),
        y_aware_cross_entropy(first[order], second[order], AGES[order], 5.0, 0.2),
        y_aware_cross_entropy(3 * first, 0.5 * second, AGES, 5.0, 0.2),
        y_aware_cross_entropy(second, first, AGES, 5.0, 0.2),
    ):
        assert torch.allclose(loss, other, rtol=1e-10)


def test_gradients_are_finite(generator):
    """The masked diagonal leaves no infinite times zero behind."""
    first, second = projections()
    first.requires_grad_()
    y_aware_cross_entropy(first, second, AGES, 1e-3, 0.05).backward()
    assert torch.isfinite(first.grad).all()
    assert first.grad.abs().max() > 0


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 projections give the loss of their exact values."""
    first, second = projections().bfloat16()
    with torch.autocast("cpu", enabled=False):
        exact = y_aware_cross_entropy(first.float(), second.float(), AGES.float(), 5.0, 0.1)
    assert torch.equal(y_aware_cross_entropy(first, second, AGES.float(), 5.0, 0.1), exact)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"covariate": AGES[:5]}, r"covariate must have shape \[6\], got \[5\]"),
        ({"covariate": AGES[:, None]}, r"covariate must have shape \[6\], got \[6, 1\]"),
        ({"bandwidth": 0.0}, "bandwidth and temperature must be above 0"),
        ({"temperature": -1.0}, "bandwidth and temperature must be above 0"),
    ],
)
def test_bad_requests_are_refused(change, message):
    """Shapes and scales that cannot work give one clear error."""
    first, second = projections()
    given = {"covariate": AGES, "bandwidth": 5.0, "temperature": 0.1} | change
    with pytest.raises(UsageError, match=message):
        y_aware_cross_entropy(first, second, **given)


def test_the_method_compares_two_views_by_the_covariate(tiny, two_views, generator):
    """The loss is that of the projections of both views, with the options of the configuration."""
    method = YAware(tiny, YAwareConfig(bandwidth=3.0, temperature=0.3))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator, covariate=AGES.float())
    parts = method.projector(method.encoder(torch.cat([first, second]))).double().chunk(2)
    assert loss.item() == pytest.approx(slow_loss(*parts, AGES, 3.0, 0.3), rel=1e-5)


def test_the_gradient_depends_on_the_covariate(tiny, two_views, generator):
    """The same images and views with ages dealt out anew pull the encoder elsewhere."""
    method, pulls = YAware(tiny), []
    (first, second), views = two_views()
    for ages in (AGES, AGES.flip(0)[[1, 0, 2, 3, 4, 5]]):
        loss = method.loss(first, views(first, second), generator, covariate=ages.float())
        pulls.append(torch.autograd.grad(loss, method.projector[-1].weight)[0])
    assert not torch.allclose(*pulls, rtol=1e-3)


def test_a_missing_covariate_is_refused(tiny, noisy_view, generator):
    """The method says what it needs, to a loop by an attribute and to a caller by an error."""
    assert YAware.needs == ("covariate",)
    with pytest.raises(
        UsageError, match="y_aware needs a number for each image, such as age: pass covariate"
    ):
        YAware(tiny).loss(torch.rand(4, 1, 8, 8), noisy_view, generator)


def test_training_sorts_images_by_their_covariate(tiny, generator):
    """Of random images with two ages, those of one age come to lie together, and only by their ages."""
    images = torch.rand(64, 1, 8, 8, generator=generator)
    ages = torch.tensor([30.0, 70.0]).repeat(32)
    method = YAware(tiny)
    optimizer = torch.optim.AdamW(method.parameters(), 3e-3)
    for _ in range(60):
        loss = method.loss(images, lambda given: given, generator, covariate=ages)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    z = torch.nn.functional.normalize(method.projector(method.encoder(images)).detach(), dim=1)
    same = ages[:, None] == ages
    cosines = z @ z.T
    assert cosines[same].mean() - cosines[~same].mean() > 0.5


@pytest.mark.parametrize("options", [{"bandwidth": 0.0}, {"temperature": -1.0}, {"projection": 0}])
def test_impossible_options_are_refused(options):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(
        UsageError, match="bandwidth and temperature must be above 0 and projection at least 1"
    ):
        YAwareConfig(**options)
