"""Batch-normalisation statistics of the images that an encoder will really see."""

import torch
from torch import nn

__all__ = ["calibrate_normalisation"]


@torch.no_grad()
def calibrate_normalisation(encoder: nn.Module, images: torch.Tensor, standardise, batch_size: int = 256):
    """Replace running statistics by the average over plain images; weights stay as they are.

    Pretraining sees crops or masked images, whose statistics are not those of whole images, and a
    random encoder has none at all; a frozen probe of either would measure that, not the features.
    Both arms of a comparison are treated alike.

    Parameters
    ----------
    encoder : torch.nn.Module
        Changed in place and left in evaluation mode.
    images : Tensor
        Plain images in 0..1, shape [n, 1, height, width], on the encoder's device.
    standardise : callable
        Maps them to the encoder's input.
    batch_size : int

    Examples
    --------
    >>> network = nn.BatchNorm2d(1)
    >>> calibrate_normalisation(network, torch.full((4, 1, 2, 2), 0.5), lambda x: x)
    >>> network.running_mean.tolist()
    [0.5]
    """
    layers = [layer for layer in encoder.modules() if isinstance(layer, nn.modules.batchnorm._BatchNorm)]
    usual = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # torch's word for the plain average over batches
    encoder.train()
    for part in images.split(batch_size):
        if len(part) > 1:
            encoder(standardise(part))
    for layer, momentum in zip(layers, usual, strict=True):
        layer.momentum = momentum
    encoder.eval()
