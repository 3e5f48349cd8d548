"""Generated abdominal CT: parallel-beam projections, photon noise and filtered back-projection.

Axial slices with a field of view of 35 cm; x points to the right of the image (the patient's left),
y to the back.
"""

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._phantom import Cases, generate
from medssl.data._shapes import (
    area_mean,
    counted_absorption,
    ellipse_level,
    inside,
    oversampling,
    pixel_axis,
    to_uint8,
    windowed,
)
from medssl.data._tomography import HALF_VIEW, projector, reconstruct

__all__ = ["hounsfield", "phantom_ct"]

CLASSES = ("normal", "lesion")
WATER = 0.19  # linear attenuation of water at an effective energy near 70 keV, per cm


def phantom_ct(
    split: str = "train",
    *,
    n: int = 1000,
    size: int = 28,
    seed: int = 0,
    difficulty: float = 0.5,
    prevalence: float = 0.5,
) -> ImageDataset:
    """Generate abdominal CT slices; label 1 has hypodense lesions in the liver.

    Parameters
    ----------
    split : str
        "train", "val" or "test"; splits share no patient.
    n : int
        Number of images; the first images are the same whatever `n` is.
    size : int
        Side in pixels, 16 to 128; the field of view is always 35 cm.
    seed : int
        Images are a function of seed, split and index.
    difficulty : float
        0: large, obvious lesions; 1: next to no contrast.
    prevalence : float
        Probability that a patient has lesions.

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
    Organs are painted in Hounsfield units, projected along parallel rays, counted with Poisson noise and
    reconstructed by filtered back-projection with a Hann-windowed ramp (Kak and Slaney, Principles of
    Computerized Tomographic Imaging, 1988, equation 61 of chapter 3), then shown in a soft-tissue window.
    Build, fat, enhancement, gas, vessels, dose and window vary independently of the label.

    Examples
    --------
    >>> phantom_ct("train", n=2, size=28).images.dtype
    dtype('uint8')
    """
    return generate(
        "ct",
        CLASSES,
        _render,
        split=split,
        n=n,
        size=size,
        seed=seed,
        difficulty=difficulty,
        prevalence=prevalence,
    )


def hounsfield(attenuation):
    """Return Hounsfield units of an attenuation per cm: -1000 for vacuum, 0 for water.

    Examples
    --------
    >>> hounsfield(0.0), hounsfield(0.19)
    (-1000.0, 0.0)
    """
    return 1000 * (attenuation / WATER - 1)


def _render(cases: Cases, size: int, difficulty: float) -> np.ndarray:
    binning = 2 if size <= 32 else 1  # small images are reconstructed finer and averaged
    side, fine = size * binning, size * oversampling(size)
    abdomen = _Abdomen(cases, fine)
    abdomen.paint_healthy()
    abdomen.paint_lesions(difficulty)
    attenuation = WATER * (1 + abdomen.hounsfield.reshape(len(cases), -1) / 1000)
    views = side + side // 2
    line_integrals = (projector(fine, side, views) @ attenuation.T).T
    photons = np.exp(cases.image_value(np.log(4e4), np.log(4e5)))[:, None]
    centre, width = cases.image_value(20, 65), cases.image_value(300, 460)
    measured = counted_absorption(cases.imaging, np.exp(-line_integrals), photons)
    image = reconstruct(measured.reshape(len(cases), views, side), side)
    shown = hounsfield(area_mean(image, binning))
    return to_uint8(windowed(shown, centre - width / 2, centre + width / 2))


