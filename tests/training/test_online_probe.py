"""The online probe: it scores frozen features on validation images, and changes nothing."""

import sys

import numpy as np
import pytest
import torch

from medssl.cli import main
from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.training import PretrainConfig, pretrain
from medssl.training.online_probe import OnlineProbe, _area

SHORT = PretrainConfig(epochs=2, batch_size=8)
CPU = torch.device("cpu")


class Read(torch.nn.Module):
    """An encoder whose features are the first pixels of an image."""

    def forward(self, images):
        """Return [batch, 4]."""
        return images.flatten(1)[:, :4]


def images_of(features):
    """Images that begin with the given features, as numbers from 0 to 255."""
    images = np.zeros((len(features), 4, 4), np.uint8)
    images[:, 0] = features
    return images


def score(features, labels, groups=None):
    """The probe's area on features that are written into images."""
    return OnlineProbe.of(images_of(features), labels, groups).score(Read(), lambda x: x, CPU, 7)


@pytest.fixture
def noise():
    """Features of 200 images that say nothing."""
    return np.random.default_rng(0).integers(0, 256, (200, 4))


def test_features_that_tell_labels_apart_score_1_and_noise_scores_a_half(noise):
    """The scale has its ends where they belong."""
    labels = np.arange(200) % 2
    assert score(np.column_stack([labels * 90, noise[:, 1:]]), labels) == 1.0
    assert score(noise, np.random.default_rng(1).permutation(labels)) == pytest.approx(0.5, abs=0.15)


def test_three_classes_are_each_against_the_rest(noise):
    """A class on its own axis is found; the score is the mean over classes."""
    labels = np.arange(200) % 3
    assert score(np.column_stack([np.eye(3)[labels] * 90, noise[:, 3]]), labels) > 0.99


def test_the_area_counts_pairs():
    """It is the share of pairs in the right order, for one feature that cannot be reordered."""
    fit, held_out = np.array([[-1.0], [1.0], [-2.0], [2.0]]), np.array([[0.0], [3.0], [1.0], [2.0]])
    truth = np.array([0, 0, 1, 1])
    pairs = [held_out[i] > held_out[j] for i in (2, 3) for j in (0, 1)]
    assert _area(fit, np.array([0, 1, 0, 1]), held_out, truth) == np.mean(pairs)


def test_a_class_that_the_held_out_half_lacks_is_left_out():
    """The mean is over the classes that can be scored."""
    fit = np.eye(3)[[0, 1, 2, 0, 1, 2]]
    assert _area(fit, np.array([0, 1, 2, 0, 1, 2]), np.eye(3)[[0, 1]], np.array([0, 1])) == 1.0


def test_features_that_do_not_vary_are_chance():
    """A collapsed encoder scores one half, without a division by zero."""
    assert score(np.full((40, 4), 7), np.arange(40) % 2) == 0.5


def test_the_halves_are_fixed_disjoint_and_stratified():
    """They do not depend on anything but labels and groups, and each patient is in one of them."""
    labels, groups = np.arange(60) % 2, np.arange(60) // 6
    images = np.zeros((60, 4, 4), np.uint8)
    halves = [OnlineProbe.of(images, labels) for _ in range(2)]
    assert np.array_equal(halves[0].fit, halves[1].fit)
    assert sorted([*halves[0].fit, *halves[0].held_out]) == list(range(60))
    assert np.bincount(labels[halves[0].held_out]).tolist() == [15, 15]
    grouped = OnlineProbe.of(images, labels, groups)
    assert not set(groups[grouped.fit]) & set(groups[grouped.held_out])


def test_the_encoder_is_used_in_evaluation_mode_and_left_as_it_was(pool):
    """Running statistics and the mode stay, and no gradient is kept."""
    encoder = SmallCNN().train()
    before = {key: value.clone() for key, value in encoder.state_dict().items()}
    probe = OnlineProbe.of(pool, np.arange(24) % 2)
    first = probe.score(encoder, lambda x: x, CPU)
    assert first == probe.score(encoder, lambda x: x, CPU, batch_size=5)  # no batch statistics
    assert encoder.training
    assert all(torch.equal(value, before[key]) for key, value in encoder.state_dict().items())
    assert all(weight.grad is None for weight in encoder.parameters())


def test_a_probe_does_not_change_the_training(pool, blobs, same_weights):
    """With and without it a run ends in the same bits; with it each epoch has one more number."""
    plain = pretrain(pool, "xray", SHORT, device="cpu")
    probed = pretrain(pool, "xray", SHORT, device="cpu", probe=blobs(32, seed=1))
    same_weights(plain.encoder, probed.encoder)
    for one, other in zip(plain.history, probed.history, strict=True):
        assert 0 <= other["probe_auc"] <= 1
        assert one == {key: value for key, value in other.items() if key != "probe_auc"}


@pytest.mark.parametrize(
    "labels", [np.zeros(24, int), np.arange(23), np.linspace(0, 1, 24), np.zeros((24, 16, 16), int)]
)
def test_labels_that_cannot_be_probed_are_refused(labels, pool):
    """One class, a wrong number, fractions and masks are refused before anything is trained."""
    with pytest.raises(UsageError, match="probe: "):
        pretrain(pool, "xray", SHORT, device="cpu", probe=(pool, labels))


def test_the_command_probes_validation_images_and_starts_from_a_file(tmp_path, blobs, monkeypatch, capsys):
    """`--probe` logs an area after each epoch, `--initial` loads an encoder, and guards come last."""
    arrays = {"modality": np.array("xray"), "classes": np.array(["dark", "bright"])}
    for seed, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = blobs(24, seed=seed)
    np.savez(tmp_path / "images.npz", **arrays)
    given, original = [], OnlineProbe.of.__func__
    record = lambda cls, *arguments: (given.append(arguments), original(cls, *arguments))[1]  # noqa: E731
    monkeypatch.setattr(OnlineProbe, "of", classmethod(record))
    words = ["medssl", "pretrain", f"folder:{tmp_path / 'images.npz'}", "--epochs", "1", "--device", "cpu"]
    for more in (["--output", "first.pt"], ["--output", "second.pt", "--initial", "first.pt", "--probe"]):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr(sys, "argv", [*words, *more])
        with pytest.raises(SystemExit) as ended:
            main()
        assert not ended.value.code
        last = capsys.readouterr().err.splitlines()[-1]
        assert last.startswith("guards: effective rank ")
        assert ("probe auc" in last) == ("--probe" in more)
    assert np.array_equal(given[0][0], arrays["val_images"])
    assert np.array_equal(given[0][1], arrays["val_labels"])
