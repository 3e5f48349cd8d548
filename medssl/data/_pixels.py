"""One grey square of uint8 from a PNG, JPEG, DICOM or NIfTI file."""

from pathlib import Path

import numpy as np
from PIL import Image

from medssl.errors import DataError

__all__ = ["SUFFIXES", "dicom_modality", "read_grey"]

SUFFIXES = (".png", ".jpg", ".jpeg", ".dcm", ".nii", ".nii.gz")
_MODALITY_OF_DICOM = {"CR": "xray", "DX": "xray", "CT": "ct", "MR": "mri", "US": "ultrasound"}


def read_grey(file: Path, size: int) -> np.ndarray:
    """Return the centre square of one image, resized by area to [size, size] uint8.

    A NIfTI volume and a DICOM file with several frames give their middle slice.

    Parameters
    ----------
    file : Path
        A file whose name ends in one of `SUFFIXES`.
    size : int
        Side in pixels.

    Returns
    -------
    ndarray of uint8
        Shape [size, size].

    Raises
    ------
    DataError
        The file cannot be read.

    Notes
    -----
    Eight-bit files keep their values; others are stretched from their 0.5th to 99.5th percentile, after the
    window that a DICOM file names.
    """
    try:
        grey = _reader(file)(file)  # [height, width]
    except Exception as error:  # three libraries, each with its own exceptions
        raise DataError(f"{file}: cannot be read as an image ({type(error).__name__}: {error}).") from error
    if grey.ndim != 2 or not grey.size:
        raise DataError(f"{file}: has shape {grey.shape}, expected one grey image.")
    square = Image.fromarray(_centre_square(_stretched(grey)))
    shrinks = square.width >= size
    kind = Image.Resampling.BOX if shrinks else Image.Resampling.BILINEAR
    return np.asarray(square.resize((size, size), kind))


def dicom_modality(file: Path) -> str | None:
    """Return "xray", "ct", "mri" or "ultrasound" from a DICOM file, None for another file or modality."""
    if not file.name.lower().endswith(".dcm"):
        return None
    import pydicom

    header = pydicom.dcmread(file, stop_before_pixels=True)
    return _MODALITY_OF_DICOM.get(header.get("Modality"))


def _reader(file: Path):
    name = file.name.lower()
    if name.endswith(".dcm"):
        return _dicom
    return _nifti if name.endswith((".nii", ".nii.gz")) else _picture


def _picture(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        # Sixteen-bit files would be clipped, not scaled, by a conversion to "L".
        return np.asarray(image if image.mode.startswith(("I", "F")) else image.convert("L"))


def _dicom(file: Path) -> np.ndarray:
    import pydicom
    from pydicom.pixels import apply_modality_lut, apply_voi_lut

    dataset = pydicom.dcmread(file)
    pixels = dataset.pixel_array
    if dataset.get("SamplesPerPixel", 1) == 3:
        pixels = pixels.mean(axis=-1)
    if dataset.get("NumberOfFrames", 1) > 1:
        pixels = pixels[len(pixels) // 2]
    grey = apply_voi_lut(apply_modality_lut(pixels, dataset), dataset).astype(np.float64)
    return grey.max() - grey if dataset.PhotometricInterpretation == "MONOCHROME1" else grey


def _nifti(file: Path) -> np.ndarray:
    import nibabel

    volume = np.squeeze(np.asanyarray(nibabel.load(file).dataobj))
    middle = volume[..., volume.shape[-1] // 2] if volume.ndim == 3 else volume
    return middle.T  # the first NIfTI axis runs from left to right


def _stretched(grey: np.ndarray) -> np.ndarray:
    if grey.dtype == np.uint8:
        return grey
    low, high = np.percentile(grey, [0.5, 99.5])
    if high <= low:
        return np.zeros(grey.shape, dtype=np.uint8)
    return np.clip((grey - low) / (high - low) * 255, 0, 255).round().astype(np.uint8)


def _centre_square(grey: np.ndarray) -> np.ndarray:
    height, width = grey.shape
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    return grey[top : top + side, left : left + side]
