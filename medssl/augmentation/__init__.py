"""Batched augmentation on the device, one file a modality with the reason for its policy."""

from medssl.augmentation import ct, mri, ultrasound, xray
from medssl.augmentation._batched import Policy, augment
from medssl.errors import UsageError

__all__ = ["Policy", "augment", "policy_for"]

_POLICIES = {
    (name, purpose): getattr(module, purpose.upper())
    for name, module in {"xray": xray, "ct": ct, "mri": mri, "ultrasound": ultrasound}.items()
    for purpose in ("pretrain", "fine_tune")
}


def policy_for(modality: str, purpose: str) -> Policy:
    """Return the augmentation policy of a modality.

    Parameters
    ----------
    modality : str
        "xray", "ct", "mri" or "ultrasound".
    purpose : str
        "pretrain" (strong, two views must differ) or "fine_tune" (mild, the label must survive).

    Raises
    ------
    UsageError
        No such modality or purpose.

    Examples
    --------
    >>> policy_for("ct", "pretrain").horizontal_flip
    0.0
    """
    if (modality, purpose) not in _POLICIES:
        known = ", ".join("/".join(key) for key in _POLICIES)
        raise UsageError(f"no augmentation policy for {modality}/{purpose}: choose one of {known}.")
    return _POLICIES[modality, purpose]
