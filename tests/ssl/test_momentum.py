"""The moving average of a teacher against a loop over weights, and its schedule against a closed form."""

import math

import pytest
import torch
from torch import nn

from medssl.ssl._momentum import follow, momentum_at, teacher_of


def network(seed):
    """A layer and a normalisation that has seen a batch."""
    torch.manual_seed(seed)
    made = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4)).double()
    made(torch.randn(5, 3, dtype=torch.float64) + seed)
    return made


def copied(module):
    """A copy of the state that later changes do not reach."""
    return {key: value.clone() for key, value in module.state_dict().items()}


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.996, 1.0])
def test_the_teacher_is_the_weighted_mean(momentum):
    """Weights, biases and running statistics become momentum x old + (1 - momentum) x student."""
    teacher, student = network(1), network(2)
    before, target = copied(teacher), copied(student)
    follow(teacher, student, momentum)
    for key, value in teacher.state_dict().items():
        if value.is_floating_point():
            expected = momentum * before[key] + (1 - momentum) * target[key]
            assert torch.allclose(value, expected, rtol=1e-14, atol=0), key
    assert all(torch.equal(value, target[key]) for key, value in student.state_dict().items())


def test_momentum_zero_copies_everything():
    """With momentum 0 the whole state is the student's, bit for bit, counters too."""
    teacher, student = network(1), network(2)
    student(torch.randn(5, 3, dtype=torch.float64))
    follow(teacher, student, 0.0)
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in teacher.state_dict().items())


def test_constant_students_are_approached_geometrically():
    """After k steps the distance to a student that stands still is momentum^k of what it was."""
    teacher, student = network(1), network(2)
    distance = (teacher[0].weight - student[0].weight).detach()
    for _ in range(10):
        follow(teacher, student, 0.9)
    assert torch.allclose(teacher[0].weight - student[0].weight, 0.9**10 * distance, rtol=1e-10)


def test_a_teacher_is_a_copy_without_gradient():
    """It starts as the student, shares no memory with it and asks for no gradient; the student still does."""
    student = network(1)
    teacher = teacher_of(student)
    for mine, theirs in zip(teacher.parameters(), student.parameters(), strict=True):
        assert torch.equal(mine, theirs)
        assert mine.data_ptr() != theirs.data_ptr()
        assert not mine.requires_grad
        assert theirs.requires_grad
    assert all(torch.equal(value, student.state_dict()[key]) for key, value in teacher.state_dict().items())


def test_following_leaves_no_trace_in_the_graph():
    """The average is not differentiated: the teacher stays a leaf without gradient."""
    student = network(1)
    teacher = teacher_of(student)
    follow(teacher, student, 0.5)
    assert all(weight.grad_fn is None and weight.is_leaf for weight in teacher.parameters())


@pytest.mark.parametrize("base", [0.0, 0.9, 0.996])
def test_momentum_rises_by_half_a_cosine(base):
    """It is `base` at first, the mean of `base` and 1 halfway, 1 at the end, and never falls."""
    values = [momentum_at(step, 100, base) for step in range(101)]
    assert values[0] == pytest.approx(base, abs=1e-12)
    assert values[50] == pytest.approx((base + 1) / 2)
    assert values[25] == pytest.approx(1 - (1 - base) * (1 + math.sqrt(0.5)) / 2)
    assert values[100] == pytest.approx(1)
    assert values == sorted(values)
