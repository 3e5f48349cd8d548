"""Guards: their numbers in closed form, when they stop a run, and that they only watch."""

import math
import sys

import numpy as np
import pytest
import torch

from medssl import encoders
from medssl.augmentation import policy_for
from medssl.encoders import SmallCNN
from medssl.errors import RunError, UsageError
from medssl.ssl import METHODS
from medssl.training import PretrainConfig, Standardisation, pretrain, to_tensor
from medssl.training.finite import first_not_finite, save_batch
from medssl.training.guards import (
    _PREDICTIVE,
    Guards,
    alignment,
    check_collapse,
    effective_rank,
    feature_deviation,
    measure,
    summary,
    uniformity,
)
from medssl.training.preparation import Preparation

SHORT = PretrainConfig(epochs=3, batch_size=8)


def run_of(pool, config=SHORT, **options):
    """Return the state of a run that has taken no step."""
    device = torch.device("cpu")
    return sys.modules["medssl.training.pretrain"]._Run(pool, "xray", config, 0, device, **options)


@pytest.fixture
def features(generator):
    """Features of 12 images in 5 dimensions."""
    return torch.randn(12, 5, generator=generator)


def test_effective_rank_counts_equal_directions():
    """k equal singular values have rank k, one direction has rank 1, and so have features of zeros."""
    for k in (1, 3, 6):
        found = effective_rank(torch.eye(6)[torch.arange(12) % k])
        assert found == pytest.approx(k)
    assert effective_rank(torch.zeros(4, 3)) == 1.0


def test_effective_rank_is_the_entropy_of_singular_values(features):
    """It is exp of the entropy of the shares of the singular values, whatever their scale."""
    values = np.linalg.svd(features.double().numpy())[1]
    entropy = -sum(share * math.log(share) for share in values / values.sum())
    assert effective_rank(features) == pytest.approx(math.exp(entropy))
    assert effective_rank(100 * features) == pytest.approx(effective_rank(features), rel=1e-5)


def test_effective_rank_does_not_centre():
    """Equal features that are not zero have rank 1: centred ones would have none."""
    assert effective_rank(torch.ones(8, 4) + 1e-7 * torch.eye(8, 4)) == pytest.approx(1, abs=1e-3)


def test_alignment_and_uniformity_follow_a_slow_loop(features, generator):
    """Both are their definitions on unit vectors, pair by pair: each pair once and none with itself."""
    other = torch.randn(12, 5, generator=generator)
    first, second = (x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (features, other))
    near = [sum((a - b) ** 2) for a, b in zip(first, second, strict=True)]
    pairs = [math.exp(-2 * sum((first[i] - first[j]) ** 2)) for i in range(len(first)) for j in range(i)]
    assert alignment(features, other) == pytest.approx(np.mean(near), rel=1e-5)
    assert uniformity(features) == pytest.approx(math.log(np.mean(pairs)), rel=1e-5)
    assert alignment(features, 3 * features) == pytest.approx(0, abs=1e-6)
    assert alignment(features, -features) == pytest.approx(4)


def test_feature_deviation_has_its_ends(generator):
    """Equal features have a deviation of 0, and features that fill the sphere one near 1."""
    assert feature_deviation(torch.ones(24, 64)) == pytest.approx(0, abs=1e-6)
    assert feature_deviation(torch.randn(24, 64, generator=generator)) == pytest.approx(1, abs=0.1)


def test_measuring_changes_nothing(pool):
    """Guards leave weights, running statistics, the run's generator and torch's own alone, and repeat."""
    run = run_of(pool)
    run.one_epoch()
    before = {key: value.clone() for key, value in run.method.state_dict().items()}
    chance, everyone = run.generator.get_state(), torch.get_rng_state()
    found = [measure(run.method, run.images[:8], run.preparation) for _ in range(2)]
    assert found[0] == found[1]
    assert all(torch.equal(value, before[key]) for key, value in run.method.state_dict().items())
    assert torch.equal(run.generator.get_state(), chance)
    assert torch.equal(torch.get_rng_state(), everyone)


def test_the_numbers_are_those_of_plain_images_and_two_views(pool):
    """Deviation and rank are of plain images, alignment of two views that differ."""
    method, images = METHODS["simclr"](SmallCNN()), to_tensor(pool)
    preparation = Preparation(Standardisation.of(pool), policy_for("xray", "pretrain"))
    found = measure(method, images, preparation)
    with torch.no_grad():
        plain = method.encoder(preparation.standardise(images))
    first, second = preparation.two_views(images)
    assert found["feature_deviation"] == feature_deviation(plain)
    assert found["effective_rank"] == effective_rank(plain)
    assert not torch.equal(first, second)
    assert found["alignment"] > 0


