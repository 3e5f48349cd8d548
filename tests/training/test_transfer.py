"""Transfer: fine-tuning and the linear probe, their resumption, and what they leave alone."""

import copy
import dataclasses

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from medssl.errors import DataError, RunError, UsageError
from medssl.evaluation import scores
from medssl.training import TransferConfig, to_tensor, transfer
from medssl.training.tensors import cosine_with_warmup
from medssl.training.transfer import ADAPTATIONS

TRAINED = [name for name in ADAPTATIONS if name != "nearest_neighbours"]


def run(task, config, **options):
    """Transfer on the processor."""
    return transfer(*task, config, device="cpu", **options)


@pytest.mark.parametrize("adaptation", TRAINED)
def test_a_killed_run_goes_on_to_the_same_bits(
    adaptation, task, steps, tmp_path, loops, kill_after_saving, killed, same_weights
):
    """Killed after step 50 and started again, a run ends in the weights of an undisturbed one."""
    config, path = steps(57, adaptation=adaptation), tmp_path / "run.pt"
    whole = run(task, config, seed=4)
    survive = kill_after_saving(loops[1])
    with pytest.raises(killed):
        run(task, config, seed=4, checkpoint=path)
    survive()
    torch.manual_seed(99)  # the global state of the second process is another one
    resumed = run(task, config, seed=4, checkpoint=path)
    same_weights(resumed.model, whole.model)
    assert resumed.history == whole.history
    assert len(resumed.history) == 57
    assert np.array_equal(resumed.predict(task[0]), whole.predict(task[0]))


@pytest.mark.parametrize("adaptation", TRAINED)
def test_the_seed_decides(adaptation, task, steps, same_weights):
    """The same seed gives the same bits whatever the global state; another seed gives others."""
    config = steps(3, adaptation=adaptation)
    first = run(task, config, seed=1)
    torch.rand(3)
    same_weights(first.model, run(task, config, seed=1).model)
    assert run(task, config, seed=2).history != first.history


@pytest.mark.parametrize("adaptation", ADAPTATIONS)
def test_the_encoder_that_was_passed_is_not_changed(adaptation, task, steps, same_weights):
    """Weights, statistics, mode and trainability of the caller's encoder stay as they are."""
    encoder = task[3].train()
    before = copy.deepcopy(encoder)
    run(task, steps(3, adaptation=adaptation))
    same_weights(encoder, before)
    assert encoder.training
    assert all(weight.requires_grad for weight in encoder.parameters())


def test_the_probe_leaves_the_encoder_alone_and_fine_tuning_does_not(task, steps, same_weights):
    """A probe holds the encoder's own bits, statistics included; fine-tuning moves every weight."""
    same_weights(run(task, steps(5, adaptation="linear_probe")).model[0], task[3])
    tuned = run(task, steps(5)).model[0]
    for before, after in zip(task[3].parameters(), tuned.parameters(), strict=True):
        assert not torch.equal(before, after)


def test_the_probe_is_a_linear_model_on_standardised_features(task, steps):
    """A loop written here, on features computed beforehand, ends in the same head and probabilities."""
    images, labels, _, encoder, _, standardise = task
    config = steps(30, adaptation="linear_probe", learning_rate=1e-2)
    with torch.no_grad():
        features = encoder.eval()(standardise(to_tensor(images)))
    features = (features - features.mean(0)) / features.std(0, correction=0)
    torch.manual_seed(3)
    head, generator = nn.Linear(128, 2), torch.Generator().manual_seed(3)
    rows = torch.cat([torch.randperm(20, generator=generator) for _ in range(12)])
    optimizer = torch.optim.AdamW(head.parameters(), weight_decay=config.weight_decay)
    for step in range(30):
        optimizer.param_groups[0]["lr"] = cosine_with_warmup(step, 30, 1e-2)
        batch = rows[8 * step : 8 * step + 8]
        optimizer.zero_grad()
        functional.cross_entropy(head(features[batch]), torch.as_tensor(labels)[batch]).backward()
        optimizer.step()
    done = run(task, config, seed=3)
    assert torch.allclose(done.model[2].weight, head.weight, atol=1e-5)
    with torch.no_grad():
        expected = head(features).softmax(1).numpy()
    assert np.allclose(done.predict(images), expected, atol=1e-5)


@pytest.mark.parametrize(
    ("adaptation", "rate"), [("fine_tune", 3e-3), ("linear_probe", 1e-2), ("partial_fine_tune", 3e-3)]
)
def test_an_easy_task_is_learnt(adaptation, rate, task, steps, blobs):
    """The loss falls, and new images of an easy task are told apart."""
    done = run(task, steps(60, adaptation=adaptation, learning_rate=rate))
    images, labels = blobs(40, seed=1)
    assert np.mean(done.history[-5:]) < 0.5 * np.mean(done.history[:5])
    assert scores(labels, done.predict(images))["auc"] > 0.95


