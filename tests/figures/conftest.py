"""Small tables of effects and runs that the figure tests share."""

import numpy as np
import pandas as pd
import pytest

from medssl.meta import random_effects


@pytest.fixture
def effects():
    """Twelve effects of two methods at three label counts."""
    rng = np.random.default_rng(0)
    rows = [
        {
            "yi": 0.01 - 0.03 * np.log10(n / 1000) + rng.normal(scale=0.02),
            "vi": rng.uniform(1e-4, 4e-4),
            "log10_label_ratio": np.log10(n / 1000),
            "log10_label_fraction": np.log10(n / 1000),
            "method": method,
            "n_labelled": n,
            "cluster_id": "ours",
            "label": f"{method}, {n} labels, seed {seed}",
        }
        for method in ("simclr", "masked_autoencoder")
        for n in (10, 100, 1000)
        for seed in (0, 1)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def slope(effects):
    """The effects regressed on the label ratio."""
    return random_effects(effects.yi, effects.vi, effects.log10_label_ratio)


@pytest.fixture
def pooled(effects):
    """The effects pooled."""
    return random_effects(effects.yi, effects.vi)


@pytest.fixture
def runs():
    """Two arms at three label counts, three seeds each."""
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        [
            {
                "n_labelled": n,
                "arm": arm,
                "seed": seed,
                "score": 0.7 + 0.05 * np.log10(n) + rng.normal(scale=0.01),
            }
            for arm in ("supervised", "simclr")
            for n in (10, 100, 1000)
            for seed in range(3)
        ]
    )
