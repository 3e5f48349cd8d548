"""Generated breast ultrasound: scatterers, pulse, envelope, log compression and a sector, with a mass.

Echoes are formed along beams that fan out from a curved probe, and are converted to the picture last.
Lengths are in cm; x points to the right and y into the body, both from the centre of the probe's arc.
"""

from functools import cache

import numpy as np
from scipy import fft, sparse

from medssl.data._dataset import ImageDataset
from medssl.data._phantom import Cases, generate
from medssl.data._shapes import ellipse_level, inside, oversampling, pixel_axis, to_uint8

__all__ = ["compressed", "envelope", "phantom_ultrasound", "pulse", "scan_converter"]

CLASSES = ("benign", "malignant")
BEAMS, SAMPLES = 64, 512
PROBE, DEPTH, HALF_ANGLE = 3.0, 6.0, 0.52  # cm, cm, radians
CARRIER = 0.25  # cycles a sample: four samples in each period of the echo
PULSE_WIDTH = 4.0  # standard deviation of the pulse's Gaussian envelope in samples


def phantom_ultrasound(
    split: str = "train",
    *,
    n: int = 1000,
    size: int = 28,
    seed: int = 0,
    difficulty: float = 0.5,
    prevalence: float = 0.5,
) -> ImageDataset:
    """Generate breast ultrasound; label 1 is a hypoechoic, shadowing, irregular mass.

    Label 0 is normal tissue or, as often, a simple cyst: dark and smooth, with enhancement behind it.

    Parameters
    ----------
    split : str
        "train", "val" or "test"; splits share no patient.
    n : int
        Number of images; the first images are the same whatever `n` is.
    size : int
        Side in pixels, 16 to 128; the sector is always 6 cm deep.
    seed : int
        Images are a function of seed, split and index.
    difficulty : float
        0: large masses with dense shadows; 1: neither masses nor cysts can be told from tissue.
    prevalence : float
        Probability that a patient has a malignant mass.

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
    Random scatterers, scaled by the tissue's echogenicity and by the attenuation on the way there and back,
    are convolved with a point-spread function (a Gaussian pulse along the beam, a Gaussian across it that
    widens with depth); the envelope is the magnitude of the analytic signal (Hilbert transform).
    Layers, gain, attenuation, dynamic range and poor contact vary independently of the label.

    Examples
    --------
    >>> phantom_ultrasound("val", n=2, size=28).classes
    ('benign', 'malignant')
    """
    return generate(
        "ultrasound",
        CLASSES,
        _render,
        split=split,
        n=n,
        size=size,
        seed=seed,
        difficulty=difficulty,
        prevalence=prevalence,
    )


def pulse(count: int, width: float = PULSE_WIDTH) -> np.ndarray:
    """Return the transmitted pulse, a Gaussian-modulated carrier of unit energy, shape [count].

    Parameters
    ----------
    count : int
        Samples; the pulse is centred on sample 0 and wraps around, as a circular convolution needs.
    width : float
        Standard deviation of the envelope in samples.
    """
    lag = fft.fftfreq(count, 1 / count)
    shape = np.exp(-0.5 * (lag / width) ** 2) * np.cos(2 * np.pi * CARRIER * lag)
    return (shape / np.linalg.norm(shape)).astype(np.float32)


