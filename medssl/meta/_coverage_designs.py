"""What the coverage simulation draws: settings, and data sets whose true coefficients are 0."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from medssl.errors import UsageError
from medssl.meta._inputs import check_choice
from medssl.meta._tau2 import typical_variance

__all__ = ["DependentSetting", "IndependentSetting", "Sample", "Setting", "draw", "settings"]

RATIOS = {"mild": 3, "diagnostic": 100}  # largest over smallest sampling variance
SIZES = (1, 2, 3, 5, 9)  # effects of the first, second ... cluster, and again from the sixth on
SIGMA2 = (0.6, 0.4)  # between clusters, and between effects of a cluster; the typical sampling variance is 1


@dataclass(frozen=True)
class IndependentSetting:
    """K independent effects.

    Attributes
    ----------
    count : int
        Number of effects.
    variances : {"mild", "diagnostic"}
        Sampling variances in geometric progression, the largest 3 or 100 times the smallest.
    i2 : float
        Share of the variance that is between studies, at the typical sampling variance; in [0, 1).
    """

    count: int
    variances: str
    i2: float

    def __post_init__(self):
        check_choice("variances", self.variances, RATIOS)
        if self.count < 2 or not 0 <= self.i2 < 1:
            raise UsageError(
                f"count is {self.count} and i2 {self.i2:g}; give 2 or more, and a share below 1."
            )

    @property
    def tau2(self) -> float:
        """True variance between studies, in units of the typical sampling variance."""
        return self.i2 / (1 - self.i2)

    @property
    def seeds(self) -> tuple[int, ...]:
        """Whole numbers that no other setting shares."""
        return 0, self.count, RATIOS[self.variances], round(1000 * self.i2)


@dataclass(frozen=True)
class DependentSetting:
    """Effects in clusters of 1, 2, 3, 5, 9, 1, ... whose sampling errors are correlated.

    Attributes
    ----------
    count : int
        Number of clusters.
    rho : float
        True correlation of sampling errors within a cluster, in [0, 1); the working model always has 0.6.
    """

    count: int
    rho: float

    def __post_init__(self):
        if self.count < 4 or not 0 <= self.rho < 1:
            raise UsageError(f"count is {self.count} and rho {self.rho:g}; give 4 or more, and 0 to below 1.")

    @property
    def seeds(self) -> tuple[int, ...]:
        """Whole numbers that no other setting shares."""
        return 1, self.count, round(1000 * self.rho)


@dataclass(frozen=True, eq=False)
class Sample:
    """Simulated effects; every true coefficient, the mean included, is 0.

    Attributes
    ----------
    yi, vi : ndarray of shape (k,)
        Effects, and sampling variances in units of the typical one.
    cluster : ndarray of shape (k,)
        Cluster of each effect.
    moderators : ndarray of shape (k, 2)
        One that varies between clusters, 1 in two of five, and one that varies between effects, normal.
    """

    yi: np.ndarray
    vi: np.ndarray
    cluster: np.ndarray
    moderators: np.ndarray


Setting = IndependentSetting | DependentSetting


def settings() -> Iterator[Setting]:
    """Yield the settings of the published table, in its order."""
    for variances in RATIOS:
        for i2 in (0.0, 0.5, 0.8):
            yield from (IndependentSetting(count, variances, i2) for count in (5, 10, 20, 40))
    for rho in (0.0, 0.4, 0.8):
        yield from (DependentSetting(count, rho) for count in (5, 10, 20, 40))


def draw(setting: Setting, generator: np.random.Generator) -> Sample:
    """Draw one data set.

    Parameters
    ----------
    setting : IndependentSetting or DependentSetting
    generator : numpy.random.Generator

    Returns
    -------
    Sample
        Sampling variances are the same in each data set; effects and moderators are drawn anew.

    Examples
    --------
    >>> sample = draw(DependentSetting(count=5, rho=0.8), np.random.default_rng(0))
    >>> np.bincount(sample.cluster).tolist()
    [1, 2, 3, 5, 9]
    """
    if isinstance(setting, IndependentSetting):
        v = _scaled(np.geomspace(1, RATIOS[setting.variances], setting.count))
        y = generator.normal(0, np.sqrt(v + setting.tau2))
        return Sample(y, v, np.arange(setting.count), np.empty((setting.count, 0)))
    cluster, v = _clusters(setting.count)
    between = generator.normal(0, np.sqrt(SIGMA2[0]), setting.count)[cluster]
    within = generator.normal(0, np.sqrt(SIGMA2[1]), len(v))
    shared, own = generator.normal(size=setting.count)[cluster], generator.normal(size=len(v))
    error = np.sqrt(v) * (np.sqrt(setting.rho) * shared + np.sqrt(1 - setting.rho) * own)
    chosen = generator.permutation(setting.count) < round(0.4 * setting.count)
    moderators = np.column_stack([chosen[cluster], generator.normal(size=len(v))])
    return Sample(between + within + error, v, cluster, moderators)


def _clusters(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Return cluster numbers and variances [k]; the precision of a cluster does not follow its size."""
    sizes = np.resize(SIZES, count)
    cluster = np.repeat(np.arange(count), sizes)
    level = np.geomspace(1, 10, count)[3 * np.arange(count) % count]
    inside = np.concatenate([np.linspace(0.75, 1.25, size) if size > 1 else [1.0] for size in sizes])
    return cluster, _scaled(level[cluster] * inside)


def _scaled(v: np.ndarray) -> np.ndarray:
    return v / typical_variance(v, v, np.ones((len(v), 1)))
