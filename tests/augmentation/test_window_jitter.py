"""A random display window for each image in Hounsfield units."""

import dataclasses

import pytest
import torch

from medssl.augmentation import Policy
from medssl.augmentation.ct import window_jitter
from medssl.errors import UsageError


def seeded(seed=0):
    """A generator on the processor."""
    return torch.Generator().manual_seed(seed)


def ramp(batch):
    """Images whose values rise evenly from -1000 to 1000 Hounsfield units."""
    return torch.linspace(-1000, 1000, 64).reshape(1, 1, 8, 8).repeat(batch, 1, 1, 1)


def test_without_strength_it_is_the_plain_window():
    """Level is the middle of grey, and half a width to each side is black and white."""
    units = torch.tensor([-160.0, -60.0, 40.0, 140.0, 240.0, 900.0]).reshape(1, 1, 1, 6)
    shown = window_jitter(units, 40, 400, Policy(), seeded())
    assert shown.flatten().tolist() == [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]


def test_each_image_is_the_linear_map_of_its_own_draws():
    """A slow loop with the same random numbers gives the same values."""
    policy, units = Policy(contrast=0.4, brightness=0.2), ramp(5)
    shown, generator = window_jitter(units, 40, 400, policy, seeded(3)), seeded(3)
    moves, stretches = (2 * torch.rand(5, generator=generator) - 1 for _ in range(2))
    for image, move, stretch, seen in zip(units, moves, stretches, shown, strict=True):
        low = 40 + 0.2 * 400 * move - 400 * (0.4 * stretch).exp() / 2
        expected = ((image - low) / (400 * (0.4 * stretch).exp())).clamp(0, 1)
        torch.testing.assert_close(seen, expected)


def test_level_and_width_stay_within_the_strengths():
    """The level moves by at most `brightness` widths and the width by at most exp(`contrast`)."""
    units = torch.tensor([0.0, 10.0]).reshape(1, 1, 1, 2).repeat(500, 1, 1, 1)
    shown = window_jitter(units, 0, 1000, Policy(contrast=0.3, brightness=0.1), seeded()).squeeze()
    widths = 10 / (shown[:, 1] - shown[:, 0])
    levels = (0.5 - shown[:, 0]) * widths
    assert 1000 * 0.7408 * 0.999 < widths.min() < 760
    assert 1310 < widths.max() < 1000 * 1.3499 * 1.001
    assert levels.abs().max() <= 100.1
    assert levels.abs().max() > 95


def test_tissue_outside_the_window_can_come_into_sight():
    """What a fixed window cuts off, some window of the batch shows, and contrast after it never does."""
    units = torch.tensor([250.0, 300.0]).reshape(1, 1, 1, 2).repeat(50, 1, 1, 1)  # both above 240
    assert (window_jitter(units, 40, 400, Policy(), seeded()) == 1).all()
    shown = window_jitter(units, 40, 400, Policy(contrast=0.4, brightness=0.2), seeded())
    assert (shown[..., 1] > shown[..., 0]).any()


def test_volumes_get_one_window_each():
    """A volume is an image with one more axis."""
    volume = torch.zeros(3, 1, 2, 4, 4)
    shown = window_jitter(volume, 40, 400, Policy(brightness=0.5), seeded()).flatten(1)
    assert (shown == shown[:, :1]).all()
    assert shown[:, 0].unique().numel() == 3


def test_other_fields_play_no_part_and_the_generator_decides():
    """Only contrast and brightness count, and the same state gives the same windows."""
    policy = Policy(contrast=0.4, brightness=0.2)
    first = window_jitter(ramp(4), 40, 400, policy, seeded(1))
    busy = dataclasses.replace(policy, noise=0.5, crop_scale=0.5)
    assert torch.equal(first, window_jitter(ramp(4), 40, 400, busy, seeded(1)))
    assert not torch.equal(first, window_jitter(ramp(4), 40, 400, policy, seeded(2)))


def test_a_window_has_a_width():
    """A width of 0 is an error, not a division."""
    with pytest.raises(UsageError, match="width"):
        window_jitter(ramp(1), 40, 0, Policy(), seeded())
