"""CT: values are Hounsfield units behind a display window, so the window is what varies.

Contrast and brightness are the width and level of that window.
No flip: the liver is on one side, and the side names some organs.
Gamma is off, because the scale of attenuation is linear.
"""

from medssl.augmentation._batched import Policy

__all__ = ["FINE_TUNE", "PRETRAIN"]

PRETRAIN = Policy(crop_scale=0.6, rotation_degrees=15, contrast=0.4, brightness=0.2, noise=0.05, blur=0.5)
FINE_TUNE = Policy(crop_scale=0.9, rotation_degrees=5, contrast=0.1, brightness=0.05)
