"""The physics of the generated radiographs."""

from itertools import pairwise

import numpy as np
import pytest

from medssl.data._phantom import CHUNK, cases_of
from medssl.data.phantom_xray import _pose, _Thorax, phantom_xray, tube_chord


def thorax(prevalence=0.5, size=32, chunk=0):
    """The thoraces of one chunk before any noise."""
    cases = cases_of("xray", "train", 0, chunk, prevalence)
    return _Thorax(cases, *_pose(cases, size))


@pytest.mark.parametrize("tilt", [0.0, 0.5, 1.0])
def test_path_through_tilted_tube_matches_numerical_integration(tilt):
    """A tube that leans by an angle along the ray is crossed 1 / cos(angle) times longer."""
    radius, z = 0.6, np.linspace(-5, 5, 200_001)
    axis = np.array([np.cos(tilt), 0.0, np.sin(tilt)])
    for distance in (0.0, 0.25, 0.5, 0.7):
        points = np.stack([np.zeros_like(z), np.full_like(z, distance), z])
        off_axis = points - axis[:, None] * (axis @ points)
        counted = (np.linalg.norm(off_axis, axis=0) <= radius).sum() * (z[1] - z[0])
        assert tube_chord(distance, radius, 1 / np.cos(tilt)) == pytest.approx(counted, abs=2e-4)


def test_healthy_line_integral_is_plausible():
    """The mediastinum absorbs more than the lungs, and the lungs more than the air beside the neck."""
    absorbed = thorax().absorbed()
    assert absorbed.min() >= -1e-5
    centre = absorbed[:, 18, 16].mean()
    lungs = absorbed[:, 12:16, 7:10].mean()
    air = absorbed[:, 0, 0].mean()
    assert centre > lungs > air
    assert 1.0 < lungs < centre < 7.0


def test_opacities_add_absorption_where_the_label_says_so():
    """Label 0 adds nothing; label 1 always adds something, nowhere below zero."""
    chests = thorax()
    added = chests.opacities(0.5)
    labels = chests.cases.labels.astype(bool)
    assert not added[~labels].any()
    assert added.min() >= 0
    assert (added[labels].reshape(labels.sum(), -1).max(axis=1) > 0.02).all()


def test_opacities_stay_within_the_lungs():
    """No opacity lies on a ray that passes no lung."""
    chests = thorax(prevalence=1.0)
    in_lung = sum(far - near for near, far in chests.lungs) > 0
    assert not chests.opacities(0.0)[~in_lung].any()


def test_opacities_fade_with_difficulty():
    """The added absorption falls at every step of difficulty."""
    added = [thorax(prevalence=1.0).opacities(difficulty).sum() for difficulty in (0, 0.25, 0.5, 0.75, 1)]
    assert all(easier > harder for easier, harder in pairwise(added))
    assert added[-1] < 0.05 * added[0]


def test_ribs_are_seen_in_both_lungs():
    """Along the height of a lung the rib shadow rises and falls several times."""
    chests = thorax(size=128)
    for column in (30, 98):
        shadow = chests._ribs()[:, :, column] > 0.2
        edges = (shadow[:, 1:] & ~shadow[:, :-1]).sum(axis=1)
        assert np.median(edges) >= 6


def test_exposure_varies_more_than_the_disease():
    """Mean brightness differs between images of both classes, and does not tell them apart."""
    dataset = phantom_xray("train", n=8 * CHUNK, size=28)
    brightness = dataset.images.mean(axis=(1, 2))
    classes = [brightness[dataset.labels == label] for label in (0, 1)]
    spread = np.mean([group.std() for group in classes])
    assert spread > 10
    assert abs(classes[0].mean() - classes[1].mean()) < 0.5 * spread
