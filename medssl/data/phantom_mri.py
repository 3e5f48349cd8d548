"""Generated brain slices: T2-weighted spin echo from tissue relaxation times, with or without a tumour.

Axial slices with a field of view of 21 cm; x points to the right of the image, y to the back of the head.
"""

import numpy as np

from medssl.data._dataset import ImageDataset
from medssl.data._phantom import Cases, generate
from medssl.data._shapes import (
    area_mean,
    ellipse_level,
    inside,
    oversampling,
    pixel_axis,
    to_uint8,
    windowed,
)

__all__ = ["TISSUES", "magnitude", "phantom_mri", "spin_echo"]

CLASSES = ("normal", "tumour")
HALF_VIEW = 10.5  # cm
# T1 in ms, T2 in ms, proton density relative to water, at 1.5 T.
# The healthy tissues are those of Kwan, Evans and Pike (IEEE Trans Med Imaging 18:1085, 1999).
TISSUES = {
    "csf": (2569.0, 329.0, 1.0),
    "grey": (833.0, 83.0, 0.86),
    "white": (500.0, 70.0, 0.77),
    "fat": (350.0, 70.0, 1.0),
    "bone": (200.0, 5.0, 0.10),
    "tumour": (1200.0, 160.0, 0.95),
    "oedema": (1100.0, 135.0, 0.92),
    "scar": (750.0, 140.0, 0.80),  # the small bright spots of ageing white matter
}


def phantom_mri(
    split: str = "train",
    *,
    n: int = 1000,
    size: int = 28,
    seed: int = 0,
    difficulty: float = 0.5,
    prevalence: float = 0.5,
) -> ImageDataset:
    """Generate brain slices; label 1 has a tumour with oedema around it.

    Parameters
    ----------
    split : str
        "train", "val" or "test"; splits share no patient.
    n : int
        Number of images; the first images are the same whatever `n` is.
    size : int
        Side in pixels, 16 to 128; the field of view is always 21 cm.
    seed : int
        Images are a function of seed, split and index.
    difficulty : float
        0: large, obvious tumours; 1: next to no contrast.
    prevalence : float
        Probability that a patient has a tumour.

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
    Signal PD (1 - exp(-TR / T1)) exp(-TE / T2), times a smooth coil sensitivity; the image is the magnitude
    of that signal with complex Gaussian noise, so its noise is Rician (Gudbjartsson and Patz, Magn Reson
    Med 34:910, 1995).
    Head shape, atrophy, bright spots of age, TR, TE, coil and window vary independently of the label.

    Examples
    --------
    >>> phantom_mri("test", n=3, size=32).images.shape
    (3, 32, 32)
    """
    return generate(
        "mri",
        CLASSES,
        _render,
        split=split,
        n=n,
        size=size,
        seed=seed,
        difficulty=difficulty,
        prevalence=prevalence,
    )


def spin_echo(tissue: str, repetition_time, echo_time):
    """Return the spin-echo signal of a tissue.

    Parameters
    ----------
    tissue : str
        Key of `TISSUES`.
    repetition_time, echo_time : float or ndarray
        TR and TE in ms.

    Returns
    -------
    float or ndarray
        PD (1 - exp(-TR / T1)) exp(-TE / T2).

    Examples
    --------
    >>> round(float(spin_echo("csf", 1e9, 329.0)), 4)
    0.3679
    """
    t1, t2, density = TISSUES[tissue]
    return density * (1 - np.exp(-repetition_time / t1)) * np.exp(-echo_time / t2)


def magnitude(generator: np.random.Generator, signal: np.ndarray, sigma) -> np.ndarray:
    """Return the magnitude of a real signal with complex Gaussian noise (a Rician variable).

    Parameters
    ----------
    generator : Generator
        Source of the noise.
    signal : ndarray
        Noise-free signal.
    sigma : float or ndarray
        Standard deviation of the real and of the imaginary noise.
    """
    real, imaginary = generator.standard_normal((2, *signal.shape), dtype=np.float32)
    return np.hypot(signal + sigma * real, sigma * imaginary)


def _render(cases: Cases, size: int, difficulty: float) -> np.ndarray:
    factor = oversampling(size)
    repetition_time, echo_time = cases.image_value(2200, 4500), cases.image_value(75, 115)
    head = _Head(cases, size * factor, lambda tissue: spin_echo(tissue, repetition_time, echo_time))
    head.paint_healthy()
    head.paint_tumour(difficulty)
    signal = area_mean(head.signal, factor) * np.exp(0.22 * cases.image_field(size, 0.45))
    white = spin_echo("white", repetition_time, echo_time)
    noise = white * np.exp(cases.image_value(np.log(0.03), np.log(0.12)))
    ceiling = white * cases.image_value(2.1, 3.3)
    return to_uint8(windowed(magnitude(cases.imaging, signal, noise[:, None, None]), 0.0, ceiling))


