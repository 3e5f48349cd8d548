"""A linear probe that watches pretraining: how well frozen features tell validation labels apart.

The probe only reads: it changes no weight and no statistic of the encoder and draws from no generator.
It belongs to the validation split; the test images decide nothing, so they are never given to it.
"""

from dataclasses import dataclass

import numpy as np
import torch

from medssl.errors import UsageError
from medssl.training.subsets import split_budget
from medssl.training.tensors import to_tensor

__all__ = ["OnlineProbe"]

_PENALTIES = np.logspace(-1, 4, 6)  # of the ridge, for features of deviation 1; chosen on the fitted half


@dataclass(frozen=True)
class OnlineProbe:
    """Validation images in two halves: one to fit a linear classifier, one to score it.

    Parameters
    ----------
    images : ndarray of uint8
        Shape [n, height, width] or [n, depth, height, width].
    labels : ndarray of int
        Class indices, shape [n].
    fit, held_out : ndarray of int
        Rows of the halves.

    Examples
    --------
    >>> probe = OnlineProbe.of(np.zeros((8, 8, 8), np.uint8), np.arange(8) % 2)
    >>> len(probe.fit), len(probe.held_out)
    (4, 4)
    """

    images: np.ndarray
    labels: np.ndarray
    fit: np.ndarray
    held_out: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray, groups: np.ndarray | None = None) -> "OnlineProbe":
        """Split validation images in halves, stratified, the same in every run, patients kept whole.

        Raises
        ------
        UsageError
            Labels are no class indices, or a half shows fewer than two classes.
        """
        images, labels = np.asanyarray(images), np.asarray(labels)  # a memory-mapped file stays one
        if labels.shape != images.shape[:1] or labels.dtype.kind not in "biu":
            raise UsageError(f"probe: labels must be {len(images)} class indices, one for each image.")
        fit, held_out = split_budget(labels, 0, 0.5, groups) if len(labels) else (labels, labels)
        if min(len(np.unique(labels[half])) for half in (fit, held_out)) < 2:
            raise UsageError("probe: each half of the validation images must show at least two classes.")
        return cls(images, labels, fit, held_out)

    def score(self, encoder: torch.nn.Module, prepare, device: torch.device, batch_size: int = 256) -> float:
        """Return the area under the ROC curve on the held-out half.

        Parameters
        ----------
        encoder : torch.nn.Module
            In any mode; it is used in evaluation mode and left as it was.
        prepare : callable
            Maps images [batch, 1, ...] in 0..1 to the encoder's input.
        device : torch.device
            Where the encoder is.
        batch_size : int

        Returns
        -------
        float
            For more than two classes the mean of each class against the rest, over the classes that
            the held-out half shows; 0.5 is chance.
        """
        features = self._features(encoder, prepare, device, batch_size)  # [n, width]
        mean, deviation = features[self.fit].mean(0), features[self.fit].std(0)
        features = (features - mean) / np.maximum(deviation, 1e-6)
        return _area(
            features[self.fit], self.labels[self.fit], features[self.held_out], self.labels[self.held_out]
        )

    @torch.no_grad()
    def _features(self, encoder, prepare, device, batch_size):
        training, parts = encoder.training, []
        encoder.eval()
        for start in range(0, len(self.images), batch_size):
            part = to_tensor(np.array(self.images[start : start + batch_size]), device)
            parts.append(encoder(prepare(part)).double().cpu().numpy())
        encoder.train(training)
        return np.concatenate(parts)


def _area(features, labels, held_out, truth):
    from sklearn.linear_model import RidgeClassifierCV  # seconds to import: only those who probe wait
    from sklearn.metrics import roc_auc_score

    model = RidgeClassifierCV(_PENALTIES).fit(features, labels)
    scores = model.decision_function(held_out)  # [n], or [n, classes]
    if scores.ndim == 1:
        return float(roc_auc_score(truth == model.classes_[1], scores))
    shown = np.isin(model.classes_, truth)
    return float(
        np.mean([roc_auc_score(truth == model.classes_[k], scores[:, k]) for k in np.flatnonzero(shown)])
    )
