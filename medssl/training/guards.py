"""Guards of a pretraining run: numbers that show collapse, and errors that say what to try.

A method that compares views has a worthless optimum, the same features for every image, and its loss looks
best there. Four numbers an epoch show it:

- feature deviation: the spread of unit-length features over images, 0 for equal ones (the measure of
  Chen and He 2021, SimSiam, times the root of the width);
- effective rank: exp of the entropy of the singular values (Roy and Vetterli 2007), which Garrido et al.
  (2023), RankMe, apply to features;
- alignment and uniformity (Wang and Isola 2020): how near two views of an image are, and how evenly
  features cover the sphere.

A method that predicts pixels or a transform has no such optimum, and what it learns may live in the
feature map while the pooled feature hardly varies: its numbers are logged and never stop it.
"""

from dataclasses import dataclass

import numpy as np
import torch
from torch.nn import functional

from medssl.errors import RunError, UsageError

__all__ = [
    "Guards",
    "alignment",
    "check_collapse",
    "effective_rank",
    "feature_deviation",
    "measure",
    "summary",
    "uniformity",
]

_MEASURED = {"deviation": "feature_deviation", "rank": "effective_rank"}  # threshold: key of the history
_PREDICTIVE = {
    "masked_autoencoder", "simmim", "inpainting", "context_restoration", "models_genesis", "denoising",
    "rotation", "relative_position", "jigsaw", "popar", "rubiks_cube",
}  # fmt: skip
_AGAINST_COLLAPSE = (
    "simclr",
    "moco",
    "barlow_twins",
    "vicreg",
)  # negatives, or a term against it


@dataclass(frozen=True)
class Guards:
    """When a run stops by itself; an unknown field raises.

    Parameters
    ----------
    deviation, rank : float
        Feature deviation and effective rank below which features count as collapsed; 0 turns a threshold off.
        The defaults lie well below what healthy runs on small pools show, even in their first epochs.
    patience : int
        Epochs in a row below a threshold, without a rise, that stop a run.
    check_every : int
        Steps between two looks at the loss on a GPU, where each look waits for the device.
        On a processor every step is looked at.

    Examples
    --------
    >>> Guards(patience=3).patience
    3
    """

    deviation: float = 0.005
    rank: float = 1.05
    patience: int = 5
    check_every: int = 50

    def __post_init__(self):
        if not min(self.deviation, self.rank) >= 0 or min(self.patience, self.check_every) < 1:
            raise UsageError(
                "Guards: deviation and rank must be 0 or more, patience and check_every at least 1."
            )


def feature_deviation(features: torch.Tensor) -> float:
    """Return the mean deviation of unit-length features [images, width] over images.

    0 for equal features, near 1 for features that fill the sphere.

    Examples
    --------
    >>> feature_deviation(torch.ones(4, 3))
    0.0
    """
    features = functional.normalize(features.float(), dim=1)
    return (features.std(0) * features.shape[1] ** 0.5).mean().item()


def effective_rank(features: torch.Tensor) -> float:
    """Return exp of the entropy of the singular values' shares (Roy and Vetterli 2007).

    Parameters
    ----------
    features : Tensor
        Shape [images, width], finite; not centred, as in RankMe (Garrido et al. 2023).

    Returns
    -------
    float
        Between 1 (all features on one line through 0) and min(images, width); 1 for features of zeros.

    Examples
    --------
    >>> round(effective_rank(torch.eye(5)), 4), round(effective_rank(torch.ones(5, 3)), 4)
    (5.0, 1.0)
    """
    values = torch.linalg.svdvals(features.double())
    shares = values / values.sum().clamp_min(torch.finfo(values.dtype).tiny)
    return torch.special.entr(shares).sum().exp().item()


def alignment(first: torch.Tensor, second: torch.Tensor) -> float:
    """Return the mean squared distance of unit-length features of two views (Wang and Isola 2020, alpha 2).

    Parameters
    ----------
    first, second : Tensor
        Shape [images, width]; row i of each is the same image.

    Returns
    -------
    float
        0 for equal directions, 4 for opposite ones.

    Examples
    --------
    >>> alignment(torch.eye(3), torch.eye(3).roll(1, 0))
    2.0
    """
    first, second = (functional.normalize(features.float(), dim=1) for features in (first, second))
    return (first - second).square().sum(1).mean().item()


