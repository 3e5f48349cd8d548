"""Standardisation, schedule, devices and fingerprints."""

import math

import numpy as np
import pytest
import torch

from medssl.errors import UsageError
from medssl.training import Standardisation, to_tensor
from medssl.training.tensors import autocast, cosine_with_warmup, fingerprint, pick_device, seed_everything


def test_standardised_pool_has_mean_0_and_deviation_1(pool):
    """The pool's own statistics standardise it."""
    standardise = Standardisation.of(pool)
    values = standardise(to_tensor(pool))
    assert values.mean().item() == pytest.approx(0, abs=1e-4)
    assert values.std(correction=0).item() == pytest.approx(1, abs=1e-4)


def test_a_constant_pool_does_not_divide_by_zero():
    """The deviation has a floor."""
    assert Standardisation.of(np.full((2, 4, 4), 51, np.uint8)) == Standardisation(0.2, 0.001)


def test_pixels_become_single_precision_fractions(pool):
    """uint8 0..255 becomes float32 0..1 with a channel, in the order of the images, and the pool stays."""
    before = pool.copy()
    tensor = to_tensor(pool)
    assert tensor.shape == (24, 1, 16, 16)
    assert tensor.dtype == torch.float32
    assert np.array_equal((tensor[:, 0].numpy() * 255).round(), pool)
    tensor.zero_()
    assert np.array_equal(pool, before)


@pytest.mark.parametrize("steps", [10, 37, 100])
def test_schedule_is_a_rise_and_half_a_cosine(steps):
    """A tenth of the steps rises linearly to the peak; the rest follows the cosine towards zero."""
    rates = [cosine_with_warmup(step, steps, 0.3) for step in range(steps)]
    rise = steps // 10
    assert rates[:rise] == pytest.approx([0.3 * (step + 1) / rise for step in range(rise)])
    expected = [
        0.15 * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) for step in range(rise, steps)
    ]
    assert rates[rise:] == pytest.approx(expected)
    assert max(rates) == pytest.approx(0.3)
    assert all(rate > 0 for rate in rates)


def test_schedule_of_a_single_step_is_its_peak():
    """The shortest schedule trains at the full rate."""
    assert cosine_with_warmup(0, 1, 0.3) == 0.3


def test_fingerprint_sees_every_value_and_the_order(pool):
    """A changed pixel, another order of images and other labels are other fingerprints; a copy is not."""
    labels = np.arange(24)
    changed = pool.copy()
    changed[5, 3, 2] ^= 1
    marks = [fingerprint(pool, labels), fingerprint(changed, labels), fingerprint(pool[::-1], labels)]
    marks.append(fingerprint(pool, labels[::-1]))
    assert len(set(marks)) == 4
    assert fingerprint(np.asfortranarray(pool), labels.copy()) == marks[0]


def test_devices_are_named_or_refused():
    """The processor is the default without a GPU; unknown and absent devices are errors, never a fallback."""
    assert pick_device().type == pick_device("cpu").type == "cpu"
    with pytest.raises(UsageError, match="unknown device 'gpu': write 'cpu' or 'cuda'"):
        pick_device("gpu")
    with pytest.raises(UsageError, match="'cuda' was asked for but torch finds no GPU"):
        pick_device("cuda")


def test_the_processor_keeps_full_precision():
    """Reduced precision is for GPUs only."""
    with autocast(torch.device("cpu")):
        assert (torch.ones(2, 2) @ torch.ones(2, 2)).dtype == torch.float32


def test_seeding_sets_the_global_state_and_a_generator():
    """Weights come from the global state, order and views from the generator; both follow the seed."""
    draws = []
    for seed in (3, 3, 4):
        generator = seed_everything(seed, torch.device("cpu"))
        draws.append((torch.rand(1).item(), torch.rand(1, generator=generator).item()))
    assert draws[0] == draws[1]
    assert draws[0] != draws[2]
