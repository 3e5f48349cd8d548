"""The physics of the generated brain slices."""

from itertools import pairwise

import numpy as np
import pytest

from medssl.data._phantom import CHUNK, cases_of
from medssl.data.phantom_mri import TISSUES, _Head, magnitude, phantom_mri, spin_echo


@pytest.mark.parametrize(("repetition", "echo"), [(4000.0, 100.0), (500.0, 15.0), (2500.0, 20.0)])
@pytest.mark.parametrize("tissue", TISSUES)
def test_spin_echo_equation(tissue, repetition, echo):
    """The signal is PD (1 - exp(-TR / T1)) exp(-TE / T2)."""
    t1, t2, density = TISSUES[tissue]
    expected = density * (1 - np.exp(-repetition / t1)) * np.exp(-echo / t2)
    assert spin_echo(tissue, repetition, echo) == pytest.approx(expected)


def test_spin_echo_limits():
    """Long TR and short TE leave proton density; TR equal to T1 leaves 1 - 1/e of it."""
    assert spin_echo("grey", 1e9, 0.0) == pytest.approx(0.86)
    assert spin_echo("white", 500.0, 0.0) == pytest.approx(0.77 * (1 - np.exp(-1)))


def test_weighting_orders_the_tissues():
    """T2 weighting shows fluid brighter than grey and grey brighter than white; T1 weighting inverts that."""
    t2 = [spin_echo(tissue, 4000, 100) for tissue in ("csf", "grey", "white")]
    t1 = [spin_echo(tissue, 450, 12) for tissue in ("csf", "grey", "white")]
    assert t2[0] > t2[1] > t2[2]
    assert t1[0] < t1[1] < t1[2]


def test_background_is_rayleigh():
    """Without signal the mean is sigma sqrt(pi / 2) and the variance sigma^2 (2 - pi / 2)."""
    sigma = 0.07
    noise = magnitude(np.random.default_rng(0), np.zeros((500, 1000), np.float32), sigma)
    assert noise.mean() == pytest.approx(sigma * np.sqrt(np.pi / 2), rel=3e-3)
    assert noise.var() == pytest.approx(sigma**2 * (2 - np.pi / 2), rel=1e-2)


@pytest.mark.parametrize("signal", [0.0, 0.5, 3.0])
def test_second_moment_of_rician_noise(signal):
    """The mean square of a Rician variable is the squared signal plus twice the noise variance."""
    noisy = magnitude(np.random.default_rng(1), np.full((500, 1000), signal, np.float32), 1.0)
    assert np.mean(noisy.astype(float) ** 2) == pytest.approx(signal**2 + 2, rel=5e-3)


def painted(prevalence=0.5, difficulty=0.4, side=64):
    """Heads of one chunk at TR 4000 and TE 100, and the same before tumours."""
    cases = cases_of("mri", "train", 0, 0, prevalence)
    head = _Head(cases, side, lambda tissue: np.full(CHUNK, spin_echo(tissue, 4000.0, 100.0), np.float32))
    head.paint_healthy()
    before, white = head.signal.copy(), head.white.copy()
    head.paint_tumour(difficulty)
    return head, before, white


def test_healthy_head_holds_no_more_than_its_tissues():
    """Painting mixes tissues: no signal exceeds the brightest tissue, and air is dark."""
    _, before, white = painted()
    assert before.max() <= max(spin_echo(tissue, 4000.0, 100.0) for tissue in TISSUES) + 1e-6
    assert (before[:, 0, :] == 0).all()
    share = white.mean(axis=(1, 2))
    assert 0.05 < share.min() < share.max() < 0.6


def test_tumours_appear_where_the_label_says_so():
    """Label 0 changes nothing; label 1 brightens white matter in every slice."""
    head, before, white = painted()
    labels = head.cases.labels.astype(bool)
    change = head.signal - before
    assert not change[~labels].any()
    brighter = (change * white)[labels].reshape(labels.sum(), -1).max(axis=1)
    assert (brighter > 0.05).all()


def test_tumours_fade_with_difficulty():
    """The total change falls at every step of difficulty."""
    totals = []
    for difficulty in (0, 0.25, 0.5, 0.75, 1):
        head, before, _ = painted(1.0, difficulty)
        totals.append(np.abs(head.signal - before).sum())
    assert all(easier > harder for easier, harder in pairwise(totals))


def test_tumours_stay_within_the_brain():
    """Skull, scalp and air are the same with and without a tumour."""
    head, before, _ = painted(1.0, 0.0)
    assert not (head.signal - before)[head.brain == 0].any()


def test_brightness_varies_between_images():
    """Window, coil and weighting change the mean by more than a tenth between images."""
    means = phantom_mri("train", n=2 * CHUNK, size=28).images.mean(axis=(1, 2))
    assert means.std() > 0.1 * means.mean()
