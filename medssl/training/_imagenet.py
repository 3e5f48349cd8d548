"""Weights from ImageNet, where they are on this machine, by the names of our residual networks.

MONAI names the layers of its residual networks as torchvision and timm do, with two differences: the
classifier, which an encoder has not, and the bias of the shortcuts, which only MONAI has.
"""

import importlib
from pathlib import Path

import torch

from medssl import encoders
from medssl.errors import DataError, UsageError
from medssl.training._weights import read_weights

__all__ = ["imagenet"]

_ARCHITECTURES = {
    "resnet18": "resnet18",
    "resnet50": "resnet50",
    "resnet18_large_stem": "resnet18",
    "resnet50_large_stem": "resnet50",
}


def imagenet(
    encoder_name: str, *, file: str | Path | None = None, download: bool = False
) -> dict[str, torch.Tensor]:
    """Return weights from ImageNet by the names of a residual network of `medssl.encoders`.

    The classifier is left out, and the bias of the shortcuts, which torchvision and timm lack, is zero, so
    that the network computes the same.
    The first convolution is as it was published, 7 x 7 for three channels: `initialise` with `grey="sum"`
    loads everything into "resnet18_large_stem" and "resnet50_large_stem"; the small stem of "resnet18" and
    "resnet50" has another shape and stays random, which needs `strict=False`.

    Parameters
    ----------
    encoder_name : str
        "resnet18", "resnet50", "resnet18_large_stem" or "resnet50_large_stem".
    file : path, optional
        Weights in the names of torchvision or timm. By default they are looked for in the folder where torch
        keeps downloads, and then with timm, which is no dependency, among what it has downloaded.
        MONAI itself has no such weights for 2-D residual networks.
    download : bool
        Whether timm may fetch what is not on this machine.

    Returns
    -------
    dict
        A state dict for `initialise`.

    Raises
    ------
    UsageError
        There are no such weights for this encoder, they are not on this machine, or several files hold some.
    DataError
        The file cannot be read or holds the weights of another network.

    Examples
    --------
    >>> imagenet("vit_tiny")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    medssl.errors.UsageError: no weights from ImageNet for encoder 'vit_tiny': choose one of ...
    """
    if encoder_name not in _ARCHITECTURES:
        raise UsageError(
            f"no weights from ImageNet for encoder {encoder_name!r}: "
            f"choose one of {', '.join(_ARCHITECTURES)}."
        )
    published = _find(_ARCHITECTURES[encoder_name], download) if file is None else read_weights(file)
    state = _named(published)
    _check(state, encoder_name, file or "the weights that were found")
    return state


def _find(architecture, download) -> dict[str, torch.Tensor]:
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    patterns = (f"{architecture}-????????.pth", f"{architecture}_a?_0-????????.pth")  # torchvision, timm
    files = sorted(file for pattern in patterns for file in folder.glob(pattern))
    if len(files) > 1:
        names = ", ".join(file.name for file in files)
        raise UsageError(f"{folder}: several files fit, {names}. Choose one with file=.")
    if files:
        return read_weights(files[0])
    try:
        return _from_timm(architecture, download)
    except Exception as error:  # timm imports torchvision, which fails in many ways, and may use the network
        raise UsageError(
            f"no weights from ImageNet for {architecture} on this machine. "
            f"Tried: {' and '.join(patterns)} in {folder} (none there); "
            f"timm ({type(error).__name__}: {error}). "
            "Put the weights of torchvision there, name a file with file=, "
            "or install timm (pip install timm) and pass download=True."
        ) from error


def _from_timm(architecture, download) -> dict[str, torch.Tensor]:
    timm = importlib.import_module("timm")
    if download:
        return timm.create_model(architecture, pretrained=True).state_dict()
    hub = importlib.import_module("huggingface_hub")
    source = timm.get_pretrained_cfg(architecture).hf_hub_id
    file = hub.try_to_load_from_cache(source, "model.safetensors")
    if not isinstance(file, str):  # None, or a mark that there is no such file
        raise FileNotFoundError(f"it has not downloaded {source}")
    return timm.models.load_state_dict(file)


def _named(published) -> dict[str, torch.Tensor]:
    """Return the weights by the names of the encoder."""
    state = {f"network.{key}": value for key, value in published.items() if not key.startswith("fc.")}
    kernels = {key: value for key, value in state.items() if key.endswith(".downsample.0.weight")}
    biases = {key.replace(".weight", ".bias"): value.new_zeros(len(value)) for key, value in kernels.items()}
    return state | biases


def _check(state, encoder_name, source) -> None:
    """Raise when names or shapes, but for the first convolution, are not those of the encoder."""
    with torch.device("meta"):  # no memory, and no numbers from the generator that seeds weights
        own = encoders.build(encoder_name).state_dict()
    first = "network.conv1.weight"
    wrong = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    wrong += [key for key in state if key not in own or (key != first and state[key].shape != own[key].shape)]
    if wrong:
        raise DataError(
            f"{source}: not the weights of {_ARCHITECTURES[encoder_name]}, for {len(wrong)} names or shapes "
            f"differ, such as {wrong[0]}. Name another file."
        )
