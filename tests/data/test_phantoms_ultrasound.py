"""The physics of the generated sonograms."""

from itertools import pairwise

import numpy as np
import pytest
from scipy import signal

from medssl.data._phantom import cases_of
from medssl.data.phantom_ultrasound import (
    BEAMS,
    CARRIER,
    DEPTH,
    PROBE,
    PULSE_WIDTH,
    SAMPLES,
    _blurred,
    _Breast,
    _picture_grid,
    compressed,
    envelope,
    pulse,
    scan_converter,
)


def test_envelope_of_a_modulated_gaussian_is_the_gaussian():
    """The carrier vanishes and the Gaussian stays."""
    position = np.arange(400) - 200
    gaussian = np.exp(-0.5 * (position / 15) ** 2)
    np.testing.assert_allclose(envelope(gaussian * np.cos(2 * np.pi * 0.2 * position)), gaussian, atol=1e-6)


@pytest.mark.parametrize("count", [63, 64])
def test_envelope_matches_the_hilbert_transform_of_scipy(count):
    """Odd and even lengths agree with an independent implementation."""
    echoes = np.random.default_rng(0).standard_normal((3, count))
    np.testing.assert_allclose(envelope(echoes), np.abs(signal.hilbert(echoes, axis=-1)), atol=1e-10)


def test_compression_maps_the_dynamic_range_to_the_unit_interval():
    """The reference is 1, the end of the range 0, and equal ratios are equal steps."""
    amplitude = 2.0 * 10 ** (-np.array([-20, 0, 15, 30, 45, 60, 90]) / 20)
    shown = compressed(amplitude, 60.0, 2.0)
    np.testing.assert_allclose(shown, [1, 1, 0.75, 0.5, 0.25, 0, 0], atol=1e-12)


def test_silence_is_black():
    """An amplitude of zero is displayed, not an error."""
    assert compressed(np.zeros(2), 60.0, 1.0).tolist() == [0, 0]


def test_pulse_has_unit_energy_and_its_carrier():
    """Energy 1; the spectrum peaks at the carrier with the width of the Gaussian."""
    shape = pulse(SAMPLES)
    assert np.sum(shape.astype(float) ** 2) == pytest.approx(1, rel=1e-5)
    spectrum = np.abs(np.fft.rfft(shape))
    frequency = np.fft.rfftfreq(SAMPLES)
    assert frequency[spectrum.argmax()] == pytest.approx(CARRIER, abs=1 / SAMPLES)
    expected = np.exp(-0.5 * (2 * np.pi * PULSE_WIDTH * (frequency - CARRIER)) ** 2)
    np.testing.assert_allclose(spectrum / spectrum.max(), expected, atol=0.01)


@pytest.mark.parametrize("sample", [100, 400])
def test_point_spread_widens_with_depth(sample):
    """A single scatterer is blurred across the beams by a Gaussian whose width grows with depth."""
    point = np.zeros((1, BEAMS, SAMPLES), np.float32)
    point[0, BEAMS // 2, sample] = 1
    across = _blurred(point)[0, :, sample].astype(float)
    position = np.arange(BEAMS) - BEAMS // 2
    width = np.sqrt((across * position**2).sum() / across.sum())
    assert width == pytest.approx(0.6 + 1.1 * sample / SAMPLES, rel=0.05)


def test_speckle_is_fully_developed():
    """White scatterers keep their variance, and the envelope is Rayleigh: mean over deviation 1.91."""
    white = np.random.default_rng(0).standard_normal((24, BEAMS, SAMPLES), dtype=np.float32)
    echoes = _blurred(white)
    assert echoes.var() == pytest.approx(1, rel=0.05)
    speckle = envelope(echoes)
    assert speckle.mean() / speckle.std() == pytest.approx(np.sqrt(np.pi / (4 - np.pi)), rel=0.03)


def breast(prevalence=0.5, difficulty=0.3):
    """Breasts of one chunk, their echogenicity before any mass."""
    body = _Breast(cases_of("ultrasound", "train", 0, 0, prevalence))
    body.lay_tissue()
    before = body.echo.copy(), body.attenuation.copy()
    body.add_cyst_or_mass(difficulty)
    return body, *before


def test_attenuation_accumulates_along_the_beam():
    """A uniform excess of 2 dB/cm over the compensation loses 2 dB in each cm."""
    body = _Breast(cases_of("ultrasound", "train", 0, 0, 0.5))
    flat = body.loss()  # no attenuation at all: what is left is the compensation itself
    body.cases = cases_of("ultrasound", "train", 0, 0, 0.5)
    body.attenuation += 2.0
    lost = flat - body.loss()
    np.testing.assert_allclose(lost[:, 0, -1] - lost[:, 0, SAMPLES // 2 - 1], 2.0 * DEPTH / 2, rtol=1e-3)


def test_masses_shadow_and_cysts_enhance():
    """Malignant masses attenuate more than tissue, cysts less, and both are darker than tissue."""
    body, echo, attenuation = breast()
    changed = (body.echo - echo).reshape(len(echo), -1)
    denser = (body.attenuation - attenuation).reshape(len(echo), -1)
    malignant = body.cases.labels == 1
    assert (changed[malignant].min(axis=1) < -3).all()
    assert (denser[malignant].max(axis=1) > 1).all()
    assert denser[malignant].min() >= 0
    assert denser[~malignant].max() <= 0
    cysts = denser[~malignant].min(axis=1) < 0
    assert 0 < cysts.sum() < (~malignant).sum()


def test_masses_and_cysts_fade_with_difficulty():
    """The total change of echogenicity falls at every step, in both classes."""
    for prevalence in (0.0, 1.0):
        totals = []
        for difficulty in (0, 0.25, 0.5, 0.75, 1):
            body, echo, _ = breast(prevalence, difficulty)
            totals.append(np.abs(body.echo - echo).sum())
        assert all(easier > harder for easier, harder in pairwise(totals))


@pytest.mark.parametrize("size", [28, 64])
def test_scan_conversion_keeps_a_constant(size):
    """A uniform field stays uniform inside the sector and is black outside."""
    picture = (scan_converter(size) @ np.ones(BEAMS * SAMPLES, np.float32)).reshape(size, size)
    assert picture.max() == pytest.approx(1, abs=1e-5)
    assert picture[0, 0] == 0
    assert picture[-1, -1] == 0
    assert picture[size // 2, size // 2] == pytest.approx(1, abs=1e-5)
    assert 0.3 < picture.mean() < 0.7


def test_scan_conversion_puts_a_depth_on_its_arc():
    """A field equal to its depth reads, in the picture, as the distance from the probe."""
    depth = np.tile(np.linspace(0, DEPTH, SAMPLES), BEAMS)
    picture = (scan_converter(64) @ depth).reshape(64, 64)
    x, y = _picture_grid(64)
    inside = (np.abs(np.arctan2(x, y)) < 0.45) & (np.abs(np.hypot(x, y) - PROBE - DEPTH / 2) < 0.45 * DEPTH)
    np.testing.assert_allclose(picture[inside], np.hypot(x, y)[inside] - PROBE, atol=0.02)
