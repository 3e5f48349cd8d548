"""Sinkhorn codes and swapped prediction against loops and closed forms; the rules for the prototypes."""

import copy
import math
import sys

import pytest
import torch
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import SwAV
from medssl.ssl.swav import SwAVConfig, sinkhorn_codes, swapped_prediction


def scores(batch=12, prototypes=5, seed=0):
    """Cosines of two views with the prototypes, in double precision."""
    random = torch.randn(2, batch, prototypes, generator=torch.Generator().manual_seed(seed))
    return random.double().tanh()


def slow_codes(score, epsilon, iterations=3):
    """Equations 3 to 5, one row and one column at a time: columns first, then rows."""
    codes = (score / epsilon).exp()
    for _ in range(iterations):
        for k in range(codes.shape[1]):
            codes[:, k] /= codes[:, k].sum()
        for i in range(codes.shape[0]):
            codes[i] /= codes[i].sum()
    return codes


def slow_loss(first, second, temperature, epsilon):
    """Equations 1 and 2, one image at a time."""
    total = 0.0
    for given, asked in ((first, second), (second, first)):
        for code, score in zip(slow_codes(asked, epsilon), given, strict=True):
            softmax = (score / temperature).exp() / (score / temperature).exp().sum()
            total -= (code * softmax.log()).sum().item() / 2
    return total / len(first)


@pytest.mark.parametrize("iterations", [1, 3, 10])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_codes_are_the_loop(epsilon, iterations):
    """Normalising in logarithms gives what dividing rows and columns gives."""
    first, _ = scores()
    codes = sinkhorn_codes(first, epsilon, iterations)
    assert torch.allclose(codes, slow_codes(first, epsilon, iterations), rtol=1e-10)


def test_codes_are_distributions_that_use_prototypes_alike():
    """Rows sum to 1 exactly; columns approach batch / prototypes as iterations go on."""
    first, _ = scores()
    for iterations, tolerance in ((3, 0.6), (1000, 1e-6)):
        codes = sinkhorn_codes(first, 0.2, iterations)
        assert torch.allclose(codes.sum(1), torch.ones(12).double(), rtol=1e-12)
        assert (codes.sum(0) - 12 / 5).abs().max() < tolerance


def test_three_iterations_are_the_default():
    """The paper's number is used where none is given."""
    first, _ = scores()
    assert torch.equal(sinkhorn_codes(first, 0.05), sinkhorn_codes(first, 0.05, 3))


def test_codes_do_not_favour_a_prototype_that_all_images_favour():
    """A constant added to all scores of a prototype changes nothing: that is how collapse is prevented."""
    first, _ = scores()
    favoured = first + torch.tensor([1.0, 0, 0, 0, 0])
    codes = sinkhorn_codes(favoured, 0.5, 500)
    assert torch.allclose(codes, sinkhorn_codes(first, 0.5, 500), atol=1e-8)
    assert (favoured / 0.5).softmax(1).sum(0).argmax() == 0  # what a plain softmax would make of it


@pytest.mark.parametrize("epsilon", [1e-3, 1e-6])
def test_small_epsilons_give_hard_codes_without_overflow(epsilon):
    """exp(1 / epsilon) overflows; the logarithms do not."""
    codes = sinkhorn_codes(torch.eye(4).repeat(3, 1), epsilon)
    assert torch.allclose(codes, torch.eye(4).repeat(3, 1), atol=1e-6)


def test_a_large_epsilon_gives_uniform_codes():
    """Entropy wins over the scores."""
    assert torch.allclose(sinkhorn_codes(scores()[0], 1e6), torch.full((12, 5), 0.2).double(), atol=1e-5)


@pytest.mark.parametrize("temperature", [0.1, 1.0])
@pytest.mark.parametrize("epsilon", [0.05, 0.5])
def test_loss_is_the_loop_over_images(temperature, epsilon):
    """The vectorised cross-entropy is that of one image at a time, both ways round."""
    first, second = scores()
    expected = slow_loss(first, second, temperature, epsilon)
    assert swapped_prediction(first, second, temperature, epsilon).item() == pytest.approx(
        expected, rel=1e-10
    )


@pytest.mark.parametrize("prototypes", [2, 32])
def test_equal_scores_give_the_loss_of_guessing(prototypes):
    """When nothing tells images apart every prototype is as likely as any other."""
    same = torch.full((6, prototypes), 0.3)
    assert swapped_prediction(same, same, 0.1, 0.05).item() == pytest.approx(math.log(prototypes), rel=1e-5)


def test_balanced_clusters_have_a_closed_form():
    """Images on their prototypes, each used alike, have the codes softmax(scores / epsilon)."""
    axes, loss = torch.eye(4).double().repeat(2, 1), 0.0
    code = [math.exp(1 / 0.5), 1, 1, 1]
    softmax = [math.exp(1 / 0.2), 1, 1, 1]
    for q, p in zip(code, softmax, strict=True):
        loss -= q / sum(code) * math.log(p / sum(softmax))
    assert swapped_prediction(axes, axes, 0.2, 0.5).item() == pytest.approx(loss, rel=1e-10)


def test_the_prediction_is_swapped():
    """Each view is compared with the code of the other view, not with its own."""
    first = torch.eye(4).double().repeat(2, 1)
    second = first.roll(1, 1)
    own = swapped_prediction(first, first, 0.1, 0.05)
    assert swapped_prediction(first, second, 0.1, 0.05) > own + 5


