"""The two arms of a comparison: the same rows, schedule and seed, and the same start but for pretraining."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from medssl import encoders
from medssl.errors import DataError, UsageError
from medssl.experiments import arms
from medssl.training import PretrainConfig, SelectionConfig, Standardisation, TransferConfig


@pytest.fixture
def calls(monkeypatch):
    """What the choice of a rate and the final training were given, in order; both really run."""
    found = {"choose_learning_rate": [], "transfer": []}

    def spied(name, original):
        def spy(*arguments, **options):
            found[name].append((arguments, options))
            return original(*arguments, **options)

        return spy

    for name in found:
        monkeypatch.setattr(arms, name, spied(name, getattr(arms, name)))
    return found


def test_both_arms_see_the_same_rows_configuration_and_seed(finished, tmp_path, calls):
    """Choice and training get the same labelled images for both arms, and differ in the encoder alone."""
    cell = finished.cells[2]
    train, rows = arms.load_split(cell, "train"), arms.label_rows(cell)
    for arm in ("ssl", "comparator"):
        arms.run_arm(cell, arm, tmp_path)
    for given in calls.values():
        (first, first_options), (second, second_options) = given
        for arguments in (first, second):
            assert np.array_equal(arguments[0], train.images[rows])
            assert np.array_equal(arguments[1], train.labels[rows])
        assert first[2] == second[2] == 2
        assert first[4:6] == second[4:6] == ("xray", Standardisation.of(train.images))
        assert first_options["seed"] == second_options["seed"] == cell.seed
    for (first, options), (second, _) in [calls["choose_learning_rate"]]:
        assert first[6:] == second[6:] == (cell.transfer, cell.selection)
        assert np.array_equal(options["groups"], train.groups[rows])
        assert options["validation"] is None
    chosen = [arguments[6] for arguments, _ in calls["transfer"]]
    assert all(
        replace(config, learning_rate=0.001) == replace(cell.transfer, learning_rate=0.001)
        for config in chosen
    )


def test_the_chosen_rate_is_the_one_that_trains(finished, tmp_path, calls, monkeypatch):
    """The final training takes the rate of the choice, and the file says so."""
    monkeypatch.setattr(arms, "choose_learning_rate", lambda *_, **__: (0.0123, {"0.0123": 0.5}))
    _, about, _ = arms.read_arm(arms.run_arm(finished.cells[2], "comparator", tmp_path))
    assert calls["transfer"][0][0][6].learning_rate == 0.0123
    assert (about["learning_rate"], about["held_out_log_loss"]) == (0.0123, {"0.0123": 0.5})
    assert (about["steps"], about["threads"]) == (3, torch.get_num_threads())


def test_labels_outside_the_budget_have_no_effect(finished, tmp_path, monkeypatch):
    """With the labels of all other rows exchanged for wrong ones an arm makes the same predictions."""
    cell, load = finished.cells[2], arms.load_split
    rows, expected = arms.label_rows(cell), arms.read_arm(arms.run_arm(cell, "comparator", finished.work))[0]
    train = load(cell, "train")
    poisoned = 1 - train.labels
    poisoned[rows] = train.labels[rows]
    other = replace(train, labels=poisoned)
    monkeypatch.setattr(
        arms, "load_split", lambda cell, split: other if split == "train" else load(cell, split)
    )
    monkeypatch.setattr(arms, "label_rows", lambda cell: rows)
    found = arms.read_arm(arms.run_arm(cell, "comparator", tmp_path))[0]
    assert np.array_equal(found, expected)


def test_test_labels_have_no_effect(finished, tmp_path, monkeypatch):
    """An arm never looks at test labels, nor at the validation split unless the cell is flagged."""
    cell, load = finished.cells[2], arms.load_split
    expected = arms.read_arm(arms.run_arm(cell, "comparator", finished.work))[0]

    def guarded(cell, split):
        assert split != "val"
        dataset = load(cell, split)
        return replace(dataset, labels=0 * dataset.labels) if split == "test" else dataset

    monkeypatch.setattr(arms, "load_split", guarded)
    assert np.array_equal(arms.read_arm(arms.run_arm(cell, "comparator", tmp_path))[0], expected)


def test_the_flagged_sensitivity_run_gets_the_whole_validation_split(finished, tmp_path, calls):
    """Only then the validation split takes part in the choice."""
    cell = replace(finished.cells[0], selection=SelectionConfig((1e-3,), validation="full_validation"))
    arms.run_arm(cell, "comparator", tmp_path)
    images, labels = calls["choose_learning_rate"][0][1]["validation"]
    validation = arms.load_split(cell, "val")
    assert np.array_equal(images, validation.images)
    assert np.array_equal(labels, validation.labels)


def test_the_comparator_starts_where_pretraining_starts(finished, tmp_path):
    """Its weights are those before the first step of pretraining, its statistics those of the pool."""
    cell = finished.cells[0]
    train = arms.load_split(cell, "train")
    comparator, standardisation = arms._encoder(cell, "comparator", tmp_path, "cpu")
    run = sys.modules["medssl.training.pretrain"]._Run(
        train.images, "xray", cell.pretrain, cell.seed, torch.device("cpu")
    )
    start = dict(run.method.encoder.named_parameters())
    for name, weight in comparator.named_parameters():
        assert torch.equal(weight, start[name]), name
    assert standardisation == run.standardise
    assert comparator.stem[1].num_batches_tracked > 0
    assert not comparator.training


def test_the_other_arm_starts_from_the_pretrained_weights(finished):
    """Its encoder is the file of pretraining, bit for bit, with the standardisation of its pool."""
    cell = finished.cells[0]
    found, standardisation = arms._encoder(cell, "ssl", finished.work, "cpu")
    saved = torch.load(arms.run_pretraining(cell, finished.work), weights_only=True)
    assert all(torch.equal(value, saved["encoder"][key]) for key, value in found.state_dict().items())
    assert standardisation == Standardisation.of(arms.load_split(cell, "train").images)
    torch.manual_seed(cell.seed)
    assert not torch.equal(encoders.build("small_cnn").stem[0].weight, found.stem[0].weight)


def test_pretraining_sees_every_training_image_and_no_label(finished, tmp_path, monkeypatch):
    """The pool is the training split; the loop has no argument for labels."""
    given, original = [], arms.pretrain
    monkeypatch.setattr(arms, "pretrain", lambda *a, **o: (given.append((a, o)), original(*a, **o))[1])
    cell = replace(finished.cells[0], pretrain=PretrainConfig(epochs=1))
    arms.run_pretraining(cell, tmp_path)
    (images, modality, config), options = given[0]
    assert np.array_equal(images, arms.load_split(cell, "train").images)
    assert (modality, config, options["seed"]) == ("xray", cell.pretrain, cell.seed)


def test_no_budget_means_every_label(finished):
    """None takes all rows, each once."""
    cell = replace(finished.cells[0], n_labelled=None)
    assert sorted(arms.label_rows(cell)) == list(range(60))


def test_predictions_come_back_as_they_were_written(tmp_path):
    """Probabilities keep their bits and the facts their values."""
    probabilities = np.random.default_rng(0).random((7, 3), dtype=np.float32)
    worse = {"noise-1": probabilities[:2]}
    arms._write(tmp_path / "arm.npz", probabilities, {"learning_rate": 1e-3}, worse)
    found, about, corrupted = arms.read_arm(tmp_path / "arm.npz")
    assert {name: value.tolist() for name, value in corrupted.items()} == {
        "noise-1": worse["noise-1"].tolist()
    }
    assert found.dtype == np.float32
    assert np.array_equal(found, probabilities)
    assert about == {"learning_rate": 1e-3}


def test_predictions_with_pickled_objects_are_refused(tmp_path):
    """Arrays of objects, which could execute code, are not loaded."""
    np.savez(tmp_path / "arm.npz", probabilities=np.array([{}], dtype=object), about=np.array("{}"))
    with pytest.raises(DataError, match=r"arm\.npz: damaged predictions"):
        arms.read_arm(tmp_path / "arm.npz")


def test_predictions_that_lack_a_part_are_refused(tmp_path):
    """A file of another kind is named."""
    np.savez(tmp_path / "arm.npz", probabilities=np.ones((2, 2)))
    with pytest.raises(DataError, match=r"arm\.npz: damaged predictions .*about"):
        arms.read_arm(tmp_path / "arm.npz")


def test_wrong_data_and_budgets_are_errors_of_their_own(finished, tmp_path):
    """An unknown data set, an unknown option and a budget above the training set are refused by name."""
    cell = replace(finished.cells[0], transfer=TransferConfig())
    for change, message in (
        ({"dataset": "phantom_xrays"}, "did you mean 'phantom_xray'"),
        ({"dataset_options": (("pixels", 3),)}, "unknown option pixels"),
        ({"n_labelled": 61}, r"must lie in 2..60"),
    ):
        with pytest.raises(UsageError, match=message):
            arms.run_arm(replace(cell, **change), "comparator", tmp_path)
    assert list(tmp_path.iterdir()) == []
