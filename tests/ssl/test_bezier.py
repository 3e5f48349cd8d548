"""Monotone intensity curves against numpy, roots of polynomials and loops over images."""

import itertools

import numpy as np
import pytest
import torch

from medssl.ssl._bezier import bezier_curve, interpolate, map_intensity


def fixed(seed=0):
    """A generator in a known state."""
    return torch.Generator().manual_seed(seed)


def exact_curve(value, control):
    """Height of the curve over `value`: the root of the cubic in t, then the second coordinate there."""
    (x1, y1), (x2, y2) = control.double().tolist()
    roots = np.roots([1 + 3 * x1 - 3 * x2, 3 * x2 - 6 * x1, 3 * x1, -value])
    t = min(
        (root.real for root in roots if abs(root.imag) < 1e-6 and -1e-6 <= root.real <= 1 + 1e-6), default=0
    )
    return 3 * (1 - t) ** 2 * t * y1 + 3 * (1 - t) * t**2 * y2 + t**3


def test_curve_is_the_repeated_interpolation_of_de_casteljau():
    """Each point is what halving the polygon again and again gives, one place at a time."""
    control = torch.rand(5, 2, 2, generator=fixed())
    x, y = bezier_curve(control, 11)
    for curve in range(5):
        for place, t in enumerate(np.linspace(0, 1, 11)):
            points = [np.zeros(2), *control[curve].double().numpy(), np.ones(2)]
            while len(points) > 1:
                points = [(1 - t) * a + t * b for a, b in itertools.pairwise(points)]
            assert [x[curve, place].item(), y[curve, place].item()] == pytest.approx(points[0], abs=1e-5)


def test_curves_rise_from_zero_to_one():
    """With control points anywhere in the unit square, corners included, both coordinates never fall."""
    corners = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).reshape(16, 2, 2)
    for control in (torch.rand(5000, 2, 2, generator=fixed()), corners):
        for values in bezier_curve(control):
            assert values[:, 0].abs().max() == 0
            assert (values[:, -1] - 1).abs().max() < 1e-6
            assert values.diff(dim=1).min() > -1e-6


def test_control_points_on_the_diagonal_give_the_identity():
    """Points at a third and two thirds of the diagonal change nothing."""
    straight = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]])
    x, y = bezier_curve(straight)
    assert torch.allclose(x, y, atol=1e-6)
    images = torch.randn(1, 1, 8, 8, generator=fixed())
    assert torch.allclose(map_intensity(images, straight, torch.tensor([False])), images, atol=1e-5)


def test_interpolation_is_that_of_numpy():
    """Row by row, with values beyond the knots and repeated knots, numpy.interp gives the same."""
    x = torch.rand(6, 9, generator=fixed()).sort(1).values
    x[0, 3:5] = x[0, 3].item()
    y, values = torch.rand(6, 9, generator=fixed(1)), 3 * torch.rand(6, 50, generator=fixed(2)) - 1
    done = interpolate(values, x, y)
    for row in range(6):
        assert np.allclose(done[row], np.interp(values[row], x[row], y[row]), atol=1e-5)


@pytest.mark.parametrize("falling", [False, True])
def test_mapping_is_the_loop_over_images_and_pixels(falling):
    """Each pixel goes through the exact curve of its own image, in the units of that image."""
    images, control = torch.randn(4, 1, 5, 5, generator=fixed()), torch.rand(4, 2, 2, generator=fixed(1))
    mapped = map_intensity(images, control, torch.full((4,), falling))
    for image in range(4):
        low, high = images[image].min().item(), images[image].max().item()
        for before, after in zip(
            images[image].flatten().tolist(), mapped[image].flatten().tolist(), strict=True
        ):
            unit = (before - low) / (high - low)
            if falling:  # the curve runs backwards along t, so it is mirrored in height and place
                x, y = bezier_curve(control[image][None])
                expected = np.interp(unit, x[0], y[0].flip(0))
            else:
                expected = exact_curve(unit, control[image])
            assert after == pytest.approx(low + (high - low) * expected, abs=2e-3)


def test_order_of_intensities_is_kept_or_turned_round():
    """Rising curves keep the order of pixels, falling ones reverse it, and both keep the range."""
    images, control = torch.rand(200, 1, 6, 6, generator=fixed()), torch.rand(200, 2, 2, generator=fixed(1))
    order = images.flatten(1).argsort(1)
    for falling, sign in ((False, 1), (True, -1)):
        mapped = map_intensity(images, control, torch.full((200,), falling)).flatten(1)
        assert (sign * mapped.gather(1, order).diff(dim=1)).min() > -1e-5
        assert torch.allclose(mapped.amin(1), images.flatten(1).amin(1), atol=1e-5)
        assert torch.allclose(mapped.amax(1), images.flatten(1).amax(1), atol=1e-5)


def test_every_image_has_its_own_curve():
    """Equal images with different control points come out different."""
    images, control = torch.rand(1, 1, 6, 6).expand(10, -1, -1, -1), torch.rand(10, 2, 2, generator=fixed())
    mapped = map_intensity(images, control, torch.zeros(10, dtype=torch.bool))
    assert len(mapped.flatten(1).unique(dim=0)) == 10


def test_a_constant_image_stays_as_it_is():
    """Nothing is divided by zero."""
    images = torch.full((2, 1, 4, 4), 3.0)
    assert torch.equal(map_intensity(images, torch.rand(2, 2, 2), torch.tensor([False, True])), images)


def test_volumes_are_mapped_as_their_flattened_voxels():
    """One curve a volume, between the minimum and the maximum of all its voxels."""
    volumes = torch.randn(3, 1, 4, 5, 6, generator=fixed())
    control, inverted = torch.rand(3, 2, 2, generator=fixed(1)), torch.tensor([True, False, True])
    mapped = map_intensity(volumes, control, inverted)
    assert torch.equal(mapped, map_intensity(volumes.flatten(2, 3), control, inverted).reshape(volumes.shape))


def test_scale_and_offset_of_an_image_pass_through():
    """The curve acts between an image's own minimum and maximum, so units do not matter."""
    images, control = torch.rand(5, 1, 6, 6, generator=fixed()), torch.rand(5, 2, 2, generator=fixed(1))
    falling = torch.tensor([True, False, True, False, True])
    expected = 7 * map_intensity(images, control, falling) - 2
    assert torch.allclose(map_intensity(7 * images - 2, control, falling), expected, atol=1e-3)
