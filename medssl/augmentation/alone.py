"""The parts of a policy, one at a time."""

from dataclasses import fields

from medssl.augmentation._batched import Policy

__all__ = ["alone"]


def alone(policy: Policy) -> dict[str, Policy]:
    """Return a policy for each transform that is on, with that transform only.

    Parameters
    ----------
    policy : Policy

    Returns
    -------
    dict of str to Policy
        By the name of the field, in its order; `keep_top` says where a crop lies and goes with the crop.

    Examples
    --------
    >>> parts = alone(Policy(crop_scale=0.5, noise=0.1, keep_top=True))
    >>> parts["noise"] == Policy(noise=0.1), parts["crop_scale"] == Policy(crop_scale=0.5, keep_top=True)
    (True, True)
    """
    off = Policy()
    names = [field.name for field in fields(Policy) if field.name != "keep_top"]
    on = [name for name in names if getattr(policy, name) != getattr(off, name)]
    return {name: Policy(**{name: getattr(policy, name)}, **_place(policy, name)) for name in on}


def _place(policy, name):
    return {"keep_top": policy.keep_top} if name in ("crop_scale", "shift") else {}
