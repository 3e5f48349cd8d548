"""The learning rate is chosen with the labels of the budget and nothing else."""

import sys

import numpy as np
import pytest
import torch

from medssl.errors import UsageError
from medssl.training import SelectionConfig, choose_learning_rate, split_budget

RATES = (1e-4, 1e-3, 1e-2)


class Spy:
    """Takes the place of `transfer`: notes what it was given and predicts better at the middle rate."""

    def __init__(self, confidence=None):
        self.calls, self.scored = [], []
        self.confidence = confidence or {1e-4: 0.6, 1e-3: 0.9, 1e-2: 0.7}

    def __call__(self, images, labels, classes, encoder, modality, standardisation, config, **options):
        self.calls.append((images, labels, encoder, config, options))
        self.rate = config.learning_rate
        return self

    def predict(self, images):
        self.scored.append(images)
        right = self.confidence[self.rate]
        bright = images[:, 6:10, 6:10].mean((1, 2)) > 130  # the class of a blob
        return np.where(bright[:, None], [1 - right, right], [right, 1 - right])


@pytest.fixture
def spy(monkeypatch):
    """A spy in the place of the loop."""
    found = Spy()
    monkeypatch.setattr(sys.modules["medssl.training.selection"], "transfer", found)
    return found


def budget(blobs, n):
    """n labelled images, and the rest of the arguments."""
    images, labels = blobs(n)
    return images, labels, 2, "the encoder", "xray", None


def rows_of(part, images):
    """Rows of `images` that `part` consists of."""
    found = [np.flatnonzero((images == image).all((1, 2))) for image in part]
    assert all(len(rows) == 1 for rows in found)
    return np.concatenate(found)


def choose(arguments, steps, selection=SelectionConfig(learning_rates=RATES), **options):  # noqa: B008
    """Choose among the three rates."""
    return choose_learning_rate(*arguments, steps(2), selection, seed=5, **options)


def test_the_rate_with_the_lowest_held_out_loss_wins(blobs, steps, spy):
    """The losses are those of the held-out labels under each rate, and the smallest decides."""
    rate, losses = choose(budget(blobs, 60), steps)
    assert rate == 1e-3
    assert losses == pytest.approx({"0.0001": -np.log(0.6), "0.001": -np.log(0.9), "0.01": -np.log(0.7)})


def test_every_rate_is_tried_on_the_same_split_of_the_budget(blobs, steps, spy):
    """Each trial fits and scores the same rows, which together are the budget, and keeps all else."""
    arguments = budget(blobs, 60)
    choose(arguments, steps)
    fit, held_out = split_budget(arguments[1], 5, 0.25)
    assert [call[3].learning_rate for call in spy.calls] == list(RATES)
    for (images, labels, encoder, config, options), scored in zip(spy.calls, spy.scored, strict=True):
        assert np.array_equal(rows_of(images, arguments[0]), fit)
        assert np.array_equal(rows_of(scored, arguments[0]), held_out)
        assert np.array_equal(labels, arguments[1][fit])
        assert (encoder, config.steps(60), options["seed"]) == ("the encoder", 2, 5)


@pytest.mark.parametrize("validation", [None, "given"])
def test_the_validation_split_is_not_touched(blobs, steps, spy, validation):
    """Even when it is at hand, images and labels of the validation split have no part in the choice."""
    poison = (np.zeros((3, 16, 16), np.uint8), np.array([9, 9, 9])) if validation else None
    assert choose(budget(blobs, 60), steps, validation=poison)[0] == 1e-3
    assert all(len(scored) == 15 for scored in spy.scored)


def test_a_patient_is_never_on_both_sides(blobs, steps, spy):
    """Groups go into the split."""
    arguments, groups = budget(blobs, 60), np.arange(60) // 6
    choose(arguments, steps, groups=groups)
    fit, held_out = (rows_of(part, arguments[0]) for part in (spy.calls[0][0], spy.scored[0]))
    assert not set(groups[fit]) & set(groups[held_out])


@pytest.mark.parametrize(("n", "trials"), [(49, 0), (50, 3)])
def test_below_fifty_labels_there_is_one_recipe(n, trials, blobs, steps, spy):
    """Both arms then take the fixed rate, and nothing is trained to choose."""
    selection = SelectionConfig(learning_rates=RATES, fixed_learning_rate=0.123)
    rate, losses = choose(budget(blobs, n), steps, selection)
    assert len(spy.calls) == len(losses) == trials
    assert (rate == 0.123) == (trials == 0)


def test_the_flagged_run_uses_the_whole_validation_split(blobs, steps, spy):
    """With the flag every label of the budget is fitted and the given validation split decides, at any n."""
    arguments, validation = budget(blobs, 20), blobs(30, seed=3)
    selection = SelectionConfig(learning_rates=RATES, validation="full_validation")
    assert choose(arguments, steps, selection, validation=validation)[0] == 1e-3
    for call, scored in zip(spy.calls, spy.scored, strict=True):
        assert np.array_equal(call[0], arguments[0])
        assert scored is validation[0]


def test_certain_and_wrong_predictions_have_a_finite_loss(blobs, steps, spy):
    """A probability of zero is clipped, so that one diverging rate cannot hide the others."""
    spy.confidence = {1e-4: 0.0, 1e-3: 1.0, 1e-2: 0.5}
    rate, losses = choose(budget(blobs, 60), steps)
    assert rate == 1e-3
    assert losses["0.0001"] == pytest.approx(-np.log(1e-7))


def test_the_real_loop_gives_the_same_choice_twice(task, steps, blobs):
    """With the real loop the choice is a function of its arguments; the encoder stays as it is."""
    before = torch.cat([weight.flatten() for weight in task[3].parameters()])
    selection = SelectionConfig(learning_rates=(1e-4, 1e-2), least_labels=10)
    first, again = (choose_learning_rate(*task, steps(2), selection, seed=5, device="cpu") for _ in range(2))
    assert first == again
    assert set(first[1]) == {"0.0001", "0.01"}
    assert torch.equal(before, torch.cat([weight.flatten() for weight in task[3].parameters()]))


def test_impossible_selections_are_refused():
    """An unknown validation and rates that cannot train are errors."""
    with pytest.raises(UsageError, match="'budget' or 'full_validation', got 'test'"):
        SelectionConfig(validation="test")
    for rates in ((), (1e-3, 0.0), (-1.0,)):
        with pytest.raises(UsageError, match="learning_rates must be positive and at least one"):
            SelectionConfig(learning_rates=rates)
    with pytest.raises(TypeError, match="metric"):
        SelectionConfig(metric="auc")