def envelope(echoes: np.ndarray) -> np.ndarray:
    """Return the magnitude of the analytic signal along the last axis.

    The analytic signal keeps positive frequencies twice and drops negative ones (Hilbert transform).
    """
    count = echoes.shape[-1]
    spectrum = fft.fft(echoes, axis=-1)
    spectrum[..., 1 : (count + 1) // 2] *= 2
    spectrum[..., count // 2 + 1 :] = 0
    return np.abs(fft.ifft(spectrum, axis=-1))


def compressed(amplitude: np.ndarray, dynamic_range, reference) -> np.ndarray:
    """Compress amplitudes to 0..1: `reference` becomes 1, `dynamic_range` decibels below it becomes 0.

    Examples
    --------
    >>> compressed(np.array([1.0, 0.1, 1e-9]), 40.0, 1.0).tolist()
    [1.0, 0.5, 0.0]
    """
    decibels = 20 * np.log10(np.maximum(amplitude / reference, 1e-12))
    return np.clip(1 + decibels / dynamic_range, 0, 1)


@cache
def scan_converter(size: int) -> sparse.csr_array:
    """Return the matrix from beams to picture, shape [size * size, BEAMS * SAMPLES].

    Each pixel is the mean of bilinear interpolations at its fine samples; outside the sector it is 0.
    """
    factor = oversampling(size)
    x, y = _picture_grid(size * factor)
    beam = (np.arctan2(x, y) / HALF_ANGLE + 1) * (BEAMS - 1) / 2
    sample = (np.hypot(x, y) - PROBE) / DEPTH * (SAMPLES - 1)
    known = (beam >= 0) & (beam < BEAMS - 1) & (sample >= 0) & (sample < SAMPLES - 1)
    row, column = np.nonzero(known)
    pixel, shape = (row // factor) * size + column // factor, (size * size, BEAMS * SAMPLES)
    matrix = sparse.csr_array(shape, dtype=np.float32)
    for right in (0, 1):
        for deeper in (0, 1):
            share = _linear(beam[known], right) * _linear(sample[known], deeper) / factor**2
            place = (np.floor(beam[known]) + right) * SAMPLES + np.floor(sample[known]) + deeper
            entries = share.astype(np.float32), (pixel, place.astype(np.int64))
            matrix = matrix + sparse.csr_array(entries, shape=shape)
    return matrix


def _picture_grid(side: int) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates of a square that holds the sector, from the centre of the probe's arc."""
    half = (PROBE + DEPTH) * np.sin(HALF_ANGLE) + 0.05
    axis = pixel_axis(side, half)
    middle = PROBE + DEPTH / 2 - 0.2
    return np.meshgrid(axis, axis + middle)


def _linear(position: np.ndarray, upper: int) -> np.ndarray:
    fraction = position - np.floor(position)
    return fraction if upper else 1 - fraction


def _render(cases: Cases, size: int, difficulty: float) -> np.ndarray:
    breast = _Breast(cases)
    breast.lay_tissue()
    breast.add_cyst_or_mass(difficulty)
    contact = breast.contact()
    gain, dynamic_range = cases.image_value(-7, 4), cases.image_value(46, 64)
    amplitude = 10 ** ((breast.echo + breast.loss() + contact) / 20)
    echoes = _blurred(amplitude * cases.imaging.standard_normal(amplitude.shape, dtype=np.float32))
    noise = 10 ** (-46 / 20) * cases.imaging.standard_normal(amplitude.shape, dtype=np.float32)
    reference = 10 ** ((14 - gain) / 20)[:, None, None]
    shown = compressed(envelope(echoes + noise), dynamic_range[:, None, None], reference)
    picture = scan_converter(size) @ shown.reshape(len(cases), -1).T
    return to_uint8(picture.T.reshape(len(cases), size, size))


@cache
def _transfer_functions() -> tuple[np.ndarray, np.ndarray]:
    """Spectra of the lateral blur at each depth and of the pulse, [BEAMS, SAMPLES] and [SAMPLES / 2 + 1]."""
    width = 0.6 + 1.1 * np.arange(SAMPLES) / SAMPLES  # standard deviation in beams
    frequency = fft.rfftfreq(BEAMS)[:, None]
    lateral = np.exp(-0.5 * (2 * np.pi * frequency * width) ** 2) * np.sqrt(2 * np.sqrt(np.pi) * width)
    return lateral.astype(np.float32), fft.rfft(pulse(SAMPLES)).astype(np.complex64)


def _blurred(scatterers: np.ndarray) -> np.ndarray:
    """Convolve with the point-spread function, which keeps the variance of white scatterers."""
    lateral, axial = _transfer_functions()
    across = fft.irfft(fft.rfft(scatterers, axis=1) * lateral, BEAMS, axis=1)
    return fft.irfft(fft.rfft(across, axis=2) * axial, SAMPLES, axis=2)


class _Breast:
    """Echogenicity in dB and attenuation in dB per cm of depth (there and back) of one chunk.

    Both lie on beams: [count, BEAMS, SAMPLES].
    """

    def __init__(self, cases: Cases):
        self.cases = cases
        angle = np.linspace(-HALF_ANGLE, HALF_ANGLE, BEAMS, dtype=np.float32)[:, None]
        self.depth = np.linspace(0, DEPTH, SAMPLES, dtype=np.float32)[None, None, :]
        radius = PROBE + self.depth[0]
        self.x, self.y = (radius * np.sin(angle))[None], (radius * np.cos(angle))[None]
        self.echo = np.zeros((len(cases), BEAMS, SAMPLES), np.float32)
        self.attenuation = np.zeros_like(self.echo)

    def _texture(self, length: float) -> np.ndarray:
        """Smooth field on the beams: drawn at 64 x 64 and stretched along the depth."""
        return np.repeat(self.cases.patient_field(BEAMS, length), SAMPLES // BEAMS, axis=2)

    def lay_tissue(self) -> None:
        """Lay skin, fat, gland, muscle and chest wall over one another with undulating borders."""
        draw = self.cases.patient_value
        waves = 0.2 * self.cases.patient_field(BEAMS, 0.25)
        skin, fat = draw(0.12, 0.25), draw(0.5, 1.5)
        gland = fat + draw(1.5, 2.6)
        muscle = gland + draw(0.8, 1.4)
        septa = 9.0 * (1 - np.abs(self._texture(0.09)).clip(0, 1)) ** 4
        lobules = 3.0 * self._texture(0.2)
        self.echo += 6.0
        self._lay(skin, draw(-16, -10), 0.0, septa, bright=0.0)
        self._lay(fat, draw(-4, 2), waves[:, :, 20:21], lobules, bright=0.0)
        self._lay(gland, draw(-15, -9), waves[:, :, 40:41], septa, bright=9.0)
        self._lay(muscle, draw(-8, -2), waves[:, :, 60:61], 0.0, bright=9.0)
        self.attenuation += (draw(3.5, 6.5) + self.cases.image_value(-0.5, 0.5))[:, None, None]

    def _lay(self, border, level, wave, texture, bright: float) -> None:
        """Replace all that lies below a border; `bright` dB more on the border itself (fascia)."""
        beyond = self.depth - border[:, None, None] - wave  # cm below the border
        below = np.clip(beyond / 0.08 + 0.5, 0, 1)
        self.echo += below * (level[:, None, None] + texture - self.echo)
        if bright:
            self.echo += bright * np.exp(-0.5 * (beyond / 0.06) ** 2)

    def contact(self) -> np.ndarray:
        """Return the loss in dB of beams with poor contact: shadows that mean nothing."""
        draw = self.cases.image_value
        angle = np.linspace(-1, 1, BEAMS, dtype=np.float32)[None, :, None]
        place, width, loss = (
            value[:, None, None] for value in (draw(-1.3, 1.3), draw(0.06, 0.3), draw(-12, 14).clip(0))
        )
        return -loss * np.exp(-0.5 * ((angle - place) / width) ** 2) * np.minimum(self.depth / 1.5, 1)

    def loss(self) -> np.ndarray:
        """Return attenuation to each depth and back in dB, after time-gain compensation.

        The compensation assumes a fixed coefficient; what it leaves is darkening, shadow or enhancement.
        """
        step = DEPTH / SAMPLES
        assumed = 5.0 + self.cases.image_value(-1.0, 1.0)[:, None, None]
        return -np.cumsum(self.attenuation - assumed, axis=2) * step

    def add_cyst_or_mass(self, difficulty: float) -> None:
        """Add a malignant mass where the label is 1 and a cyst to half of the others.

        Difficulty lowers the contrast of both (1 - 0.97 d^2) and their size (2.6 to 0.7 times).
        """
        cases, draw = self.cases, self.cases.lesion_value
        visible = draw(0.75, 1.0) * (1 - 0.97 * difficulty**2)
        malignant = cases.labels == 1
        cyst = ~malignant & (draw(0, 1) < 0.5)
        scale = 2.6 - 1.9 * difficulty**0.4
        radius, angle, depth = scale * draw(0.45, 0.85), draw(-0.3, 0.3), PROBE + draw(1.4, 3.2)
        tall = np.where(malignant, draw(0.8, 1.4), draw(0.6, 1.0))
        border = np.where(malignant, 0.7, 0.05)[:, None, None] * self._lesion_texture()
        place = depth * np.sin(angle), depth * np.cos(angle), radius / np.sqrt(tall), radius * np.sqrt(tall)
        body = inside(ellipse_level(self.x, self.y, *place) * np.exp(border), 0.2)
        darker = np.where(malignant, draw(9, 15), draw(24, 32)) * visible * (malignant | cyst)
        denser = np.where(malignant, draw(5, 10), -draw(2.5, 4.0)) * visible * (malignant | cyst)
        self.echo -= darker[:, None, None] * body
        self.attenuation += denser[:, None, None] * body

    def _lesion_texture(self) -> np.ndarray:
        return np.repeat(self.cases.lesion_field(BEAMS, 0.06), SAMPLES // BEAMS, axis=2)
