"""The three terms of VICReg against loops and closed forms, and the collapse that two of them prevent."""

import copy

import pytest
import torch

from medssl.errors import UsageError
from medssl.ssl import VICReg
from medssl.ssl.vicreg import VICRegConfig, covariance_term, variance_invariance_covariance, variance_term


def projections(batch=9, dimensions=5, seed=0):
    """Two related sets of random projections in double precision, with deviations around 1."""
    first, noise = torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()
    return first, first + 0.5 * noise


def slow_variance(z):
    """Equations 1 and 2, one dimension at a time."""
    hinges = []
    for column in z.T.tolist():
        mean = sum(column) / len(column)
        variance = sum((value - mean) ** 2 for value in column) / (len(column) - 1)
        hinges.append(max(0.0, 1 - (variance + 1e-4) ** 0.5))
    return sum(hinges) / len(hinges)


def slow_covariance(z):
    """Equations 3 and 4, one pair of dimensions at a time."""
    columns, total = (z - z.mean(0)).T.tolist(), 0.0
    for i, first in enumerate(columns):
        for j, second in enumerate(columns):
            covariance = sum(a * b for a, b in zip(first, second, strict=True)) / (len(first) - 1)
            total += covariance**2 if i != j else 0
    return total / len(columns)


@pytest.mark.parametrize("batch", [2, 9])
@pytest.mark.parametrize("scale", [0.1, 1.0, 3.0])
def test_variance_and_covariance_are_loops(batch, scale):
    """Both terms give what their equations give, dimension by dimension."""
    z = scale * projections(batch)[0]
    assert variance_term(z).item() == pytest.approx(slow_variance(z), rel=1e-10)
    assert covariance_term(z).item() == pytest.approx(slow_covariance(z), rel=1e-10)


@pytest.mark.parametrize("weights", [(25, 25, 1), (1, 0, 0), (0, 1, 0), (0, 0, 1), (2, 3, 5)])
def test_loss_is_the_weighted_sum(weights):
    """Equation 6 with means over dimensions and over the variances of the two views."""
    first, second = projections()
    terms = (
        sum((a - b) ** 2 for a, b in zip(first.ravel().tolist(), second.ravel().tolist(), strict=True)) / 45,
        (slow_variance(first) + slow_variance(second)) / 2,
        slow_covariance(first) + slow_covariance(second),
    )
    expected = sum(weight * term for weight, term in zip(weights, terms, strict=True))
    assert variance_invariance_covariance(first, second, *weights).item() == pytest.approx(
        expected, rel=1e-10
    )


def test_equal_projections_cost_the_hinge():
    """Collapse costs 0.99 times the weight of the variance, as 1e-4 below the root leaves 0.01."""
    same = torch.ones(6, 4).double()
    assert variance_invariance_covariance(same, same, 25, 25, 1).item() == pytest.approx(24.75, rel=1e-10)


def test_spread_projections_cost_no_variance():
    """A deviation of at least 1 is enough: more is not rewarded."""
    z = torch.tensor([[-1.0, -5.0], [0.0, 0.0], [1.0, 5.0]])
    assert variance_term(z).item() == 0
    assert variance_term(10 * z).item() == 0


def test_equal_dimensions_have_a_closed_form():
    """D copies of a dimension of variance v cost (D - 1) v^2."""
    column = projections()[0][:, :1]
    expected = 3 * column.var() ** 2
    assert covariance_term(column.expand(-1, 4)).item() == pytest.approx(expected.item(), rel=1e-10)


def test_a_shift_between_views_costs_its_square():
    """Views that differ by a constant c in every dimension differ by c^2 in the invariance alone."""
    first, _ = projections()
    free = variance_invariance_covariance(first, first, 1, 1, 1)
    assert variance_invariance_covariance(first, first + 3, 1, 1, 1) - free == pytest.approx(9, rel=1e-10)


def test_terms_ignore_what_they_should():
    """Order of images and origin change neither term; a factor s multiplies the covariance term by s^4."""
    z, order = projections()[0], torch.randperm(9, generator=torch.Generator().manual_seed(1))
    for term in (variance_term, covariance_term):
        assert torch.allclose(term(z[order] + 5), term(z), rtol=1e-10)
    assert torch.allclose(covariance_term(2 * z), 16 * covariance_term(z), rtol=1e-10)


def test_exchanging_views_changes_nothing():
    """The loss is symmetric."""
    first, second = projections()
    there, back = (
        variance_invariance_covariance(*pair, 2, 3, 5) for pair in ((first, second), (second, first))
    )
    assert torch.allclose(there, back, rtol=1e-12)


def test_gradients_are_finite_at_collapse():
    """The 1e-4 below the root keeps the gradient of a constant dimension finite."""
    z = torch.ones(4, 3, requires_grad=True)
    variance_invariance_covariance(z, z, 25, 25, 1).backward()
    assert torch.isfinite(z.grad).all()


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 projections give the loss of their exact values."""
    first, second = (view.bfloat16() for view in projections())
    with torch.autocast("cpu", enabled=False):
        exact = variance_invariance_covariance(first.float(), second.float(), 25, 25, 1)
    assert torch.equal(variance_invariance_covariance(first, second, 25, 25, 1), exact)


def test_the_module_compares_two_views(tiny, two_views, generator):
    """Projections of the first and of the second view enter the loss with the weights of the options."""
    method = VICReg(tiny, VICRegConfig(invariance=2, variance=3, covariance=5, projection=7))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    z = method.projector(tiny(torch.cat([first, second])))
    assert z.shape == (12, 7)
    assert torch.allclose(loss, variance_invariance_covariance(z[:6], z[6:], 2, 3, 5))


def test_the_variance_term_prevents_collapse(tiny, train):
    """Deviations of projections end near 1 with the term, and near 0 without it."""
    options = {"projection": 16, "covariance": 0.0}
    for variance, low, high in ((25.0, 0.9, 1.2), (0.0, 0.0, 0.1)):
        method = VICReg(copy.deepcopy(tiny), VICRegConfig(variance=variance, **options))
        images = train(method, steps=150)
        assert low < method.projector(method.encoder(images)).std(0).mean() < high


def test_the_covariance_term_prevents_redundancy(tiny, train):
    """Covariances of projections are much smaller with the term than without it."""
    left = []
    for covariance in (1.0, 0.0):
        method = VICReg(copy.deepcopy(tiny), VICRegConfig(projection=16, covariance=covariance))
        images = train(method, steps=150)
        left.append(covariance_term(method.projector(method.encoder(images))).item())
    assert left[0] < 0.3 * left[1]


@pytest.mark.parametrize(
    "options", [{"invariance": -1.0}, {"variance": -1.0}, {"covariance": -1.0}, {"projection": 1}]
)
def test_impossible_options_are_refused(options):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match="must be 0 or more, projection at least 2"):
        VICRegConfig(**options)
