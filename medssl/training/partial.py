"""Partial fine-tuning: the last block of an encoder learns, everything before it stays as pretrained.

What is late is read from the encoder's own modules, which every encoder registers in the order in which
they run; modules without weights are passed over.
At each level the last module that has modules of its own is the last block; what follows it (a final
normalisation) is late as well.
A sequence of blocks, or the only module of a level, is opened and the rule applies inside it.
Where no module has modules of its own, the last layer with a matrix or kernel is the last block.
So `SmallCNN` trains its third residual block, and `ResNet18` the second block of its fourth stage.

Frozen parts stay in evaluation mode: neither their weights nor their running statistics change.
"""

from torch import nn

from medssl.errors import UsageError

__all__ = ["freeze_early", "late_modules", "train_late"]


def late_modules(encoder: nn.Module) -> list[nn.Module]:
    """Return the modules that partial fine-tuning trains, in the order in which they run.

    Parameters
    ----------
    encoder : torch.nn.Module
        Its children stand in the order in which they run.

    Raises
    ------
    UsageError
        Nothing would be frozen, or nothing trained.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> encoder = SmallCNN()
    >>> late_modules(encoder) == [encoder.blocks[-1]]
    True
    """
    late = _tail(encoder)
    trained = {id(weight) for module in late for weight in module.parameters()}
    if not trained or trained >= {id(weight) for weight in encoder.parameters()}:
        raise UsageError(
            f"{type(encoder).__name__} has no early part that could be frozen: use adaptation 'fine_tune'."
        )
    return late


def _tail(module: nn.Module) -> list[nn.Module]:
    parts = [part for part in module.children() if _has_weights(part)]
    if not parts:
        return []
    if len(parts) == 1 and _has_parts(parts[0]):
        return _tail(parts[0])
    blocks = [i for i, part in enumerate(parts) if _has_parts(part)]
    if not blocks:
        layers = [i for i, part in enumerate(parts) if any(w.ndim > 1 for w in part.parameters())]
        return parts[layers[-1] if layers else -1 :]
    block, after = parts[blocks[-1]], parts[blocks[-1] + 1 :]
    return (_tail(block) if _opens(block) else [block]) + after


def _opens(block: nn.Module) -> bool:
    """Whether a block is a sequence of blocks."""
    return isinstance(block, nn.Sequential | nn.ModuleList) and any(map(_has_parts, block.children()))


def _has_parts(module: nn.Module) -> bool:
    return any(map(_has_weights, module.children()))


def _has_weights(module: nn.Module) -> bool:
    return next(module.parameters(), None) is not None


def freeze_early(encoder: nn.Module) -> list[nn.Parameter]:
    """Freeze all but the late modules, in place, and return the weights that are trained.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> encoder = SmallCNN()
    >>> trained = freeze_early(encoder)
    >>> len(trained), sum(weight.requires_grad for weight in encoder.parameters())
    (9, 9)
    """
    late = late_modules(encoder)
    encoder.requires_grad_(False)
    for module in late:
        module.requires_grad_(True)
    return [weight for module in late for weight in module.parameters()]


def train_late(encoder: nn.Module) -> None:
    """Put the late modules into training mode and everything else into evaluation mode.

    Examples
    --------
    >>> from medssl.encoders import SmallCNN
    >>> encoder = SmallCNN()
    >>> train_late(encoder)
    >>> encoder.stem.training, encoder.blocks[-1].training
    (False, True)
    """
    encoder.eval()
    for module in late_modules(encoder):
        module.train()
