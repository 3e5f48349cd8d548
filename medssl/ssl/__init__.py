"""Self-supervised methods: one file a method, named by the paper's word.

A method is a module that owns an encoder and returns a loss:
`method.loss(images, view, generator)`, where `view` maps images to one random view.
A method with a momentum teacher or a queue also has `method.after_step(step, steps)`, which the loop calls
after each step of the optimiser; what such a method keeps is in its state, so that a run resumes bit for bit.
"""

from medssl.errors import UsageError
from medssl.ssl.masked_autoencoder import MaskedAutoencoder
from medssl.ssl.simclr import SimCLR

__all__ = ["METHODS", "MaskedAutoencoder", "SimCLR", "build"]

METHODS = {"simclr": SimCLR, "masked_autoencoder": MaskedAutoencoder}


def build(name: str, encoder, **options):
    """Return the method `name` around `encoder`.

    Parameters
    ----------
    name : str
        A key of `METHODS`.
    encoder : torch.nn.Module
        See `medssl.encoders`.
    **options
        Fields of the method's configuration; an unknown one raises.

    Raises
    ------
    UsageError
        Unknown method or option.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> build("simclr", SmallCNN(), temperature=0.5).config.temperature
    0.5
    """
    if name not in METHODS:
        raise UsageError(f"unknown method {name!r}: choose one of {', '.join(METHODS)}.")
    method = METHODS[name]
    unknown = set(options) - set(method.Config.__dataclass_fields__)
    if unknown:
        known = ", ".join(method.Config.__dataclass_fields__)
        raise UsageError(f"{name} has no option {', '.join(sorted(unknown))}: its options are {known}.")
    return method(encoder, method.Config(**options))
