"""Generated chest radiographs: Beer-Lambert projection of a 3-D thorax, with or without lung opacities.

The film is 33 cm wide, rays run parallel to the z axis (front to back), y points to the feet.
Every organ is an ellipsoid or a tube, so that each ray's path through it is known in closed form.
"""

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._phantom import Cases, generate
from medssl.data._shapes import (
    area_mean,
    chord_length,
    counted_absorption,
    overlap_length,
    oversampling,
    pixel_axis,
    ray_interval,
    to_uint8,
    windowed,
)

__all__ = ["phantom_xray", "tube_chord"]

CLASSES = ("normal", "opacity")
HALF_FILM = 16.5  # cm
# Linear attenuation at an effective energy near 70 keV, per cm; lung is tissue of density about 0.25.
SOFT, LUNG, BONE = 0.20, 0.05, 0.42


def phantom_xray(
    split: str = "train",
    *,
    n: int = 1000,
    size: int = 28,
    seed: int = 0,
    difficulty: float = 0.5,
    prevalence: float = 0.5,
) -> ImageDataset:
    """Generate chest radiographs; label 1 has soft-tissue opacities in the lungs.

    Parameters
    ----------
    split : str
        "train", "val" or "test"; splits share no patient.
    n : int
        Number of images; the first images are the same whatever `n` is.
    size : int
        Side in pixels, 16 to 128; the film is always 33 cm wide.
    seed : int
        Images are a function of seed, split and index.
    difficulty : float
        0: large, obvious opacities; 1: next to no contrast.
    prevalence : float
        Probability that a patient has opacities.

    Returns
    -------
    ImageDataset
        images uint8 [n, size, size], labels [n], groups [n] (patients with one to three images).

    Raises
    ------
    UsageError
        An argument is outside its allowed values.

    Notes
    -----
    Photons that reach a pixel follow I = I0 exp(-sum of mu L), averaged over the pixel, with Poisson noise
    (Beer-Lambert law for a monoenergetic parallel beam without scatter).
    Pose, build, exposure and display vary between patients and images independently of the label.

    Examples
    --------
    >>> dataset = phantom_xray("val", n=4, size=28)
    >>> dataset.images.shape, dataset.classes
    ((4, 28, 28), ('normal', 'opacity'))
    """
    return generate(
        "xray",
        CLASSES,
        _render,
        split=split,
        n=n,
        size=size,
        seed=seed,
        difficulty=difficulty,
        prevalence=prevalence,
    )


def tube_chord(distance, radius, steepness=1.0) -> np.ndarray:
    """Return the path of rays through a straight tube.

    Parameters
    ----------
    distance : ndarray
        Distance between the projected axis and the ray, in cm.
    radius : float or ndarray
        Radius of the tube in cm.
    steepness : float or ndarray
        Length of the axis over the length of its projection: 1 for a tube at right angles to the ray.

    Returns
    -------
    ndarray
        2 sqrt(r^2 - d^2) times `steepness`, 0 outside.
    """
    return 2 * np.sqrt(np.maximum(np.square(radius) - np.square(distance), 0)) * steepness


def _render(cases: Cases, size: int, difficulty: float) -> np.ndarray:
    factor = oversampling(size)
    x, y = _pose(cases, size * factor)
    thorax = _Thorax(cases, x, y)
    absorbed = thorax.absorbed() + thorax.opacities(difficulty)
    photons = np.exp(cases.image_value(np.log(3e3), np.log(4e4)))[:, None, None]
    display = _display_settings(cases)
    primary = area_mean(np.exp(-absorbed), factor)  # a pixel counts photons, so intensities are averaged
    return _display(counted_absorption(cases.imaging, primary, photons), *display)


