"""Parallel-beam projection and filtered back-projection as matrices, for whole batches at once."""

from functools import cache

import numpy as np
from scipy import sparse

from medssl.data._shapes import pixel_axis

__all__ = ["HALF_VIEW", "projector", "ramp_filter", "reconstruct"]

HALF_VIEW = 17.5  # cm: half the field of view and half the detector row


@cache
def projector(side: int, detectors: int, views: int) -> sparse.csr_array:
    """Return the matrix that turns an image of attenuation per cm into line integrals.

    Parameters
    ----------
    side : int
        Pixels along a side of the image, which is 35 cm wide.
    detectors, views : int
        Detector cells along 35 cm, and projection angles over half a turn.

    Returns
    -------
    sparse array, shape [views * detectors, side * side]
        Each pixel's area is shared between the two nearest detector cells by linear interpolation.
    """
    share, cell = _nearest_cells(side, detectors, views)
    pixel_width, cell_width = 2 * HALF_VIEW / side, 2 * HALF_VIEW / detectors
    pixels = np.broadcast_to(np.arange(side * side), share.shape)
    inside_array = (cell >= 0) & (cell < views * detectors) & (share > 0)
    weights = share[inside_array] * np.float32(pixel_width**2 / cell_width)
    places = cell[inside_array], pixels[inside_array]
    return sparse.csr_array((weights, places), shape=(views * detectors, side * side), dtype=np.float32)


def _nearest_cells(side: int, detectors: int, views: int) -> tuple[np.ndarray, np.ndarray]:
    """Return shares and flat numbers of the cells left and right of each pixel, [2, views, pixels]."""
    axis = pixel_axis(side, HALF_VIEW)
    x, y = np.tile(axis, side), np.repeat(axis, side)
    angles = (np.arange(views) * np.pi / views)[:, None]
    offset = x * np.cos(angles) + y * np.sin(angles)
    position = (offset / HALF_VIEW + 1) * detectors / 2 - 0.5
    left = np.floor(position).astype(np.int64)
    right_share = (position - left).astype(np.float32)
    first = np.arange(views)[:, None] * detectors
    share, cell = np.stack([1 - right_share, right_share]), np.stack([left, left + 1])
    return share, np.where((cell >= 0) & (cell < detectors), cell + first, -1)


@cache
def ramp_filter(detectors: int) -> np.ndarray:
    """Return the Hann-windowed ramp filter as a convolution matrix, per cm, [detectors, detectors].

    Notes
    -----
    The ramp is sampled in space, 1 / (4 w^2) at 0, -1 / (pi k w)^2 at odd k and 0 at even k for cell
    width w, which avoids the loss of the mean that a ramp sampled in frequency has.
    """
    width, lags = 2 * HALF_VIEW / detectors, np.arange(-detectors, detectors)
    odd = lags % 2 == 1
    kernel = np.zeros(2 * detectors)
    kernel[odd] = -1 / (np.pi * lags[odd] * width) ** 2
    kernel[lags == 0] = 1 / (4 * width**2)
    spectrum = np.fft.fft(np.fft.ifftshift(kernel))
    hann = 0.5 + 0.5 * np.cos(2 * np.pi * np.fft.fftfreq(2 * detectors))
    smooth = np.fft.ifft(spectrum * hann).real  # index k holds lag k, negative lags at the end
    matrix = smooth[np.arange(detectors)[:, None] - np.arange(detectors)] * width
    return matrix.astype(np.float32)


@cache
def _back_projector(side: int, detectors: int, views: int) -> sparse.csr_array:
    share, cell = _nearest_cells(side, detectors, views)
    pixels = np.broadcast_to(np.arange(side * side), share.shape)
    known = (cell >= 0) & (share > 0)
    weights = share[known] * np.float32(np.pi / views)
    shape = (side * side, views * detectors)
    return sparse.csr_array((weights, (pixels[known], cell[known])), shape=shape, dtype=np.float32)


def reconstruct(sinograms: np.ndarray, side: int) -> np.ndarray:
    """Reconstruct attenuation per cm by filtered back-projection.

    Parameters
    ----------
    sinograms : ndarray of float32, shape [count, views, detectors]
        Line integrals.
    side : int
        Pixels along a side of the images.

    Returns
    -------
    ndarray of float32, shape [count, side, side]
    """
    count, views, detectors = sinograms.shape
    filtered = sinograms @ ramp_filter(detectors)
    spread = _back_projector(side, detectors, views) @ filtered.reshape(count, -1).T
    return np.ascontiguousarray(spread.T).reshape(count, side, side)
