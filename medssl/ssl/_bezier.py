"""Monotone intensity curves, one for each image of a batch."""

import torch

__all__ = ["bezier_curve", "interpolate", "map_intensity"]


def bezier_curve(control: torch.Tensor, points: int = 257) -> tuple[torch.Tensor, torch.Tensor]:
    """Evaluate cubic Bezier curves from (0, 0) to (1, 1).

    With control points in the unit square both coordinates rise along the curve, so that it is the
    graph of a monotone function that maps [0, 1] on itself.

    Parameters
    ----------
    control : Tensor
        The two inner control points, shape [batch, 2, 2]: point, coordinate.
    points : int
        Number of places along the curve.

    Returns
    -------
    x, y : Tensor
        Shape [batch, points].

    Examples
    --------
    >>> x, y = bezier_curve(torch.tensor([[[0.0, 1.0], [0.0, 1.0]]]), 3)
    >>> x.tolist(), y.tolist()
    ([[0.0, 0.125, 1.0]], [[0.0, 0.875, 1.0]])
    """
    t = torch.linspace(0, 1, points, device=control.device)
    first, second = control[..., None].unbind(1)  # [batch, 2, 1]
    # No product of matrices, which autocast would round to bfloat16: the curve would no longer rise.
    curve = 3 * (1 - t) ** 2 * t * first + 3 * (1 - t) * t**2 * second + t**3  # [batch, 2, points]
    return curve[:, 0], curve[:, 1]


def interpolate(values: torch.Tensor, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """Interpolate linearly between rising knots, each row with its own; constant beyond the ends.

    Parameters
    ----------
    values : Tensor
        Shape [batch, n].
    x, y : Tensor
        Shape [batch, knots].

    Examples
    --------
    >>> x, y = torch.tensor([[0.0, 1.0]]), torch.tensor([[0.0, 4.0]])
    >>> interpolate(torch.tensor([[0.25, 2.0]]), x, y).tolist()
    [[1.0, 4.0]]
    """
    right = torch.searchsorted(x.contiguous(), values.contiguous()).clamp(1, x.shape[1] - 1)  # [batch, n]
    x0, x1, y0, y1 = (knots.gather(1, place) for knots in (x, y) for place in (right - 1, right))
    part = ((values - x0) / (x1 - x0).clamp_min(1e-12)).clamp(0, 1)
    return torch.lerp(y0, y1, part)


def map_intensity(images: torch.Tensor, control: torch.Tensor, inverted: torch.Tensor) -> torch.Tensor:
    """Map the intensities of each image by its Bezier curve between its minimum and its maximum.

    Parameters
    ----------
    images : Tensor
        Shape [batch, 1, height, width] or [batch, 1, depth, height, width].
    control : Tensor
        Shape [batch, 2, 2], values in 0..1.
    inverted : Tensor of bool
        Shape [batch]; True for a falling curve, which makes dark what was bright.

    Examples
    --------
    >>> image = torch.tensor([[[[0.0, 2.0, 8.0]]]])
    >>> straight = torch.tensor([[[1 / 3, 1 / 3], [2 / 3, 2 / 3]]])
    >>> map_intensity(image, straight, torch.tensor([True])).round(decimals=3).tolist()
    [[[[8.0, 6.0, 0.0]]]]
    """
    axes = tuple(range(1, images.ndim))
    low, high = images.amin(axes, keepdim=True), images.amax(axes, keepdim=True)
    unit = (images - low) / (high - low).clamp_min(1e-6)
    x, y = bezier_curve(control)
    y = torch.where(inverted[:, None], y.flip(1), y)
    return low + (high - low) * interpolate(unit.flatten(1), x, y).reshape(images.shape)
