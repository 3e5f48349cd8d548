"""Nearest neighbours vote with the weights of the paper, and nothing is trained."""

import numpy as np
import pytest
import torch
from torch import nn

from medssl.errors import RunError, UsageError
from medssl.evaluation import scores
from medssl.training import SelectionConfig, TransferConfig, choose_learning_rate, to_tensor, transfer
from medssl.training.neighbours import NearestNeighbours

CONFIG = TransferConfig(adaptation="nearest_neighbours")


def known(n=30, classes=3, seed=0):
    """Features and labels of n images, and features of seven others."""
    random = torch.Generator().manual_seed(seed)
    return (
        torch.randn(n, 5, generator=random), torch.arange(n) % classes, torch.randn(7, 5, generator=random)
    )  # fmt: skip


@pytest.mark.parametrize("count", [1, 4, 30, 99])
def test_the_vote_is_a_loop_over_the_nearest(count):
    """Sorted by cosine, the first k add exp(cosine / temperature) to their class; the shares are returned."""
    features, labels, others = known()
    found = NearestNeighbours(features, labels, 3, count, 0.2)(others).softmax(1)
    for feature, row in zip(others, found, strict=True):
        cosine = [(a @ feature / (a.norm() * feature.norm())).item() for a in features]
        votes = np.zeros(3)
        for place in sorted(range(30), key=lambda i: -cosine[i])[:count]:
            votes[labels[place]] += np.exp(cosine[place] / 0.2)
        assert row.numpy() == pytest.approx(votes / votes.sum(), abs=1e-5)


def test_the_length_of_a_feature_does_not_matter():
    """Features are normalised on both sides."""
    features, labels, others = known()
    scale = torch.linspace(0.1, 9, 30)[:, None]
    vote, scaled = (NearestNeighbours(f, labels, 3, 5) for f in (features, features * scale))
    assert torch.allclose(vote(others), scaled(others * 7), atol=1e-4)


def test_a_class_without_a_vote_has_probability_zero():
    """It is 0 and not a missing number, and the others share the vote."""
    features, labels, others = known()
    found = NearestNeighbours(features, labels, 4, 1)(others).softmax(1)
    assert found[:, 3].eq(0).all()
    assert found.sum(1).allclose(torch.ones(7))


def test_twenty_vote_or_all_of_fewer():
    """The default number is 20 and falls to the number of labelled images."""
    features, labels, _ = known()
    assert NearestNeighbours(features, labels, 3).neighbours == 20
    assert NearestNeighbours(features[:8], labels[:8], 3).neighbours == 8


def test_transfer_takes_the_features_of_plain_images(task, same_weights):
    """The result is the encoder's own bits and the vote on its frozen features, without a history."""
    images, labels, _, encoder, _, standardise = task
    done = transfer(*task, CONFIG, device="cpu")
    same_weights(done.model[0], encoder)
    assert done.history == []
    with torch.no_grad():
        features = encoder.eval()(standardise(to_tensor(images)))
        expected = NearestNeighbours(features, torch.as_tensor(labels), 2)(features).softmax(1).numpy()
    assert np.allclose(done.predict(images), expected, atol=1e-6)


def test_nothing_is_drawn(task, tmp_path):
    """Every seed gives the same predictions, and no checkpoint is written."""
    first, second = (
        transfer(*task, CONFIG, device="cpu", seed=seed, checkpoint=tmp_path / "run.pt") for seed in (1, 2)
    )
    assert np.array_equal(first.predict(task[0]), second.predict(task[0]))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("count", [1, 20])
def test_an_easy_task_needs_no_training(count, task, blobs):
    """Few labels suffice for images that lie apart, and one image is a vote too."""
    images, labels, *others = task
    done = transfer(images[:count], labels[:count], *others, CONFIG, device="cpu")
    new, truth = blobs(40, seed=1)
    found = done.predict(new)
    assert np.allclose(found.sum(1), 1)
    if count > 1:
        assert scores(truth, found)["auc"] > 0.9


def test_there_is_no_learning_rate_to_choose(task):
    """The configuration's own comes back and nothing is fitted, whatever the budget."""
    selection = SelectionConfig(least_labels=1, fixed_learning_rate=0.5)
    assert choose_learning_rate(*task, CONFIG, selection, device="cpu") == (CONFIG.learning_rate, {})


def test_features_that_are_no_numbers_are_an_error(task):
    """A diverged encoder is named as the cause."""
    images, labels, classes, encoder, *others = task
    nn.init.constant_(encoder.stem[0].weight, torch.nan)
    with pytest.raises(RunError, match="nearest_neighbours: the features are not finite"):
        transfer(images, labels, classes, encoder, *others, CONFIG, device="cpu")


@pytest.mark.parametrize("options", [(0, 0.1), (5, 0.0), (5, -1.0)])
def test_impossible_votes_are_refused(options):
    """No neighbour, or a temperature that is not positive, is an error."""
    features, labels, _ = known()
    with pytest.raises(UsageError, match="neighbours must be at least 1 and temperature above 0"):
        NearestNeighbours(features, labels, 3, *options)