def test_loss_ignores_the_order_of_images_prototypes_and_views():
    """Permuting rows or columns of both views, or exchanging the views, changes nothing."""
    first, second = scores()
    loss = swapped_prediction(first, second, 0.1, 0.05)
    rows, columns = (torch.randperm(n, generator=torch.Generator().manual_seed(1)) for n in (12, 5))
    for other in (
        swapped_prediction(first[rows], second[rows], 0.1, 0.05),
        swapped_prediction(first[:, columns], second[:, columns], 0.1, 0.05),
        swapped_prediction(second, first, 0.1, 0.05),
    ):
        assert torch.allclose(loss, other, rtol=1e-10)


def test_codes_get_no_gradient():
    """The gradient is that of a cross-entropy with fixed codes."""
    first, second = (view.requires_grad_() for view in scores().unbind())
    swapped_prediction(first, second, 0.1, 0.05).backward()
    assert not sinkhorn_codes(first, 0.05).requires_grad
    expected = ((first / 0.1).softmax(1) - sinkhorn_codes(second, 0.05)) / 0.1 / 2 / 12
    assert torch.allclose(first.grad, expected, rtol=1e-8)


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 scores give the loss of their exact values."""
    first, second = scores().bfloat16()
    with torch.autocast("cpu", enabled=False):
        exact = swapped_prediction(first.float(), second.float(), 0.1, 0.02)
    assert torch.equal(swapped_prediction(first, second, 0.1, 0.02), exact)


def test_scores_are_cosines_of_projections_and_prototypes(tiny, two_views, generator):
    """The module hands the cosines of the two views to the loss."""
    method = SwAV(tiny, SwAVConfig(prototypes=4, temperature=0.3, epsilon=0.5))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    z = method.projector(tiny(torch.cat([first, second])))
    cosines = functional.cosine_similarity(z[:, None], method.prototypes[None], dim=2)
    assert torch.allclose(loss, swapped_prediction(cosines[:6], cosines[6:], 0.3, 0.5), rtol=1e-5)


def test_scores_are_not_rounded_under_autocast(tiny, two_views, generator, autocast):
    """The product with the prototypes is in single precision, whatever the encoder computes in."""
    method = SwAV(tiny, SwAVConfig(prototypes=4))
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    z = functional.normalize(method.projector(tiny(torch.cat([first, second]))).float())
    with torch.autocast("cpu", enabled=False):
        cosines = z @ method.prototypes.T
    assert torch.equal(loss, swapped_prediction(cosines[:6], cosines[6:], 0.1, 0.02))


def test_prototypes_have_unit_length_from_the_start_and_after_each_step(tiny, noisy_view, generator):
    """A step of the optimiser changes their length, and what follows restores it and keeps the direction."""
    method = SwAV(tiny, SwAVConfig(frozen=0.0))
    assert torch.allclose(method.prototypes.norm(dim=1), torch.ones(32), atol=1e-6)
    optimizer = torch.optim.SGD(method.parameters(), 1.0)
    method.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
    optimizer.step()
    moved = method.prototypes.detach().clone()
    assert (moved.norm(dim=1) - 1).abs().max() > 1e-4
    method.after_step(0, 10)
    assert torch.allclose(method.prototypes.norm(dim=1), torch.ones(32), atol=1e-6)
    assert torch.allclose(method.prototypes, functional.normalize(moved), atol=1e-6)


@pytest.mark.parametrize(("share", "still"), [(0.0, 0), (0.05, 1), (0.3, 6), (0.29, 6)])
def test_prototypes_stay_in_the_first_steps(share, still, tiny, noisy_view, generator):
    """They get no gradient, and so no decay, until their share of the 20 steps is over."""
    method, without = SwAV(tiny, SwAVConfig(frozen=share)), 0
    start = method.prototypes.detach().clone()
    optimizer = torch.optim.AdamW(method.parameters(), 1e-2, weight_decay=0.1)
    for step in range(20):
        method.loss(torch.rand(8, 1, 8, 8), noisy_view, generator).backward()
        frozen = method.prototypes.grad is None
        without += frozen
        optimizer.step()
        method.after_step(step, 20)
        assert torch.allclose(method.prototypes, start, atol=1e-6) == frozen
    assert without == still


def test_balanced_codes_prevent_collapse(tiny, train, monkeypatch):
    """All prototypes are used; with a plain softmax in place of Sinkhorn's codes one takes every image."""

    def used(method):
        images = train(method)
        cosines = functional.normalize(method.projector(method.encoder(images))) @ method.prototypes.T
        return len(cosines.argmax(1).unique())

    config = SwAVConfig(prototypes=8)
    assert used(SwAV(copy.deepcopy(tiny), config)) == 8
    plain = lambda score, epsilon: (score.detach() / epsilon).softmax(1)  # noqa: E731
    monkeypatch.setattr(sys.modules["medssl.ssl.swav"], "sinkhorn_codes", plain)
    assert used(SwAV(tiny, config)) == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0.0}, "temperature and epsilon must be above 0"), ({"epsilon": -1.0}, "above 0"),
        ({"frozen": 1.0}, "frozen at least 0 and below 1"), ({"frozen": -0.1}, "frozen at least 0"),
        ({"prototypes": 1}, "prototypes at least 2"), ({"projection": 0}, "projection must be at least 1"),
    ],
)  # fmt: skip
def test_impossible_options_are_refused(options, message):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match=message):
        SwAVConfig(**options)
