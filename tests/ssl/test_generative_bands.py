"""What a short pretraining is worth: a linear probe of frozen features against the random encoder.

Radiographs are generated, so nothing here says how much a method helps on patients: the bands hold the
implementations to what they reached.
Each band lies about two standard errors of a mean of three seeds below what twelve seeds gave.
"""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medssl import data, encoders
from medssl.training import PretrainConfig, Standardisation, calibrate_normalisation, pretrain, to_tensor

SEEDS = range(3)
RANDOM_SEEDS = range(12)


@dataclass(frozen=True)
class Band:
    """Epochs of pretraining, least gain in area under the curve, largest ratio of last to first loss."""

    epochs: int
    gain: float
    loss: float


BANDS = {
    "simmim": Band(epochs=5, gain=0.02, loss=0.55),
    "inpainting": Band(epochs=5, gain=0.04, loss=0.45),
    "context_restoration": Band(epochs=5, gain=0.035, loss=0.45),
    "models_genesis": Band(epochs=5, gain=0.025, loss=0.7),
    "denoising": Band(epochs=5, gain=0.045, loss=0.35),
    "rotation": Band(epochs=5, gain=0.045, loss=0.1),
    "relative_position": Band(epochs=12, gain=0.005, loss=0.65),  # cheap steps, and the weakest features
    "jigsaw": Band(epochs=5, gain=0.025, loss=0.6),
}


@pytest.fixture(scope="module")
def task():
    """400 easy radiographs to pretrain and to fit the probe, and 600 of other patients to score it."""
    return [
        data.load("phantom_xray", split, n=n, size=28, difficulty=0.1)
        for split, n in (("train", 400), ("test", 600))
    ]


@pytest.fixture(scope="module")
def random_area(task):
    """Mean area under the curve of encoders that were never trained."""
    areas = []
    for seed in RANDOM_SEEDS:
        torch.manual_seed(seed)
        encoder, standardise = encoders.build("small_cnn"), Standardisation.of(task[0].images)
        calibrate_normalisation(encoder, to_tensor(task[0].images), standardise)
        areas.append(probe(encoder, standardise, task))
    return np.mean(areas)


@torch.no_grad()
def probe(encoder, standardise, task):
    """Area under the curve of a logistic regression on frozen features."""
    train, test = (encoder(standardise(to_tensor(part.images))).numpy() for part in task)
    model = make_pipeline(StandardScaler(), LogisticRegression(C=0.1, max_iter=2000))
    scores = model.fit(train, task[0].labels).predict_proba(test)[:, 1]
    return roc_auc_score(task[1].labels, scores)


def pretrained(method, task, seed, epochs):
    """Area under the curve after pretraining, and the ratio of its last loss to its first."""
    config = PretrainConfig(method, epochs=epochs, batch_size=50)
    run = pretrain(task[0].images, "xray", config, seed=seed, device="cpu")
    return probe(run.encoder, run.standardisation, task), run.history[-1]["loss"] / run.history[0]["loss"]


@pytest.mark.parametrize("method", BANDS)
def test_features_are_better_than_random_ones(method, task, random_area):
    """Over three seeds the probe gains the stated area on average, and the loss of the task falls in each."""
    band = BANDS[method]
    areas, ratios = np.transpose([pretrained(method, task, seed, band.epochs) for seed in SEEDS])
    assert areas.mean() - random_area > band.gain
    assert max(ratios) < band.loss
