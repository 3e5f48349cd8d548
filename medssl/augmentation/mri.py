"""MRI: intensity has no unit, the receiver coil shades the image, and noise is Rician.

The bias field and gamma act together on the arbitrary scale.
Motion between the lines of the measurement leaves ghosts along the direction of phase encoding.
The head is nearly symmetric, so the left-right flip keeps the label of a lesion.
"""

from medssl.augmentation._batched import Policy

__all__ = ["FINE_TUNE", "PRETRAIN"]

PRETRAIN = Policy(
    crop_scale=0.6, rotation_degrees=15, horizontal_flip=0.5, contrast=0.3, gamma=0.4, bias_field=0.4,
    rician=0.06, blur=0.5, ghosting=0.15,
)  # fmt: skip
FINE_TUNE = Policy(crop_scale=0.9, rotation_degrees=5, bias_field=0.1, contrast=0.1)