class _Head:
    """The slices of one chunk, painted from the scalp inwards; each paint replaces what lies below."""

    def __init__(self, cases: Cases, side: int, signal_of):
        self.cases, self.side, self.signal_of = cases, side, signal_of
        self.x, self.y = self._coordinates()
        self.signal = np.zeros_like(self.x)
        self.white = np.zeros_like(self.x)  # membership of white matter, which oedema follows
        self.folds = cases.patient_field(side, 0.035)
        self.outline = 0.05 * cases.patient_field(side, 0.3)

    def _coordinates(self):
        cases, axis = self.cases, pixel_axis(self.side, HALF_VIEW)
        turn = cases.image_value(-0.2, 0.2)[:, None, None]
        build = cases.patient_value(0.9, 1.06)[:, None, None]
        x = (axis[None, None, :] - cases.image_value(-0.8, 0.8)[:, None, None]) / build
        y = (axis[None, :, None] - cases.image_value(-0.8, 0.8)[:, None, None]) / build
        return x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)

    def _paint(self, tissue: str, membership: np.ndarray) -> None:
        self.signal += membership * (self.signal_of(tissue)[:, None, None] - self.signal)
        self.white *= 1 - membership

    def _ellipse(self, x, y, radius_x, radius_y, angle=0.0, softness=0.1, warp=0.0):
        return inside(ellipse_level(self.x, self.y, x, y, radius_x, radius_y, angle) + warp, softness)

    def paint_healthy(self) -> None:
        """Paint scalp, skull, fluid, grey and white matter, deep grey nuclei and ventricles."""
        draw = self.cases.patient_value
        radius_x, radius_y, atrophy = draw(6.9, 7.7), draw(8.6, 9.4), draw(0.0, 1.0)
        skull, scalp = draw(0.45, 0.7), draw(0.3, 0.7)
        for tissue, inset in (("fat", 0.0), ("bone", scalp), ("csf", scalp + skull)):
            self._paint(
                tissue, self._ellipse(0, 0, radius_x - inset, radius_y - inset, 0, 0.03, self.outline)
            )
        inset = scalp + skull + 0.1 + 0.2 * atrophy
        level = ellipse_level(self.x, self.y, 0, 0, radius_x - inset, radius_y - inset) + self.outline
        self._paint_cortex(level, atrophy[:, None, None])
        self._paint_deep_grey(draw)
        self._paint_ventricles(draw, atrophy)
        self._paint_spots(draw)

    def _paint_cortex(self, level: np.ndarray, atrophy: np.ndarray) -> None:
        grey = inside(level, 0.04)
        depth = np.clip((np.sqrt(np.maximum(level, 0)) - 0.62) / 0.3, 0, 1)  # sulci reach 0.38 of the radius
        sulci = inside(np.abs(self.folds) / ((0.10 + 0.25 * atrophy) * depth + 1e-3), 0.8)
        fissure = (np.abs(self.x) < 0.10 + 0.15 * atrophy) & (np.abs(self.y) > 3.6)
        self._paint("grey", grey)
        self.brain = grey
        white = inside(1.35 * level + 0.16 * np.abs(self.folds) ** -0.5 - 0.12, 0.12)
        self._paint("white", white)
        self.white = white
        self._paint("csf", np.maximum(sulci, fissure) * grey * np.maximum(depth > 0, fissure))

    def _paint_deep_grey(self, draw) -> None:
        for side in (-1, 1):
            self._paint("grey", self._ellipse(side * draw(1.1, 1.4), 1.2, 0.95, 1.4, side * 0.35, 0.2))
            self._paint("grey", self._ellipse(side * draw(2.6, 2.9), -0.6, 0.55, 1.7, -side * 0.3, 0.25))

    def _paint_ventricles(self, draw, atrophy) -> None:
        width = draw(0.28, 0.5) * (1 + 1.2 * atrophy)
        for side in (-1, 1):
            self._paint("csf", self._ellipse(side * (0.35 + width), -2.4, width, 1.7, -side * 0.3, 0.25))
            self._paint("csf", self._ellipse(side * (1.5 + width), 3.4, width, 1.5, side * 0.45, 0.25))
        self._paint("csf", self._ellipse(0, 0.8, 0.5 * width, 1.2, 0, 0.3))

    def _paint_spots(self, draw) -> None:
        for _ in range(3):
            radius = draw(-0.5, 0.7).clip(0.02)
            spot = self._ellipse(draw(-4.0, 4.0), draw(-5.0, 5.0), radius, radius * draw(0.6, 1.6), 0, 0.6)
            self._paint("scar", spot * self.white)

    def paint_tumour(self, difficulty: float) -> None:
        """Paint tumour and oedema where the label is 1, mixed with the tissue below.

        Difficulty lowers the share of diseased tissue (1 - 0.97 d^1.5) and the size (3.6 to 0.7 times).
        """
        draw, scale = self.cases.lesion_value, 3.6 - 2.9 * difficulty**0.3
        share = self.cases.labels * draw(0.75, 1.0) * (1 - 0.97 * difficulty**1.5)
        away, around = draw(1.8, 4.6), draw(0, 2 * np.pi)
        x, y = away * np.cos(around), 1.25 * away * np.sin(around)
        radii, turn = (scale * draw(0.9, 1.7), scale * draw(0.9, 1.7)), draw(0, np.pi)
        level = ellipse_level(self.x, self.y, x, y, *radii, turn)
        level = level * np.exp(0.5 * self.cases.lesion_field(self.side, 0.08))
        oedema = inside(level / np.square(draw(1.3, 2.2))[:, None, None], 0.4) * self.white
        texture = 1 + 0.2 * self.cases.lesion_field(self.side, 0.04)
        share = share[:, None, None]
        self._paint("oedema", 0.8 * share * oedema)
        self._paint("tumour", np.clip(share * inside(level, 0.25) * self.brain * texture, 0, 1))
