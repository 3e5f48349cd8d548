"""How an encoder is adapted to labels, and for how many steps."""

from dataclasses import dataclass

from medssl.errors import UsageError

__all__ = ["ADAPTATIONS", "TransferConfig"]

ADAPTATIONS = ("fine_tune", "linear_probe", "partial_fine_tune", "nearest_neighbours")


@dataclass(frozen=True)
class TransferConfig:
    """How to transfer; an unknown field raises.

    Parameters
    ----------
    adaptation : str
        "fine_tune" trains encoder and head; "linear_probe" trains the head on frozen features;
        "partial_fine_tune" trains the last block and the head (see `medssl.training.partial`);
        "nearest_neighbours" trains nothing (see `medssl.training.neighbours`) and reads no other field.
    learning_rate, weight_decay : float
        Peak of the cosine schedule, and AdamW's decay.
    batch_size : int
        Images a step; smaller sets use what there is.
    epochs, least_steps, most_steps : int
        The schedule is `epochs` passes, but never fewer or more steps than these.
    """

    adaptation: str = "fine_tune"
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    batch_size: int = 32
    epochs: int = 10
    least_steps: int = 100
    most_steps: int = 740

    def __post_init__(self):
        if self.adaptation not in ADAPTATIONS:
            raise UsageError(
                f"unknown adaptation {self.adaptation!r}: choose one of {', '.join(ADAPTATIONS)}."
            )

        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, got {self.learning_rate}.")
        if min(self.batch_size, self.epochs, self.least_steps) < 1 or self.most_steps < self.least_steps:
            raise UsageError(
                "batch_size, epochs and least_steps must be at least 1, and most_steps at least least_steps."
            )

    def steps(self, n: int) -> int:
        """Return the number of optimiser steps for n labelled images; none for nearest neighbours."""
        if self.adaptation == "nearest_neighbours":
            return 0
        passes = self.epochs * -(-n // self.batch_size)
        return min(max(passes, self.least_steps), self.most_steps)
