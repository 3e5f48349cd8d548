"""Barlow Twins against loops, MONAI and closed forms, and its invariances."""

import pytest
import torch
from monai.losses import BarlowTwinsLoss

from medssl.errors import UsageError
from medssl.ssl import BarlowTwins
from medssl.ssl.barlow_twins import BarlowTwinsConfig, cross_correlation, redundancy_reduction


def projections(batch=9, dimensions=5, seed=0):
    """Two related sets of random projections in double precision."""
    first, noise = torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()
    return first, first + noise


def slow_correlation(first, second):
    """Equation 2, one pair of dimensions at a time, with the 1e-5 of batch normalisation."""
    dimensions, result = first.shape[1], torch.zeros(first.shape[1], first.shape[1]).double()
    for i in range(dimensions):
        for j in range(dimensions):
            a, b = first[:, i] - first[:, i].mean(), second[:, j] - second[:, j].mean()
            deviations = [(values.square().mean() + 1e-5).sqrt() for values in (a, b)]
            result[i, j] = (a * b).mean() / (deviations[0] * deviations[1])
    return result


def slow_loss(correlation, off_diagonal):
    """Equation 1, one entry of the matrix at a time."""
    total = 0.0
    for i, row in enumerate(correlation.tolist()):
        for j, value in enumerate(row):
            total += (1 - value) ** 2 if i == j else off_diagonal * value**2
    return total


def decorrelated(dimensions=4):
    """Columns of a Hadamard matrix: mean 0, variance 1, uncorrelated."""
    matrix = torch.ones(1, 1).double()
    while len(matrix) <= dimensions:
        matrix = torch.cat([torch.cat([matrix, matrix], 1), torch.cat([matrix, -matrix], 1)])
    return matrix[:, 1 : dimensions + 1]


@pytest.mark.parametrize("off_diagonal", [0.005, 1.0])
@pytest.mark.parametrize("batch", [2, 9])
def test_loss_is_the_loop(batch, off_diagonal):
    """The matrix product gives what equations 1 and 2 give, entry by entry."""
    first, second = projections(batch)
    correlation = slow_correlation(first, second)
    assert torch.allclose(cross_correlation(first, second), correlation, rtol=1e-10)
    loss = redundancy_reduction(first, second, off_diagonal)
    assert loss.item() == pytest.approx(slow_loss(correlation, off_diagonal), rel=1e-10)


@pytest.mark.parametrize("off_diagonal", [0.005, 0.5])
@pytest.mark.parametrize("batch", [8, 64])
def test_loss_is_that_of_monai(batch, off_diagonal):
    """MONAI divides by the unbiased deviation and then by the batch: its C is (batch - 1) / batch of ours."""
    first, second = projections(batch)
    correlation = cross_correlation(first, second) * (batch - 1) / batch
    expected = BarlowTwinsLoss(off_diagonal)(first, second).item()
    assert slow_loss(correlation, off_diagonal) == pytest.approx(expected, rel=1e-4)


def test_monai_agrees_in_the_limit_of_large_batches():
    """The factor above vanishes: with 20000 images both losses are the same."""
    first, second = projections(20000)
    expected = BarlowTwinsLoss(0.5)(first, second).item()
    assert redundancy_reduction(first, second, 0.5).item() == pytest.approx(expected, rel=1e-3)


def test_equal_uncorrelated_views_cost_nothing():
    """The identity matrix is the aim."""
    z = decorrelated()
    assert redundancy_reduction(z, 7 * z + 3, 0.5).item() == pytest.approx(0, abs=1e-8)


def test_opposite_views_cost_four_a_dimension():
    """A diagonal of -1 costs 2^2 in each dimension."""
    z = decorrelated()
    assert redundancy_reduction(z, -z, 0.5).item() == pytest.approx(4 * 4, rel=1e-4)


def test_redundant_dimensions_cost_lambda_a_pair():
    """When all dimensions say the same the diagonal is free and each pair costs lambda."""
    z = decorrelated(1).expand(-1, 6)
    assert redundancy_reduction(z, z, 0.01).item() == pytest.approx(0.01 * 6 * 5, rel=1e-4)


def test_unrelated_views_cost_one_a_dimension():
    """Views with no correlation at all leave the diagonal at 0."""
    z = decorrelated(6)
    assert redundancy_reduction(z[:, :3], z[:, 3:], 0.5).item() == pytest.approx(3, rel=1e-6)


def test_loss_ignores_order_scale_shift_and_the_name_of_the_views():
    """Images in another order, another scale and origin of any dimension, and exchanged views."""
    first, second = projections(64)
    loss = redundancy_reduction(first, second, 0.1)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(1))
    scale = torch.tensor([0.5, 1, 2, 3, 4]).double()
    for other in (
        redundancy_reduction(first[order], second[order], 0.1),
        redundancy_reduction(first * scale - 3, second / scale + scale, 0.1),
        redundancy_reduction(second, first, 0.1),
    ):
        assert torch.allclose(loss, other, rtol=1e-3)


def test_a_constant_dimension_is_harmless():
    """A dead dimension has correlation 0 with everything, costs 1, and gives finite gradients."""
    first, second = projections()
    first[:, 0] = 3
    first.requires_grad_()
    correlation = cross_correlation(first, second)
    assert correlation[0].abs().max() == 0
    redundancy_reduction(first, second, 0.1).backward()
    assert torch.isfinite(first.grad).all()


def test_half_precision_is_correlated_in_single_precision(autocast):
    """Under autocast, bfloat16 projections give the loss of their exact values."""
    first, second = (view.bfloat16() for view in projections())
    with torch.autocast("cpu", enabled=False):
        exact = redundancy_reduction(first.float(), second.float(), 0.1)
    assert torch.equal(redundancy_reduction(first, second, 0.1), exact)


def test_the_module_compares_two_views(tiny, two_views, generator):
    """Projections of the first and of the second view enter the loss with the option's weight."""
    method = BarlowTwins(tiny, BarlowTwinsConfig(off_diagonal=0.3, projection=7))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    z = method.projector(tiny(torch.cat([first, second])))
    assert z.shape == (12, 7)
    assert torch.allclose(loss, redundancy_reduction(z[:6], z[6:], 0.3))


def test_training_takes_redundancy_away(tiny, train):
    """After a short run the dimensions of a projection are nearly uncorrelated over images."""
    method = BarlowTwins(tiny, BarlowTwinsConfig(off_diagonal=0.1, projection=8))
    images = torch.rand(64, 1, 8, 8, generator=torch.Generator().manual_seed(0))

    def redundancy():
        z = method.projector(tiny(images)).detach()
        correlation = cross_correlation(z, z)
        return (correlation - correlation.diagonal().diag()).abs().mean().item()

    before = redundancy()
    train(method, steps=100)
    assert redundancy() < 0.7 * before


@pytest.mark.parametrize(
    "options", [{"off_diagonal": 0.0}, {"off_diagonal": float("nan")}, {"projection": 1}]
)
def test_impossible_options_are_refused(options):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match="off_diagonal must be above 0 and projection at least 2"):
        BarlowTwinsConfig(**options)
