"""Losses are computed in single precision whatever the loop does."""

import pytest
import torch

from medssl.ssl._precision import single_precision


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        (torch.bfloat16, torch.float32), (torch.float16, torch.float32),
        (torch.float32, torch.float32), (torch.float64, torch.float64),
    ],
)  # fmt: skip
def test_types_are_raised_and_never_lowered(given, wanted):
    """Half precision becomes single; double stays."""
    with single_precision(torch.ones(2, dtype=given), torch.ones(2)) as (first, second):
        assert (first.dtype, second.dtype) == (wanted, torch.float32)


def test_products_are_not_rounded_under_autocast(autocast):
    """Within the block a product of matrices has all its bits; before and after it has those of bfloat16."""
    matrix = torch.full((2, 2), 1.001)
    assert (matrix @ matrix).dtype == torch.bfloat16
    with single_precision(matrix) as (matrix,):
        assert torch.allclose(matrix @ matrix, torch.full((2, 2), 2 * 1.001**2), rtol=1e-6)
    assert (matrix @ matrix).dtype == torch.bfloat16


def test_gradients_pass():
    """The cast is part of the graph."""
    weight = torch.ones(3, dtype=torch.bfloat16, requires_grad=True)
    with single_precision(weight) as (raised,):
        raised.square().sum().backward()
    assert weight.grad.tolist() == [2, 2, 2]
