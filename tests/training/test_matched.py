"""The supervised schedule of the same cost spends exactly the images that pretraining saw."""

import pytest

from medssl.encoders import SmallCNN
from medssl.errors import UsageError
from medssl.training import PretrainConfig, TransferConfig, pretrain
from medssl.training.matched import images_seen, matched_schedule


@pytest.mark.parametrize("config", [TransferConfig(), TransferConfig(batch_size=8, least_steps=3, epochs=2)])
@pytest.mark.parametrize("n", [1, 5, 32, 100, 4708])
@pytest.mark.parametrize("extra", [1, 31, 32, 3200, 276480])
def test_both_phases_together_cost_the_same(config, n, extra):
    """In images the longer schedule is both phases, rounded up by less than a batch."""
    longer, batch = matched_schedule(config, n, extra), min(config.batch_size, n)
    excess = longer.steps(n) * batch - (config.steps(n) * batch + extra)
    assert 0 <= excess < batch


def test_closed_form():
    """100 steps of 32 and 6,400 images more are 300 steps, which are 30 passes over 320 images."""
    longer = matched_schedule(TransferConfig(), 320, 6400)
    assert (longer.steps(320), longer.epochs, longer.most_steps) == (300, 30, 300)


def test_all_else_stays():
    """Learning rate, decay, batch, adaptation and the least steps are the supervised arm's own."""
    config = TransferConfig("partial_fine_tune", 3e-4, 0.5, 16, 7, 9, 500)
    longer = matched_schedule(config, 50, 10_000)
    for name in ("adaptation", "learning_rate", "weight_decay", "batch_size", "least_steps"):
        assert getattr(longer, name) == getattr(config, name)


def test_no_extra_images_change_nothing():
    """Without pretraining the schedule is the same object."""
    config = TransferConfig()
    assert matched_schedule(config, 100, 0) is config


def test_images_seen_are_whole_batches_in_every_view():
    """An epoch drops its short batch; a pool below a batch is one batch; views multiply."""
    config = PretrainConfig(epochs=3, batch_size=10)
    assert images_seen(config, 25) == 3 * 20
    assert images_seen(config, 25, views=2) == 3 * 20 * 2
    assert images_seen(config, 7) == 3 * 7


def test_images_seen_are_those_that_a_run_passes(pool, monkeypatch, loops):
    """Counted inside a real run, as many images go through the encoder as the closed form says."""
    seen, features = [], SmallCNN.features
    monkeypatch.setattr(
        SmallCNN, "features", lambda self, x: (self.training and seen.append(len(x)), features(self, x))[1]
    )
    config = PretrainConfig(epochs=2, batch_size=10)
    monkeypatch.setattr(loops[0], "calibrate_normalisation", lambda *_: None)
    pretrain(pool, "xray", config, device="cpu")
    assert sum(seen) == images_seen(config, len(pool), views=2)


@pytest.mark.parametrize("adaptation", ["linear_probe", "nearest_neighbours"])
def test_a_frozen_encoder_has_no_schedule_of_the_same_cost(adaptation):
    """More passes through frozen features teach nothing, so the request is refused."""
    with pytest.raises(UsageError, match=f"{adaptation} trains no encoder"):
        matched_schedule(TransferConfig(adaptation=adaptation), 100, 1000)


def test_impossible_numbers_are_refused():
    """Counts below their bounds are errors."""
    for n, extra in ((0, 5), (5, -1)):
        with pytest.raises(UsageError, match="n must be at least 1 and extra_images at least 0"):
            matched_schedule(TransferConfig(), n, extra)
    for pool, views in ((1, 1), (5, 0)):
        with pytest.raises(UsageError, match="at least 2 images and 1 view"):
            images_seen(PretrainConfig(), pool, views)
