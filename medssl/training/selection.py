"""Choose a learning rate with nothing but the labels of the budget."""

from dataclasses import dataclass, replace

import numpy as np

from medssl.errors import UsageError
from medssl.training.subsets import split_budget
from medssl.training.transfer import TransferConfig, transfer

__all__ = ["SelectionConfig", "choose_learning_rate"]


@dataclass(frozen=True)
class SelectionConfig:
    """How each arm chooses its learning rate, by the same rule.

    Parameters
    ----------
    learning_rates : tuple of float
        The small list that every arm tries.
    held_out : float
        Share of the budget that is held out to choose.
    least_labels : int
        Below this budget nothing is held out: both arms take `fixed_learning_rate`.
    fixed_learning_rate : float
        That one recipe.
    validation : str
        "budget", or "full_validation" for the flagged sensitivity run on the whole validation split.
    """

    learning_rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3)
    held_out: float = 0.25
    least_labels: int = 50
    fixed_learning_rate: float = 1e-3
    validation: str = "budget"

    def __post_init__(self):
        if self.validation not in ("budget", "full_validation"):
            raise UsageError(f"validation must be 'budget' or 'full_validation', got {self.validation!r}.")
        if not self.learning_rates or min(self.learning_rates) <= 0:
            raise UsageError(f"learning_rates must be positive and at least one, got {self.learning_rates}.")


def choose_learning_rate(
    images, labels, classes, encoder, modality, standardisation, config: TransferConfig,
    selection: SelectionConfig, *, seed=0, device=None, groups=None, validation=None,
) -> tuple[float, dict[str, float]]:  # fmt: skip
    """Return the learning rate with the lowest held-out log loss, and every rate's log loss.

    Parameters
    ----------
    images, labels, classes, encoder, modality, standardisation, config, seed, device
        As in `medssl.transfer`: the label budget and the arm.
    selection : SelectionConfig
    groups : ndarray, optional
        Patient of each image; a patient is never on both sides.
    validation : tuple of ndarray, optional
        Images and labels of the full validation split, used only when the selection says so.

    Returns
    -------
    learning_rate : float
    losses : dict of str to float
        Held-out log loss of each rate; empty below `least_labels`, and for nearest neighbours, which have
        no rate to choose: theirs stays that of `config`.

    Notes
    -----
    Log loss rather than AUC: with a dozen held-out images AUC has few values and many ties.
    """
    if config.adaptation == "nearest_neighbours":
        return config.learning_rate, {}
    full = selection.validation == "full_validation"
    if len(labels) < selection.least_labels and not full:
        return selection.fixed_learning_rate, {}
    fit, held_out = split_budget(labels, seed, selection.held_out, groups)
    target = validation if full else (images[held_out], labels[held_out])
    fit = np.arange(len(labels)) if full else fit
    losses = {}
    for rate in selection.learning_rates:
        trial = replace(config, learning_rate=rate)
        done = transfer(
            images[fit], labels[fit], classes, encoder, modality, standardisation, trial,
            seed=seed, device=device,
        )  # fmt: skip
        losses[f"{rate:g}"] = _log_loss(done.predict(target[0]), target[1])
    return float(min(losses, key=losses.get)), losses


def _log_loss(probabilities: np.ndarray, labels: np.ndarray) -> float:
    chosen = probabilities[np.arange(len(labels)), labels].astype(float)
    return float(-np.log(np.clip(chosen, 1e-7, 1)).mean())