def test_predictions_are_probabilities_whatever_the_batch(task, steps):
    """Rows sum to one, are single precision, in the order of the images, and do not depend on the batch."""
    done, images = run(task, steps(3)), task[0]
    predicted = done.predict(images)
    assert predicted.dtype == np.float32
    assert np.allclose(predicted.sum(1), 1)
    assert np.allclose(done.predict(images, batch_size=3), predicted, atol=1e-6)
    assert np.allclose(done.predict(images[::-1].copy()), predicted[::-1], atol=1e-6)


def test_prediction_does_not_train(task, steps, same_weights):
    """Scoring images changes no weight and no running statistic."""
    done = run(task, steps(3))
    before = copy.deepcopy(done.model.train())
    done.predict(task[0])
    same_weights(done.model, before)


def test_every_pass_shows_every_image(task, steps, monkeypatch, loops):
    """Rows come from an endless sequence of shuffled passes: none is seen twice before all are seen once."""
    seen, step = [], loops[1]._Run._next_rows
    monkeypatch.setattr(loops[1]._Run, "_next_rows", lambda self: seen.append(step(self)) or seen[-1])
    run(task, steps(5))
    rows = torch.cat(seen).tolist()
    assert sorted(rows[:20]) == sorted(rows[20:40]) == list(range(20))
    assert rows[:20] != rows[20:40]


@pytest.mark.parametrize("count", [1, 3])
def test_budgets_smaller_than_a_batch_work(count, task, steps):
    """One image, or fewer than a batch, is a small batch."""
    images, labels, *others = task
    assert len(run((images[:count], labels[:count], *others), steps(2)).history) == 2


def test_classes_without_an_image_have_an_output(task, steps):
    """A subset may lack a class; the model still has a probability for it."""
    images, labels, _, *others = task
    assert run((images, labels, 5, *others), steps(2)).predict(images).shape == (20, 5)


@pytest.mark.parametrize(
    ("n", "expected"), [(1, 100), (320, 100), (321, 110), (352, 110), (2368, 740), (4708, 740), (10**6, 740)]
)
def test_number_of_steps_is_ten_passes_within_bounds(n, expected):
    """The schedule is `epochs` passes of whole batches, never below or above its bounds; a vote has none."""
    assert TransferConfig().steps(n) == expected
    assert TransferConfig(adaptation="nearest_neighbours").steps(n) == 0


def test_a_diverging_run_is_an_error_that_names_the_remedy(task, steps):
    """A loss that is not finite ends the run."""
    with pytest.raises(RunError, match=r"transfer: the loss is not finite at step \d+. Lower learning_rate"):
        run(task, steps(20, learning_rate=1e30))


@pytest.mark.parametrize("change", [{"learning_rate": 5e-4}, {"adaptation": "linear_probe"}, {"seed": 1}])
def test_a_checkpoint_of_another_run_is_refused(change, task, steps, tmp_path):
    """Another configuration or seed does not go on from this checkpoint."""
    path = tmp_path / "run.pt"
    run(task, steps(50), checkpoint=path)
    options = {"seed": change.pop("seed", 0)}
    with pytest.raises(UsageError, match=r"run\.pt: this checkpoint belongs to another run"):
        run(task, dataclasses.replace(steps(50), **change), checkpoint=path, **options)


def test_a_checkpoint_of_other_labels_is_refused(task, steps, tmp_path):
    """One changed label is another task."""
    images, labels, *others = task
    run(task, steps(50), checkpoint=tmp_path / "run.pt")
    other = np.where(np.arange(20) == 3, 1 - labels, labels)
    with pytest.raises(UsageError, match="belongs to another run"):
        run((images, other, *others), steps(50), checkpoint=tmp_path / "run.pt")


def test_a_damaged_checkpoint_is_refused(task, steps, tmp_path):
    """A truncated file is one clear error."""
    path = tmp_path / "run.pt"
    run(task, steps(50), checkpoint=path)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(DataError, match=r"run\.pt: not a readable checkpoint"):
        run(task, steps(50), checkpoint=path)


def test_wrong_arguments_are_refused(task, steps):
    """Lengths that differ, no image, labels outside the classes and unknown names each have their error."""
    images, labels, _, *others = task
    for given, message in (
        ((images[:3], labels, 2), "3 images and 20 labels"),
        ((images[:0], labels[:0], 2), "0 images and 0 labels"),
        ((images, labels, 1), r"labels lie in 0..1, expected 0..0"),
        ((images, labels - 1, 2), r"labels lie in -1..0, expected 0..1"),
    ):
        with pytest.raises(UsageError, match=message):
            run((*given, *others), steps(2))
    with pytest.raises(UsageError, match="no augmentation policy for pet/fine_tune"):
        run((images, labels, 2, others[0], "pet", others[2]), steps(2))
    with pytest.raises(UsageError, match="unknown adaptation 'probe': choose one of fine_tune, linear_probe"):
        steps(2, adaptation="probe")
    with pytest.raises(TypeError, match="dropout"):
        TransferConfig(dropout=0.5)