class _Abdomen:
    """The slices of one chunk in Hounsfield units; each paint replaces what lies below."""

    def __init__(self, cases: Cases, side: int):
        self.cases, self.side = cases, side
        self.x, self.y = self._coordinates()
        self.hounsfield = np.full_like(self.x, -1000)
        self.outline = 0.10 * cases.patient_field(side, 0.2)
        self.detail = cases.patient_field(side, 0.06)

    def _coordinates(self):
        cases, axis = self.cases, pixel_axis(self.side, HALF_VIEW)
        turn = cases.image_value(-0.08, 0.08)[:, None, None]
        build = cases.patient_value(0.86, 1.03)[:, None, None]
        x = (axis[None, None, :] - cases.image_value(-0.6, 0.6)[:, None, None]) / build
        y = (axis[None, :, None] - cases.image_value(-0.6, 0.6)[:, None, None]) / build
        return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)

    def _paint(self, value, membership: np.ndarray) -> None:
        value = np.asarray(value, np.float32).reshape(-1, 1, 1)
        self.hounsfield += membership * (value - self.hounsfield)

    def _ellipse(self, x, y, radius_x, radius_y, angle=0.0, softness=0.06, warp=0.0):
        return inside(ellipse_level(self.x, self.y, x, y, radius_x, radius_y, angle) + warp, softness)

    def paint_healthy(self) -> None:
        """Paint wall, fat, bowel, stomach, liver, spleen, kidneys, vessels and bones."""
        draw = self.cases.patient_value
        fat, half_x, half_y = draw(0.6, 2.6), draw(14.8, 16.6), draw(10.9, 13.0)
        cavity = [radius - fat for radius in (half_x, half_y)]
        self._paint(-100, self._ellipse(0, 0, half_x, half_y, 0, 0.02))
        self._paint(55, self._ellipse(0, 0, *cavity, 0, 0.02))
        self._paint(55, self._ellipse(0, half_y - fat - 2.5, 8.5, 4.0, 0, 0.1))
        self.cavity = self._ellipse(0, -0.3, cavity[0] - 1.6, cavity[1] - 1.5, 0, 0.04)
        self._paint(-95 + 15 * draw(-1, 1), self.cavity)
        self._paint_bowel(draw)
        self._paint_stomach(draw)
        self._paint_organs(draw)
        self._paint_bones(draw, cavity, half_y - fat)

    def _paint_bowel(self, draw) -> None:
        for x, y in ((3.0, -1.0), (6.5, 3.0), (9.5, 0.5), (2.5, -5.0), (7.5, -4.0)):
            radius = draw(1.0, 2.2)
            place = x + draw(-1.2, 1.2), y + draw(-1.2, 1.2)
            self._paint(draw(20, 60), self._ellipse(*place, radius, radius * draw(0.7, 1.4)) * self.cavity)
            gas = radius * draw(-0.5, 0.7).clip(0.02)
            self._paint(
                -850, self._ellipse(place[0], place[1] - 0.3 * radius, gas, gas, 0, 0.3) * self.cavity
            )

    def _paint_stomach(self, draw) -> None:
        x, y, rx, ry = 5.5 + draw(-1.5, 1.5), -5.0 + draw(-1, 1), draw(3.0, 4.8), draw(2.2, 3.6)
        body = self._ellipse(x, y, rx, ry, draw(-0.3, 0.5), 0.06, self.outline) * self.cavity
        level = (y - ry * draw(0.0, 0.9))[:, None, None]  # gas floats above fluid
        self._paint(draw(10, 45), body)
        self._paint(-900, body * (self.y < level) * self._ellipse(x, y, rx - 0.4, ry - 0.4))

    def _paint_organs(self, draw) -> None:
        self.liver = self._liver_shape(draw)
        liver = draw(85, 125)
        self._paint(liver, self.liver)
        vessels = inside(np.abs(self.detail) / 0.14, 0.9) * self.liver
        self._paint(liver + draw(0, 35), vessels)
        self._paint(5, self._ellipse(-5.0 + draw(-1, 1), -4.0 + draw(-1, 1), draw(0.6, 1.9), draw(1.0, 2.2)))
        spleen = self._ellipse(11.2, 3.5 + draw(-1, 1), draw(2.2, 3.2), draw(3.6, 5.2), draw(-0.5, 0.0))
        self._paint(draw(95, 135), spleen * self.cavity)
        enhanced = draw(130, 200)
        for side in (-1, 1):
            x, y = side * draw(6.0, 7.2), draw(4.8, 6.4)
            self._paint(enhanced, self._ellipse(x, y, draw(1.9, 2.6), draw(2.6, 3.4), side * 0.5))
            self._paint(-30, self._ellipse(x - side * 0.9, y - 0.3, 1.0, 1.1, 0, 0.4))
        self._paint(enhanced + 10, self._ellipse(1.2, 3.6, draw(0.9, 1.3), draw(0.9, 1.3)))
        self._paint(enhanced - 30, self._ellipse(-2.4, 3.2, draw(1.0, 1.6), draw(0.7, 1.2)))

    def _liver_shape(self, draw) -> np.ndarray:
        """Right and left lobe, on the left of the image, within the cavity."""
        self.liver_x, self.liver_y = draw(-8.6, -7.4), draw(-1.8, -0.2)
        right = (self.liver_x, self.liver_y, draw(6.0, 7.4), draw(6.6, 8.2), draw(-0.2, 0.2))
        left = (draw(-2.2, -0.8), draw(-6.4, -5.4), draw(4.2, 6.2), draw(2.2, 3.2), draw(-0.25, 0.05))
        lobes = [self._ellipse(*lobe, 0.05, self.outline) for lobe in (right, left)]
        return np.maximum(*lobes) * self.cavity

    def _paint_bones(self, draw, cavity, back) -> None:
        y, marrow = back - draw(4.6, 5.2), draw(150, 260)
        self._paint(500, self._ellipse(0, y + 3.4, 0.7, 1.6))
        self._paint(450, self._ellipse(0, y + 2.6, 3.6, 0.7))
        self._paint(480, self._ellipse(0, y, 2.5, 1.9))
        self._paint(marrow, self._ellipse(0, y, 2.1, 1.5))
        self._paint(30, self._ellipse(0, y + 2.4, 0.9, 0.8))
        for angle in np.arange(-0.9, 0.95, 0.45):
            turned = angle + 0.12 * draw(-1, 1)
            for side in (-1, 1):
                x, y = side * (cavity[0] - 0.9) * np.cos(turned), (cavity[1] - 0.9) * np.sin(turned)
                self._paint(420, self._ellipse(x, y, 0.45, 0.95, side * turned, 0.3))

    def paint_lesions(self, difficulty: float) -> None:
        """Paint hypodense lesions where the label is 1, mixed with the liver.

        Difficulty lowers contrast (1 - 0.97 d^2.5), size (2.8 to 0.7 times) and number (of three).
        """
        draw = self.cases.lesion_value
        share = self.cases.labels * draw(0.75, 1.0) * (1 - 0.97 * difficulty**2.5)
        value, scale = draw(10, 40), 2.8 - 2.1 * difficulty**0.9
        edge = 0.35 * self.cases.lesion_field(self.side, 0.05)
        for fewest in (0.0, 0.6, 0.9):
            present = draw(0, 1) >= fewest * min(1.0, 2 * difficulty)
            x, y = self.liver_x + draw(-3.0, 4.0), self.liver_y + draw(-3.5, 4.0)
            radii = scale * draw(0.9, 2.0), scale * draw(0.9, 2.0)
            lesion = self._ellipse(x, y, *radii, draw(0, 3), 0.2, edge) * self.liver
            self._paint(value, (share * present)[:, None, None] * lesion)
