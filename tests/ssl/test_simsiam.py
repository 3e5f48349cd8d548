"""SimSiam against a loop and closed forms, and what its stopped gradient prevents."""

import copy
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import UsageError
from medssl.ssl import SimSiam
from medssl.ssl.simsiam import SimSiamConfig, negative_cosine


def vectors(batch=7, dimensions=5, seed=0):
    """Two sets of random vectors in double precision."""
    return torch.randn(2, batch, dimensions, generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("batch", [1, 7])
def test_loss_is_the_loop_over_images(batch):
    """Equation 1, one image at a time."""
    prediction, target = vectors(batch)
    cosines = [p @ t / (p.norm() * t.norm()) for p, t in zip(prediction, target, strict=True)]
    assert torch.allclose(negative_cosine(prediction, target), -sum(cosines) / batch, rtol=1e-12)


@pytest.mark.parametrize(("factor", "value"), [(1, -1.0), (3, -1.0), (-2, 1.0)])
def test_parallel_vectors_have_closed_forms(factor, value):
    """Equal directions give -1, the least value there is, and opposite ones 1."""
    prediction, _ = vectors()
    assert negative_cosine(prediction, factor * prediction).item() == pytest.approx(value, abs=1e-12)


def test_loss_ignores_order_length_and_rotation():
    """Permuting images, scaling vectors or rotating the space changes nothing."""
    prediction, target = vectors()
    loss = negative_cosine(prediction, target)
    order = torch.randperm(7, generator=torch.Generator().manual_seed(1))
    rotation = torch.linalg.qr(vectors(5)[0])[0]
    for other in (
        negative_cosine(prediction[order], target[order]),
        negative_cosine(prediction * 3, target * 0.2),
        negative_cosine(prediction @ rotation, target @ rotation),
    ):
        assert torch.allclose(loss, other, rtol=1e-12)


def test_the_target_gets_no_gradient():
    """Of the two arguments only the prediction is pulled (equation 3)."""
    prediction, target = (vector.requires_grad_() for vector in vectors().unbind())
    negative_cosine(prediction, target).backward()
    assert prediction.grad.abs().max() > 0
    assert target.grad is None


def test_half_precision_is_compared_in_single_precision(autocast):
    """Under autocast, bfloat16 vectors give the loss of their exact values."""
    prediction, target = vectors().bfloat16()
    with torch.autocast("cpu", enabled=False):
        exact = negative_cosine(prediction.float(), target.float())
    assert torch.equal(negative_cosine(prediction, target), exact)


def test_loss_is_the_mean_of_both_ways_round(tiny, two_views, generator):
    """Each view's prediction meets the other view's projection (equation 2)."""
    method = SimSiam(tiny)
    (first, second), views = two_views()
    loss = method.loss(first, views(first, second), generator)
    projections = method.projector(tiny(torch.cat([first, second])))
    cosines = functional.cosine_similarity(method.predictor(projections), projections.roll(6, 0))
    assert torch.allclose(loss, -cosines.mean(), rtol=1e-5)
    assert torch.allclose(loss, method.loss(first, views(second, first), generator), rtol=1e-5)


def test_projections_are_normalised_over_the_batch(tiny):
    """The projector ends in a batch normalisation without weights: mean 0 and deviation 1."""
    projections = SimSiam(tiny).projector(tiny(torch.rand(32, 1, 8, 8)))
    assert projections.mean(0).abs().max() < 1e-5
    assert (projections.std(0, correction=0) - 1).abs().max() < 0.01


def test_the_predictor_has_a_bottleneck(tiny):
    """Its hidden layer is as narrow as the option says, and its output fits the projection."""
    predictor = SimSiam(tiny, SimSiamConfig(projection=12, bottleneck=3)).predictor
    assert [layer.out_features for layer in predictor if isinstance(layer, nn.Linear)] == [3, 12]


def without_stopped_gradient(prediction, target):
    """Equation 1 as it reads before equation 3."""
    return -functional.cosine_similarity(prediction, target).mean()


def spread_after(method, train, spread, **options):
    """Train a method and measure how much its projections differ in direction."""
    images = train(method, **options)
    return spread(method.projector(method.encoder(images)))


def test_the_stopped_gradient_prevents_collapse(tiny, train, spread, monkeypatch):
    """Without it, and without the normalisation that slows the fall, all images get one projection."""
    kept, lost = (SimSiam(copy.deepcopy(tiny)) for _ in range(2))
    for method in (kept, lost):
        method.projector[1] = nn.Identity()
    assert spread_after(kept, train, spread) > 0.6
    monkeypatch.setattr(sys.modules["medssl.ssl.simsiam"], "negative_cosine", without_stopped_gradient)
    assert spread_after(lost, train, spread) < 0.2


def test_the_normalisation_slows_the_fall(tiny, train, spread, monkeypatch):
    """With it, projections draw together without the stopped gradient, and stay apart with it."""
    slow = {"steps": 400, "learning_rate": 1e-2}
    assert spread_after(SimSiam(copy.deepcopy(tiny)), train, spread, **slow) > 0.95
    monkeypatch.setattr(sys.modules["medssl.ssl.simsiam"], "negative_cosine", without_stopped_gradient)
    assert 0.2 < spread_after(SimSiam(tiny), train, spread, **slow) < 0.9


@pytest.mark.parametrize("options", [{"projection": 0}, {"bottleneck": 0}])
def test_impossible_options_are_refused(options):
    """A value that cannot work is refused when it is written down."""
    with pytest.raises(UsageError, match="projection and bottleneck must be at least 1"):
        SimSiamConfig(**options)