@pytest.fixture
def history():
    """Return a function that makes a history with the given deviations, and ranks that are fine."""
    return lambda *deviations: [
        {"epoch": k + 1, "feature_deviation": value, "effective_rank": 3.0}
        for k, value in enumerate(deviations)
    ]


def stopped(history, guards=Guards(patience=3), method="byol"):  # noqa: B008
    """Whether the guards stop a run with this history."""
    try:
        check_collapse(history, guards, PretrainConfig(method))
    except RunError:
        return True
    return False


def test_patience_is_counted_in_epochs_in_a_row(history):
    """Three low epochs in a row stop a run; two do not, nor three with a good one between."""
    assert stopped(history(0.1, 1e-3, 1e-3, 1e-3))
    assert not stopped(history(1e-3, 1e-3))
    assert not stopped(history(0.1, 1e-3, 1e-3))
    assert not stopped(history(1e-3, 1e-3, 0.1, 1e-3))


def test_a_run_that_climbs_out_is_not_stopped(history):
    """Features that begin to differ are no collapse, however low they are."""
    assert not stopped(history(1e-3, 2e-3, 3e-3))
    assert stopped(history(3e-3, 4e-3, 2e-3))


def test_each_threshold_works_and_can_be_turned_off(history):
    """A low rank stops a run too; a threshold of 0 stops none; epochs without the number do not count."""
    low = [epoch | {"effective_rank": 1.01} for epoch in history(0.1, 0.1, 0.1)]
    assert stopped(low)
    assert not stopped(low, Guards(patience=3, rank=0))
    assert not stopped(history(0.0, 0.0, 0.0), Guards(patience=3, deviation=0))
    assert not stopped([{"epoch": k, "loss": 1.0} for k in range(5)])


def test_a_method_that_predicts_is_never_stopped(history):
    """Pooled features that hardly vary are no failure where the loss is on pixels or on a transform."""
    for method in METHODS:
        assert stopped(history(0.0, 0.0, 0.0), method=method) == (method not in _PREDICTIVE)
    assert set(METHODS) >= _PREDICTIVE


def test_the_error_says_what_was_measured_and_what_to_try(history):
    """It names the number, its threshold, the patience and remedies with the present settings."""
    with pytest.raises(RunError, match="byol: the features have collapsed") as caught:
        check_collapse(history(4e-3, 4e-3), Guards(patience=2), PretrainConfig("byol", batch_size=48))
    words = ("feature_deviation is 0.004 in epoch 2", "below 0.005 since 2 epochs", "(now 0.002)")
    words += ("batch_size (now 48)", "stronger views", "negatives", "simclr, moco")
    assert all(word in str(caught.value) for word in words), caught.value


@pytest.mark.parametrize("method", [name for name in METHODS if name not in _PREDICTIVE])
def test_healthy_tiny_runs_pass(method, pool):
    """The defaults stop no method that compares views on two dozen images."""
    needs = getattr(METHODS[method], "needs", ())
    covariate = {"covariate": np.arange(len(pool))} if "covariate" in needs else {}
    config = PretrainConfig(method, epochs=Guards().patience + 1, batch_size=12)
    done = pretrain(pool, "xray", config, device="cpu", **covariate)
    assert done.history[-1]["feature_deviation"] > 2 * Guards().deviation
    assert done.history[-1]["effective_rank"] > 2 * Guards().rank


def test_a_collapsed_run_stops_and_keeps_its_checkpoint(pool, tmp_path, monkeypatch):
    """Features that are the same for every image end the run after the patience, and it can be continued."""

    class Same(SmallCNN):
        def forward(self, x):
            return 0 * super().forward(x) + 1

    monkeypatch.setitem(encoders.ENCODERS, "same", Same)
    config, path = PretrainConfig("simclr", "same", epochs=4, batch_size=8), tmp_path / "run.pt"
    with pytest.raises(RunError, match=r"collapsed: feature_deviation is .* in epoch 2"):
        pretrain(pool, "xray", config, device="cpu", checkpoint=path, guards=Guards(patience=2))
    assert torch.load(path, weights_only=True)["epoch"] == 1
    off = Guards(deviation=0, rank=0)
    done = pretrain(pool, "xray", config, device="cpu", checkpoint=path, guards=off)
    assert [epoch["epoch"] for epoch in done.history] == [1, 2, 3, 4]


