"""Self-supervised methods: one file a method, named by the paper's word.

A method is a module that owns an encoder and returns a loss:
`method.loss(images, view, generator)`, where `view` maps images to one random view.
A method with a momentum teacher or a queue also has `method.after_step(step, steps)`, which the loop calls
after each step of the optimiser; what such a method keeps is in its state, so that a run resumes bit for bit.

The loss of a method that compares two views also takes `partner`, a batch of the images' shape: the second
view is then one of the partner, such as an adjacent slice or another image of the same patient.
A method whose class has `needs` takes what it names, such as `covariate`, and has no loss without it.
"""

from medssl.errors import UsageError
from medssl.ssl.barlow_twins import BarlowTwins
from medssl.ssl.brain_aware_replacement import BrainAwareReplacement
from medssl.ssl.byol import BYOL
from medssl.ssl.context_restoration import ContextRestoration
from medssl.ssl.denoising import Denoising
from medssl.ssl.dino import DINO
from medssl.ssl.dira import DiRA
from medssl.ssl.inpainting import Inpainting
from medssl.ssl.jigsaw import Jigsaw
from medssl.ssl.masked_autoencoder import MaskedAutoencoder
from medssl.ssl.moco import MoCo
from medssl.ssl.moco_v3 import MoCoV3
from medssl.ssl.models_genesis import ModelsGenesis
from medssl.ssl.pirl import PIRL
from medssl.ssl.popar import POPAR
from medssl.ssl.relative_position import RelativePosition
from medssl.ssl.rotation import Rotation
from medssl.ssl.rubiks_cube import RubiksCube
from medssl.ssl.simclr import SimCLR
from medssl.ssl.simmim import SimMIM
from medssl.ssl.simsiam import SimSiam
from medssl.ssl.smit import SMIT
from medssl.ssl.swav import SwAV
from medssl.ssl.vicreg import VICReg
from medssl.ssl.y_aware import YAware

__all__ = [
    "BYOL",
    "DINO",
    "METHODS",
    "PIRL",
    "POPAR",
    "SMIT",
    "BarlowTwins",
    "BrainAwareReplacement",
    "ContextRestoration",
    "Denoising",
    "DiRA",
    "Inpainting",
    "Jigsaw",
    "MaskedAutoencoder",
    "MoCo",
    "MoCoV3",
    "ModelsGenesis",
    "RelativePosition",
    "Rotation",
    "RubiksCube",
    "SimCLR",
    "SimMIM",
    "SimSiam",
    "SwAV",
    "VICReg",
    "YAware",
    "build",
]

METHODS = {
    "simclr": SimCLR,
    "masked_autoencoder": MaskedAutoencoder,
    "byol": BYOL,
    "simsiam": SimSiam,
    "barlow_twins": BarlowTwins,
    "vicreg": VICReg,
    "moco": MoCo,
    "swav": SwAV,
    "dino": DINO,
    "simmim": SimMIM,
    "inpainting": Inpainting,
    "context_restoration": ContextRestoration,
    "models_genesis": ModelsGenesis,
    "denoising": Denoising,
    "rotation": Rotation,
    "relative_position": RelativePosition,
    "jigsaw": Jigsaw,
    "dira": DiRA,
    "popar": POPAR,
    "smit": SMIT,
    "brain_aware_replacement": BrainAwareReplacement,
    "moco_v3": MoCoV3,
    "pirl": PIRL,
    "rubiks_cube": RubiksCube,
    "y_aware": YAware,
}


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
