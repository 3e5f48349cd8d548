"""Corruptions of test images: graded, paired, and never larger than the range."""

import numpy as np
import pytest

from medssl.experiments.corruptions import (
    CORRUPTIONS,
    MOST_CASES,
    SEVERITIES,
    corrupt,
    corrupted_rows,
    predict_corrupted,
)

IMAGES = np.random.default_rng(0).integers(60, 120, (12, 16, 16), dtype=np.uint8)


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_severity_grows(name):
    """Each step moves the images further from what they were."""
    smooth = np.full((6, 32, 32), 90) + 30 * np.sin(np.arange(32) / 3)[:, None] * np.cos(np.arange(32) / 4)
    images = smooth.astype(np.uint8)
    moved = [np.abs(corrupt(images, name, s).astype(float) - images).mean() for s in SEVERITIES]
    assert 0 < moved[0] < moved[1] < moved[2]


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_the_seed_decides(name):
    """Both arms of a cell see the same corrupted images."""
    first, second = corrupt(IMAGES, name, 2, seed=3), corrupt(IMAGES, name, 2, seed=3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, second)


@pytest.mark.parametrize("name", ["noise", "bias_field", "gain"])
def test_another_seed_is_another_draw(name):
    """What is random differs between seeds."""
    assert not np.array_equal(corrupt(IMAGES, name, 2, seed=3), corrupt(IMAGES, name, 2, seed=4))


def test_closed_forms():
    """Noise has its deviation, contrast its factor, gain its two factors; a flat image has no blur."""
    grey = np.full((200, 16, 16), 100, np.uint8)
    assert corrupt(grey, "noise", 2).std() == pytest.approx(0.08 * 255, rel=0.02)
    assert np.array_equal(corrupt(grey, "blur", 3), grey)
    spread = corrupt(IMAGES, "contrast", 2).std((1, 2)) / IMAGES.std((1, 2))
    assert spread == pytest.approx(np.full(12, 0.5), rel=0.02)
    assert set(np.unique(corrupt(grey, "gain", 3))) == {50, 200}


def test_values_stay_in_range():
    """Bright images saturate and do not wrap around."""
    white = np.full((4, 8, 8), 255, np.uint8)
    assert corrupt(white, "noise", 3).min() > 100
    assert corrupt(white, "gain", 3).max() == 255


def test_large_test_sets_are_drawn_from_once():
    """The same rows for every arm, and all rows of a small set."""
    assert np.array_equal(corrupted_rows(5), np.arange(5))
    rows = corrupted_rows(3 * MOST_CASES)
    assert len(np.unique(rows)) == MOST_CASES
    assert np.array_equal(rows, corrupted_rows(3 * MOST_CASES))


def test_a_model_is_asked_for_each_corruption_and_severity():
    """One array of probabilities each, in the order of the rows."""

    class Brightness:
        def predict(self, images):
            return images.mean((1, 2))

    found = predict_corrupted(Brightness(), IMAGES, seed=1)
    assert set(found) == {f"{name}-{severity}" for name in CORRUPTIONS for severity in SEVERITIES}
    assert np.array_equal(found["gain-2"], corrupt(IMAGES, "gain", 2, 1).mean((1, 2)))