def _pose(cases: Cases, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return film coordinates in the patient's frame: shift, tilt and size of the body, in cm."""
    axis = pixel_axis(size, HALF_FILM)
    tilt = cases.image_value(-0.07, 0.07)[:, None, None]
    shift_x, shift_y = cases.image_value(-1.5, 1.5), cases.image_value(-1.5, 2.0)
    build = cases.patient_value(0.86, 1.12) * cases.image_value(0.98, 1.02)
    x = (axis[None, None, :] - shift_x[:, None, None]) / build[:, None, None]
    y = (axis[None, :, None] - shift_y[:, None, None]) / build[:, None, None]
    return x * np.cos(tilt) + y * np.sin(tilt), y * np.cos(tilt) - x * np.sin(tilt)


class _Thorax:
    """Bodies of one chunk of patients as ray intervals, and the absorption that they add up to."""

    def __init__(self, cases: Cases, x: np.ndarray, y: np.ndarray):
        self.cases, self.x, self.y = cases, x, y
        draw = cases.patient_value
        self.yaw = cases.image_value(-0.08, 0.08)  # turn about the long axis shifts deep against shallow
        self.inspiration = draw(-1.5, 1.5) + cases.image_value(-0.7, 0.7)
        self.width = draw(0.93, 1.07)
        self.lungs = [self._lung(side) for side in (-1, 1)]
        self.displacers = [self._heart(), self._mediastinum(), self._knob(), *self._domes()]

    def _body(self, x, y, z, rx, ry, rz, angle=0.0):
        return ray_interval(self.x, self.y, (x + np.sin(self.yaw) * z, y, z), (rx, ry, rz), angle)

    def _lung(self, side: int):
        draw = self.cases.patient_value
        x, rx = side * draw(6.6, 7.4) * self.width, draw(5.2, 6.0) * self.width
        y, ry, rz = draw(0.5, 2.0), draw(14.5, 16.0), draw(7.5, 9.0)
        return self._body(x, y, 0.0, rx, ry, rz, -side * draw(0.02, 0.1))

    def _heart(self):
        draw = self.cases.patient_value
        enlarged = draw(0.85, 1.2)
        y = 5.5 + 0.6 * self.inspiration
        return self._body(draw(1.6, 3.0), y, 3.0, 6.2 * enlarged, 4.6 * enlarged, 5.0, draw(0.35, 0.8))

    def _mediastinum(self):
        draw = self.cases.patient_value
        return self._body(draw(-0.3, 0.5), -3.0, 0.0, draw(2.2, 3.2), 16.0, 6.5)

    def _knob(self):
        draw = self.cases.patient_value
        radius = draw(1.4, 2.2)
        return self._body(draw(2.0, 3.2), draw(-6.5, -5.0), 0.0, radius, radius, 4.0)

    def _domes(self):
        draw = self.cases.patient_value
        top = [draw(7.0, 8.5), draw(8.0, 9.5)]  # the right dome (left on the film) stands higher
        return [
            self._body(side * 6.3, top[side > 0] + 11.0 + self.inspiration, -1.0, 7.6, 11.0, 12.0)
            for side in (-1, 1)
        ]

    def absorbed(self) -> np.ndarray:
        """Return the absorption line integral of the healthy thorax, [count, height, width]."""
        soft = self._trunk() + self._breasts()
        air = self._aerated()
        bone = self._spine() + self._ribs() + self._clavicles()
        return SOFT * soft + (LUNG - SOFT) * air * self._vessels() + (BONE - SOFT) * bone

    def _trunk(self) -> np.ndarray:
        """Torso, shoulders and neck about z = 0: the longest of their paths is the path in the union."""
        draw = self.cases.patient_value
        depth = draw(9.5, 12.5)
        torso = self._body(0.0, 9.0, 0.0, 16.5 * self.width, 30.0, depth)
        shoulders = [self._body(side * 11.0, -7.5, 0.0, 9.0, 6.5, 5.5, side * 0.45) for side in (-1, 1)]
        neck = self._body(0.0, -18.0, 0.0, 5.2, 9.0, 5.5)
        return np.maximum.reduce([chord_length(part) for part in (torso, *shoulders, neck)])

    def _breasts(self) -> np.ndarray:
        draw = self.cases.patient_value
        thickness, drop = draw(-2.0, 3.5).clip(0), draw(4.0, 7.0)
        return sum(
            chord_length(self._body(side * 8.0, drop, 10.0, 6.0, 5.0, thickness / 2)) for side in (-1, 1)
        )

    def _aerated(self) -> np.ndarray:
        """Path in lung left free by heart, mediastinum and domes; where two of these overlap in one ray
        the longer one counts."""
        air = np.zeros_like(self.x)
        for lung in self.lungs:
            displaced = np.maximum.reduce([overlap_length(lung, body) for body in self.displacers])
            air += chord_length(lung) - displaced
        return air

    def _vessels(self) -> np.ndarray:
        """Factor around 1 on the lung path: ridges of a random field that thin out from the hilum."""
        side = self.x.shape[-1]
        ridges = (1 - np.abs(1.3 * self.cases.patient_field(side, 0.04)).clip(0, 1)) ** 2
        near = np.exp(-0.5 * (((np.abs(self.x) - 4.0) / 3.5) ** 2 + ((self.y + 0.5) / 5.5) ** 2))
        haze = 0.05 * self.cases.patient_field(side, 0.2)
        return 1.03 + haze - (0.06 + 0.24 * near) * ridges

    def _spine(self) -> np.ndarray:
        draw = self.cases.patient_value
        bend, pitch, phase = draw(-0.6, 0.6), draw(2.4, 3.0), draw(0, 2 * np.pi)
        bend, pitch, phase = (value[:, None, None] for value in (bend, pitch, phase))
        shift = bend * np.sin(self.y / 9.0) - 6.0 * np.sin(self.yaw)[:, None, None]
        bodies = 0.75 + 0.25 * np.tanh(3 * np.cos(2 * np.pi * self.y / pitch + phase) + 2)
        return draw(0.4, 0.65)[:, None, None] * tube_chord(self.x - shift, 1.8) * bodies

    def _ribs(self) -> np.ndarray:
        """Ten ribs a side as curved tubes: the back half descends outwards, the front half inwards."""
        draw = self.cases.patient_value
        spacing, drop, radius = draw(2.3, 2.8), draw(3.0, 5.0), draw(0.42, 0.6)
        top, mineral = draw(-14.5, -13.0), draw(0.35, 0.65)
        spacing, drop, top = (value[:, None, None] for value in (spacing, drop, top))
        # The cage is an ellipse seen from above and narrower at the top; u is the sine of the rib's angle.
        half_width = (
            13.0 * self.width[:, None, None] * np.sqrt(np.clip(1 - ((self.y - 6.0) / 26.0) ** 2, 0.2, 1))
        )
        u = np.minimum(np.abs(self.x) / half_width, 0.999)
        turned = np.arcsin(u)
        back = self._rib_row(top + drop * 0.5 * turned, spacing, radius, u, turned > 0.12)
        front = self._rib_row(top + drop * (2.2 - 0.9 * turned), spacing, radius, u, turned > 0.45)
        return mineral[:, None, None] * (back + 0.7 * front)

    def _rib_row(self, first, spacing, radius, u, where) -> np.ndarray:
        number = (self.y - first) / spacing
        nearest = np.clip(np.rint(number), 0, 9)
        steepness = np.minimum(1 / np.sqrt(1 - u**2), 3.0)  # towards the side the tube runs along the ray
        visible = where & (np.abs(self.x) < 14.0 * self.width[:, None, None])
        return tube_chord((number - nearest) * spacing, radius[:, None, None], steepness) * visible

    def _clavicles(self) -> np.ndarray:
        draw = self.cases.patient_value
        height, slope = draw(-11.5, -9.5)[:, None, None], draw(0.1, 0.35)[:, None, None]
        across = (self.y - height + slope * (np.abs(self.x) - 6.0)) / np.sqrt(1 + slope**2)
        along = (np.abs(self.x) > 1.5) & (np.abs(self.x) < 14.0)
        return 0.7 * tube_chord(across + 0.4 * np.sin(np.abs(self.x) / 2.5), 0.65) * along

    def opacities(self, difficulty: float) -> np.ndarray:
        """Return what opacities add to the line integral; 0 where the label is 0.

        Difficulty makes them fainter (1 - 0.97 d^2), smaller (from 2.2 to 0.7 times) and fewer (of three).
        """
        cases, draw = self.cases, self.cases.lesion_value
        texture = 1 + 0.35 * cases.lesion_field(self.x.shape[-1], 0.06)
        path = np.zeros_like(self.x)
        for fewest in (0.0, 0.6, 0.9):
            present = draw(0.0, 1.0) >= fewest * min(1.0, 2 * difficulty)
            path = np.maximum(path, present[:, None, None] * self._opacity(2.2 - 1.5 * difficulty**0.6))
        contrast = cases.labels * draw(0.7, 1.0) * (1 - 0.97 * difficulty**2)
        return (SOFT - LUNG) * contrast[:, None, None] * texture.clip(0.2) * path

    def _opacity(self, scale: float) -> np.ndarray:
        """Path of rays through an ellipsoid of consolidated lung."""
        draw = self.cases.lesion_value
        side = np.where(draw(-1.0, 1.0) > 0, 1, -1)
        centre = side * draw(4.5, 9.0), draw(-7.0, 6.0), draw(-3.0, 3.0)
        radii = [scale * draw(low, high) for low, high in ((2.0, 4.2), (2.0, 4.2), (2.0, 3.6))]
        lesion = self._body(*centre, *radii, draw(-1.5, 1.5))
        return sum(overlap_length(lesion, lung) for lung in self.lungs)


def _display_settings(cases: Cases):
    return cases.image_value(0.0, 0.6), cases.image_value(-0.25, 0.35), cases.image_value(0.75, 1.35)


def _display(absorbed: np.ndarray, dark, bright, gamma) -> np.ndarray:
    """Log display: the window is set between percentiles of the film, with the operator's deviation."""
    low, high = np.percentile(absorbed[:, ::2, ::2], (12, 97), axis=(1, 2))
    span = high - low
    shown = windowed(absorbed, low - dark * span * 0.4, high + bright * span * 0.5)
    return to_uint8(shown ** gamma[:, None, None])
