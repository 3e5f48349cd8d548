"""Radiographs: exposure varies, the projection does not.

No vertical flip and little rotation: patients stand upright.
No colour: detectors count photons in one channel.
Gamma and contrast imitate exposure and display curves; additive noise imitates the photon count.
The left-right flip is kept for pretraining although it mirrors the heart: it must not carry the label.
"""

from medssl.augmentation._batched import Policy

__all__ = ["FINE_TUNE", "PRETRAIN"]

PRETRAIN = Policy(
    crop_scale=0.6, rotation_degrees=10, horizontal_flip=0.5, contrast=0.4, brightness=0.2, gamma=0.4,
    noise=0.05, blur=0.5,
)  # fmt: skip
FINE_TUNE = Policy(crop_scale=0.9, rotation_degrees=5, contrast=0.1, brightness=0.05)
