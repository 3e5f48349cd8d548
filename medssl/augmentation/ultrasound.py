"""Ultrasound: the beam comes from above, so depth has a meaning and rotation does not.

Depth gain imitates time-gain compensation; speckle is multiplicative.
A crop begins where the probe is, so that depth keeps its origin; bone and gas cast shadows.
Rotation stays within the tilt of a probe, and there is no vertical flip: shadows fall downwards.
"""

from medssl.augmentation._batched import Policy

__all__ = ["FINE_TUNE", "PRETRAIN"]

PRETRAIN = Policy(
    crop_scale=0.6, rotation_degrees=5, horizontal_flip=0.5, contrast=0.3, brightness=0.1, gamma=0.3,
    depth_gain=0.3, speckle=0.15, blur=0.5, keep_top=True, shadow=0.5,
)  # fmt: skip
FINE_TUNE = Policy(crop_scale=0.9, horizontal_flip=0.5, contrast=0.1, depth_gain=0.1, keep_top=True)
