"""The geometry, random fields and photon counts below the generated images."""

import numpy as np
import pytest

from medssl.data._shapes import (
    area_mean,
    chord_length,
    counted_absorption,
    ellipse_level,
    inside,
    overlap_length,
    oversampling,
    pixel_axis,
    ray_interval,
    smooth_field,
    to_uint8,
    windowed,
)

FINE = np.linspace(-12, 12, 48_001)  # positions along a ray, 0.5 mm / 100 apart
STEP = FINE[1] - FINE[0]


def in_ellipsoid(x, y, z, centre, radii, angle):
    """Slow reference: is a point inside, by rotating it into the ellipsoid's frame."""
    dx, dy, dz = x - centre[0], y - centre[1], z - centre[2]
    along, across = dx * np.cos(angle) + dy * np.sin(angle), dy * np.cos(angle) - dx * np.sin(angle)
    return (along / radii[0]) ** 2 + (across / radii[1]) ** 2 + (dz / radii[2]) ** 2 <= 1


@pytest.mark.parametrize("angle", [0.0, 0.6, -1.2])
def test_chord_through_ellipsoid_matches_numerical_integration(angle):
    """The closed-form path equals the length counted along each ray."""
    axis = np.linspace(-5, 5, 9)
    x, y = axis[None, None, :], axis[None, :, None]
    centre, radii = (0.7, -0.4, 1.5), (4.0, 2.5, 3.0)
    length = chord_length(ray_interval(x, y, centre, radii, angle))[0]
    for row, column in np.ndindex(length.shape):
        counted = in_ellipsoid(axis[column], axis[row], FINE, centre, radii, angle).sum() * STEP
        assert length[row, column] == pytest.approx(counted, abs=3 * STEP)


def test_overlap_of_ellipsoids_matches_numerical_integration():
    """The path inside both of two bodies equals the length counted along each ray, also when they miss."""
    axis = np.linspace(-6, 6, 9)
    x, y = axis[None, None, :], axis[None, :, None]
    first = (0.0, 0.0, 0.0), (5.0, 4.0, 3.0), 0.3
    second = (1.0, 1.0, 2.5), (3.0, 4.0, 2.0), -0.5
    length = overlap_length(ray_interval(x, y, *first), ray_interval(x, y, *second))[0]
    for row, column in np.ndindex(length.shape):
        ray = axis[column], axis[row], FINE
        counted = (in_ellipsoid(*ray, *first) & in_ellipsoid(*ray, *second)).sum() * STEP
        assert length[row, column] == pytest.approx(counted, abs=3 * STEP)


def test_ellipse_level_broadcasts_over_a_batch():
    """A batch of ellipses equals the ellipses one by one."""
    axis = pixel_axis(11, 3.0)
    x, y = axis[None, None, :], axis[None, :, None]
    values = np.array([[0.1, 0.5], [-0.4, 0.2], [1.0, 2.0], [0.5, 0.7], [0.3, -0.9]])
    together = ellipse_level(x, y, *values)
    for position in range(2):
        np.testing.assert_allclose(
            together[position], ellipse_level(x, y, *values[:, position])[0], rtol=1e-6
        )


def test_soft_disc_has_the_area_of_the_disc():
    """A linear edge around the radius keeps the area to second order: pi r^2 (1 + s^2 / 12)."""
    axis = pixel_axis(800, 2.0)
    level = ellipse_level(axis[None, None, :], axis[None, :, None], 0.0, 0.0, 1.5, 1.5)
    area = inside(level, 0.1).sum() * 0.005**2
    assert area == pytest.approx(np.pi * 1.5**2 * (1 + 0.01 / 12), rel=1e-3)


@pytest.mark.parametrize("length", [0.05, 0.2])
def test_smooth_field_has_unit_variance_and_the_asked_length(length):
    """Mean 0, variance 1, and an autocorrelation of about exp(-1/2) at the correlation length."""
    field = smooth_field(np.random.default_rng(0), 2000, 40, length)
    assert abs(field.mean()) < 0.05
    np.testing.assert_allclose(field.var(axis=0), 1, atol=0.2)
    lag = round(40 * length)
    correlation = np.mean(field[:, 10, 10] * field[:, 10, 10 + lag])
    assert correlation == pytest.approx(np.exp(-0.5), abs=0.08)


def test_smooth_field_is_the_same_at_every_resolution():
    """The same stream gives the same field, sampled more finely."""
    coarse, fine = (smooth_field(np.random.default_rng(4), 1, size, 0.2)[0] for size in (30, 90))
    np.testing.assert_allclose(fine[1::3, 1::3], coarse, atol=1e-4)


def test_area_mean_keeps_the_mean_and_oversampling_bounds_the_work():
    """Averaging keeps the mean, and a fine image never exceeds 128 samples a side."""
    fine = np.random.default_rng(0).random((2, 12, 12))
    assert area_mean(fine, 3).mean() == pytest.approx(fine.mean())
    assert all(1 <= oversampling(size) <= 3 and size * oversampling(size) <= 128 for size in range(16, 129))


def test_display_window_and_rounding():
    """Windows may differ between images; values outside are clipped, values inside rounded."""
    shown = windowed(np.full((2, 1, 1), 10.0), np.array([0.0, 10.0]), np.array([20.0, 30.0]))
    assert shown.ravel().tolist() == [0.5, 0.0]
    assert to_uint8(np.array([0.0, 1.0, 0.1])).tolist() == [0, 255, 26]


def test_photon_counts_are_poisson_around_beer_lambert():
    """Mean and variance of the counts are I0 exp(-p), and the inferred absorption is p."""
    photons, absorbed = 5000.0, 2.0
    counted = counted_absorption(np.random.default_rng(0), np.full(200_000, np.exp(-absorbed)), photons)
    counts = photons * np.exp(-counted.astype(float))
    expected = photons * np.exp(-absorbed)
    assert counts.mean() == pytest.approx(expected, rel=1e-3)
    assert counts.var() == pytest.approx(expected, rel=0.02)
    assert counted.mean() == pytest.approx(absorbed, abs=2e-3)


def test_no_photon_gives_a_finite_absorption():
    """A ray that loses every photon reads as if one had arrived."""
    starved = counted_absorption(np.random.default_rng(0), np.zeros(3), 100.0)
    np.testing.assert_allclose(starved, np.log(100.0), rtol=1e-6)
