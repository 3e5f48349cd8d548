"""The physics of the generated CT slices."""

from itertools import pairwise

import numpy as np
import pytest

from medssl.data._phantom import cases_of
from medssl.data._shapes import area_mean, counted_absorption, ellipse_level, pixel_axis
from medssl.data._tomography import HALF_VIEW, projector, ramp_filter, reconstruct
from medssl.data.phantom_ct import WATER, _Abdomen, hounsfield

FINE, SIDE, VIEWS = 128, 64, 96


def disc(x=0.0, y=0.0, radius=9.0, side=FINE):
    """A disc of water, its edge averaged over 4 x 4 samples."""
    axis = pixel_axis(4 * side, HALF_VIEW)
    level = ellipse_level(axis[None, None, :], axis[None, :, None], x, y, radius, radius)
    return area_mean((level <= 1).astype(np.float32), 4)[0] * np.float32(WATER)


def sinogram(image):
    """Line integrals of one image, [1, VIEWS, SIDE]."""
    return (projector(FINE, SIDE, VIEWS) @ image.ravel()).reshape(1, VIEWS, SIDE)


def test_sinogram_of_a_disc_is_its_chord():
    """Every view of a disc off the centre is 2 mu sqrt(r^2 - (s - s0)^2)."""
    x, y, radius = 3.0, -2.0, 9.0
    angles = np.arange(VIEWS)[:, None] * np.pi / VIEWS
    offset = pixel_axis(SIDE, HALF_VIEW)[None] - (x * np.cos(angles) + y * np.sin(angles))
    chord = 2 * WATER * np.sqrt(np.clip(radius**2 - offset**2, 0, None))
    error = np.abs(sinogram(disc(x, y, radius))[0] - chord)
    assert error[np.abs(offset) < radius - 1].max() < 0.02 * chord.max()
    assert error[np.abs(offset) > radius + 1].max() < 1e-6


def test_every_view_holds_the_whole_mass():
    """The sum over a view times the cell width is the integral of the image, whatever the angle."""
    image = disc(2.0, 4.0, 5.0)
    mass = image.sum() * (2 * HALF_VIEW / FINE) ** 2
    views = sinogram(image)[0].sum(axis=1) * 2 * HALF_VIEW / SIDE
    np.testing.assert_allclose(views, mass, rtol=1e-4)


def test_ramp_filter_is_the_closed_form():
    """Entries are the spatial ramp of Kak and Slaney smoothed by (1/4, 1/2, 1/4), which is a Hann window."""
    count, width = 24, 2 * HALF_VIEW / 24

    def ramp(lag):
        if lag == 0:
            return 1 / (4 * width**2)
        return -1 / (np.pi * lag * width) ** 2 if lag % 2 else 0.0

    for row, column in np.ndindex(count, count):
        lag = row - column
        smooth = 0.5 * ramp(lag) + 0.25 * (ramp(lag - 1) + ramp(lag + 1))
        assert ramp_filter(count)[row, column] == pytest.approx(smooth * width, rel=1e-4, abs=1e-6)


@pytest.mark.parametrize("place", [(0.0, 0.0), (4.0, -3.0)])
def test_back_projection_recovers_a_known_value(place):
    """Inside a disc of water the reconstruction is water within 1%, far outside it is air within 2%."""
    image = reconstruct(sinogram(disc(*place)), SIDE)[0]
    axis = pixel_axis(SIDE, HALF_VIEW)
    level = ellipse_level(axis[None, None, :], axis[None, :, None], *place, 9.0, 9.0)[0]
    assert image[level < 0.7].mean() == pytest.approx(WATER, rel=0.01)
    assert np.abs(image[level < 0.7] - WATER).max() < 0.03 * WATER
    outside = (level > 1.6) & (axis[None, :] ** 2 + axis[:, None] ** 2 < (0.95 * HALF_VIEW) ** 2)
    assert np.abs(image[outside]).max() < 0.03 * WATER


def test_reconstruction_is_linear():
    """Two objects together give the sum of their reconstructions."""
    first, second = sinogram(disc(3.0, 0.0, 4.0)), sinogram(disc(-5.0, 2.0, 3.0))
    both = reconstruct(first + second, SIDE)
    np.testing.assert_allclose(both, reconstruct(first, SIDE) + reconstruct(second, SIDE), atol=1e-5)


def test_noise_falls_with_the_root_of_the_dose():
    """A hundred times the photons give a tenth of the noise in the middle of a water disc."""
    clean = sinogram(disc())
    noise = []
    for photons in (2e4, 2e6):
        generator = np.random.default_rng(0)
        noisy = [reconstruct(counted_absorption(generator, np.exp(-clean), photons), SIDE) for _ in range(4)]
        noise.append(
            np.std([image[0, 26:38, 26:38] - reconstruct(clean, SIDE)[0, 26:38, 26:38] for image in noisy])
        )
    assert noise[0] / noise[1] == pytest.approx(10, rel=0.1)


def test_hounsfield_scale():
    """Twice the attenuation of water is 1000 HU."""
    assert hounsfield(np.array([0.0, WATER, 2 * WATER])) == pytest.approx([-1000, 0, 1000])


def abdomen(prevalence, difficulty):
    """Painted slices of one chunk, and the same before lesions."""
    slices = _Abdomen(cases_of("ct", "train", 0, 0, prevalence), 64)
    slices.paint_healthy()
    before = slices.hounsfield.copy()
    slices.paint_lesions(difficulty)
    return slices, before


def test_lesions_are_hypodense_and_in_the_liver():
    """Lesions darken liver tissue alone, in every diseased slice and in no healthy one."""
    slices, before = abdomen(0.5, 0.4)
    change = slices.hounsfield - before
    labels = slices.cases.labels.astype(bool)
    assert not change[~labels].any()
    assert not change[slices.liver == 0].any()
    deepest = change[labels].reshape(labels.sum(), -1).min(axis=1)
    assert (deepest < -10).all()
    assert change[(slices.liver > 0.99) & (before > 60)].max() <= 0


def test_lesions_fade_with_difficulty():
    """The total change falls at every step of difficulty."""
    totals = []
    for difficulty in (0, 0.25, 0.5, 0.75, 1):
        slices, before = abdomen(1.0, difficulty)
        totals.append(np.abs(slices.hounsfield - before).sum())
    assert all(easier > harder for easier, harder in pairwise(totals))


def test_organs_have_their_hounsfield_units():
    """Air surrounds the body, fat lies below the skin, the liver is soft tissue and bone exceeds 300."""
    slices, before = abdomen(0.0, 0.5)
    assert (before[:, 0, 0] == -1000).all()
    assert 60 < before[slices.liver > 0.99].mean() < 160
    assert (before.reshape(len(before), -1).max(axis=1) > 300).all()
    assert ((before > -120) & (before < -60)).mean(axis=(1, 2)).min() > 0.02