def test_gradient_norms_are_the_mean_and_the_largest(pool, monkeypatch):
    """Clipping hides a rare jump from the mean, so the largest norm of an epoch stands beside it."""
    run, norms = run_of(pool), iter([1.0, 8.0, 3.0])
    monkeypatch.setattr(type(run), "_step", lambda *_: (torch.zeros(()), torch.tensor(next(norms))))
    run.one_epoch()
    assert (run.history[0]["gradient_norm"], run.history[0]["gradient_norm_max"]) == (4.0, 8.0)


def poisoned(run, step):
    """Make the batch of one step of the first epoch not finite, and count the steps that are taken."""
    generator = torch.Generator().manual_seed(0)
    rows = torch.randperm(len(run.images), generator=generator)[step * run.batch : (step + 1) * run.batch]
    run.images[rows] = torch.nan
    taken, original = [], run._step
    run._step = lambda *arguments, **more: (taken.append(1), original(*arguments, **more))[1]
    return rows, taken


def test_a_loss_that_is_not_finite_stops_at_its_step(pool, tmp_path):
    """On a processor no further step is taken, and the batch lies beside the checkpoint."""
    run = run_of(pool)
    run.resume(tmp_path / "run.pt")
    rows, taken = poisoned(run, 1)
    with pytest.raises(RunError, match=r"in epoch 1\. Lower .* step 1 is in .*run\.pt\.batch\.npz"):
        run.one_epoch()
    assert len(taken) == 2
    assert run.history == []
    with np.load(tmp_path / "run.pt.batch.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["rows"], rows)
        assert kept["images"].shape == (8, 1, 16, 16)
        assert np.isnan(kept["images"]).all()
        assert (kept["step"], kept["epoch"]) == (1, 1)


@pytest.mark.parametrize(("every", "steps"), [(2, 2), (3, 3), (50, 3)])
def test_a_gpu_looks_every_few_steps_and_at_the_end(every, steps, pool, tmp_path):
    """The first bad step is named even when more steps were taken before anyone looked."""
    run = run_of(pool)
    run.resume(tmp_path / "run.pt")
    run.look_every = every
    rows, taken = poisoned(run, 0)
    with pytest.raises(RunError, match="The batch of step 0 is in"):
        run.one_epoch()
    assert len(taken) == steps
    with np.load(tmp_path / "run.pt.batch.npz", allow_pickle=False) as kept:
        assert np.array_equal(kept["rows"], rows)


def test_the_first_bad_loss_is_found():
    """Infinite values count, positions are those of the whole list, and none is None."""
    losses = [torch.tensor(value) for value in (1.0, math.inf, 2.0, math.nan)]
    assert [first_not_finite(losses, start) for start in (0, 1, 2, 3)] == [1, 1, 3, 3]
    assert first_not_finite(losses[:1], 0) is None


def test_a_batch_goes_to_a_temporary_folder_or_says_why_not(tmp_path, monkeypatch):
    """Without a checkpoint the file is in a new folder; a place that cannot be written does not raise."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    batch = (torch.zeros(2, 1, 4, 4), torch.arange(2))
    assert str(tmp_path) in save_batch(None, *batch, step=3)
    assert len(list(tmp_path.glob("medssl-*/run.batch.npz"))) == 1
    (tmp_path / "file").write_text("")
    assert "could not be kept" in save_batch(tmp_path / "file" / "run.pt", *batch, step=3)


def test_the_last_line_takes_old_histories():
    """An epoch of an older checkpoint lacks the numbers; that is said, and is no error."""
    assert summary({"epoch": 1, "loss": 2.0}) == "guards: nothing was measured; no collapse."
    assert "probe auc 0.75" in summary({"effective_rank": 3.0, "probe_auc": 0.75})


@pytest.mark.parametrize(
    "fields", [{"patience": 0}, {"check_every": 0}, {"rank": -1.0}, {"deviation": math.nan}]
)
def test_impossible_guards_are_refused(fields):
    """Thresholds below 0 and a patience of nothing are refused, and so is a misspelt field."""
    with pytest.raises(UsageError, match="deviation and rank must be 0 or more"):
        Guards(**fields)
    with pytest.raises(TypeError, match="patient"):
        Guards(patient=3)
