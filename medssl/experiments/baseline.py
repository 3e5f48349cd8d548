"""A plain probe of the pixels: a network that is worse with all labels is broken."""

from pathlib import Path

import numpy as np
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from medssl import data
from medssl.evaluation import scores
from medssl.experiments import provenance
from medssl.files import read_json, write_json

__all__ = ["ensure_plain_probe", "plain_probe"]


def plain_probe(dataset: str, components: int = 60, most_images: int = 6000, **options) -> dict:
    """Score a logistic regression on the leading principal components of the pixels.

    Parameters
    ----------
    dataset : str
        A name of `medssl.data.available()` with labels of whole images.
    components, most_images : int
        Principal components kept, and training images used (the first ones in a fixed random order).
    **options
        Options of a generated source.

    Returns
    -------
    dict
        Test scores, the numbers of images, the hash of the data and the versions.

    Examples
    --------
    >>> found = plain_probe("phantom_xray", components=10, n=60)
    >>> 0 <= found["scores"]["auc"] <= 1
    True
    """
    train, test = data.load(dataset, "train", **options), data.load(dataset, "test", **options)
    rows = np.random.default_rng(0).permutation(len(train))[:most_images]
    model = make_pipeline(
        StandardScaler(), PCA(components, random_state=0), StandardScaler(), LogisticRegression(max_iter=2000)
    )
    model.fit(_flat(train)[rows], train.labels[rows])
    return {
        "dataset": dataset,
        "components": components,
        "n_train": len(rows),
        "n_test": len(test),
        "scores": scores(test.labels, model.predict_proba(_flat(test))),
        "data_sha256": provenance.data_sha256(train, test),
        "versions": provenance.versions(),
    }


def _flat(dataset):
    return dataset.images.reshape(len(dataset), -1).astype(np.float32) / 255


def ensure_plain_probe(dataset: str, folder: str | Path) -> dict:
    """Return the recorded plain probe of `dataset` in `folder`, computing it when it is not there."""
    path = Path(folder) / f"{dataset}.json"
    if not path.exists():
        write_json(path, plain_probe(dataset))
    return read_json(path)