def uniformity(features: torch.Tensor) -> float:
    """Return log of the mean of exp(-2 d^2) over pairs of unit-length features (Wang and Isola 2020, t 2).

    Parameters
    ----------
    features : Tensor
        Shape [images, width], at least two images.

    Returns
    -------
    float
        0 when all are equal; the lower, the more evenly they cover the sphere.

    Examples
    --------
    >>> uniformity(torch.ones(4, 3)), round(uniformity(torch.eye(3)), 4)
    (0.0, -4.0)
    """
    distance = torch.pdist(functional.normalize(features.float(), dim=1))  # [pairs]
    return distance.square().mul(-2).exp().mean().log().item()


@torch.no_grad()
def measure(method: torch.nn.Module, images: torch.Tensor, preparation) -> dict[str, float]:
    """Return the four numbers of a method's encoder under their keys in the history.

    Parameters
    ----------
    method : torch.nn.Module
        Its `encoder` is measured; the method is left in evaluation mode.
    images : Tensor
        The same images of the pool in each epoch, in 0..1, shape [batch, 1, ...]; alignment and uniformity
        are of the first 128, which is enough pairs and keeps the guards cheap.
    preparation : medssl.training.preparation.Preparation
        Makes plain images and the same two views of them each time, without the run's generator.

    Notes
    -----
    When the feature deviation is not finite it is the only number: the others are not defined.
    """
    method.eval()
    plain = method.encoder(preparation.plain(images))  # [batch, width]
    found = {"feature_deviation": feature_deviation(plain)}
    if not np.isfinite(found["feature_deviation"]):
        return found
    first, second = map(method.encoder, preparation.two_views(images[:128]))
    return found | {
        "effective_rank": effective_rank(plain),
        "alignment": alignment(first, second),
        "uniformity": (uniformity(first) + uniformity(second)) / 2,
    }


def check_collapse(history: list[dict], guards: Guards, config) -> None:
    """Raise `RunError` when the last epochs stayed below a threshold and did not rise.

    A method that predicts pixels or a transform is never stopped.

    Parameters
    ----------
    history : list of dict
        One dictionary an epoch; epochs that lack a number, of older checkpoints, do not count as low.
    guards : Guards
    config : PretrainConfig
        Named in the advice.
    """
    if config.method in _PREDICTIVE:
        return
    recent = history[-guards.patience :]
    for field, key in _MEASURED.items():
        values = [epoch.get(key, float("inf")) for epoch in recent]
        least = getattr(guards, field)
        if len(values) == guards.patience and max(values) < least and values[-1] <= values[0]:
            raise RunError(_collapse(key, values[-1], least, history[-1]["epoch"], guards, config))


def _collapse(key, value, least, epoch, guards, config):
    others = ", ".join(name for name in _AGAINST_COLLAPSE if name != config.method)
    return (
        f"{config.method}: the features have collapsed: {key} is {value:.3g} in epoch {epoch} and below "
        f"{least:g} since {guards.patience} epochs. Try a lower learning_rate (now {config.learning_rate}), "
        f"a larger batch_size (now {config.batch_size}), stronger views, or a method with negatives or "
        f"decorrelation ({others}); a Guards with other thresholds lets the run go on."
    )


def summary(epoch: dict) -> str:
    """Return one line on the guards for the end of a run.

    Examples
    --------
    >>> summary({"epoch": 1, "effective_rank": 7.25, "alignment": 0.5, "uniformity": -2.0})
    'guards: effective rank 7.25, alignment 0.5, uniformity -2; no collapse.'
    """
    names = ("effective_rank", "alignment", "uniformity", "gradient_norm_max", "probe_auc")
    numbers = [f"{name.replace('_', ' ')} {epoch[name]:.3g}" for name in names if name in epoch]
    return f"guards: {', '.join(numbers) or 'nothing was measured'}; no collapse."
