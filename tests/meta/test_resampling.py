"""Cluster bootstrap, cluster wild bootstrap and permutation tests."""

import itertools

import numpy as np
import pandas as pd
import pytest

from medssl.errors import RunError, UsageError
from medssl.meta import (
    cluster_bootstrap,
    cluster_wild_bootstrap,
    multilevel,
    permutation_test,
    random_effects,
)
from medssl.meta.cluster_bootstrap import bootstrap_coefficients


def clustered(clusters=8, effect=0.03, slope=0.0, seed=0):
    """Effects in clusters with a moderator that varies within them: yi, vi, cluster, x."""
    rng = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), rng.integers(2, 6, clusters))
    x = rng.normal(size=len(cluster))
    v = rng.uniform(1e-4, 6e-4, len(cluster))
    y = effect + slope * x + rng.normal(scale=0.02, size=clusters)[cluster]
    return y + rng.normal(scale=np.sqrt(v)), v, cluster, x


def test_bootstrap_refits_equal_fits_of_the_drawn_clusters():
    """A replicate is the fit of the drawn clusters, each draw a cluster of its own."""
    y, v, cluster, x = clustered()
    fit = multilevel(y, v, cluster, x, rho=0.6)
    draws = bootstrap_coefficients(fit, replicates=5, seed=1)
    counts = np.random.default_rng(1).multinomial(8, np.full(8, 1 / 8), size=5)
    for draw, count in zip(draws, counts, strict=True):
        rows = [(np.flatnonzero(cluster == j), copy) for j in range(8) for copy in range(count[j])]
        where = np.concatenate([index for index, _ in rows])
        labels = np.concatenate([np.full(len(index), number) for number, (index, _) in enumerate(rows)])
        again = multilevel(y[where], v[where], labels, x[where], rho=0.6)
        np.testing.assert_allclose(draw, again.coef, rtol=1e-6, atol=1e-9)


def test_bootstrap_errors_are_near_the_robust_ones():
    """With many clusters the bootstrap standard error agrees with CR2 to a tenth."""
    y, v, cluster, x = clustered(clusters=60, seed=2)
    fit = multilevel(y, v, cluster, x, rho=0.6)
    table = cluster_bootstrap(fit, replicates=400, seed=0)
    np.testing.assert_allclose(table.se, fit.robust().se, rtol=0.15)
    assert (table.ci_low < fit.coef).all()
    assert (fit.coef < table.ci_high).all()
    pd.testing.assert_frame_equal(table, cluster_bootstrap(fit, replicates=400, seed=0))


def test_a_moderator_of_one_cluster_cannot_be_bootstrapped():
    """When most draws lack the only cluster of a level, the bootstrap says so."""
    y, v, cluster, _ = clustered()
    fit = multilevel(y, v, cluster, (cluster == 0).astype(float), rho=0.6)
    with pytest.raises(RunError, match="cannot estimate every coefficient"):
        cluster_bootstrap(fit, replicates=50)


def test_wild_bootstrap_of_few_clusters_takes_every_pattern():
    """With five clusters all 32 sign patterns are the reference set, checked against a plain loop."""
    y, v, cluster, x = clustered(clusters=5)
    fit = multilevel(y, v, cluster, x, rho=0.6)
    test = cluster_wild_bootstrap(fit)
    assert (test.exact, test.replicates) == (True, 32)
    null = multilevel(y, v, cluster, rho=0.6)
    expected = []
    for signs in itertools.product((1.0, -1.0), repeat=5):
        drawn = null.coef[0] + np.array(signs)[cluster] * (y - null.coef[0])
        expected.append(multilevel(drawn, v, cluster, x, rho=0.6).robust("CR1").statistic[1] ** 2)
    np.testing.assert_allclose(np.sort(test.draws), np.sort(expected), rtol=1e-4)
    assert test.statistic == pytest.approx(fit.robust("CR1").statistic[1] ** 2, rel=1e-6)
    assert test.p_value == pytest.approx(np.mean(np.array(expected) >= test.statistic * (1 - 1e-6)))


def test_wild_bootstrap_finds_a_slope_and_not_noise():
    """A strong slope is found with ten clusters; of no slope the p value is large."""
    p = {}
    for slope in (0.0, 0.05):
        y, v, cluster, x = clustered(clusters=10, slope=slope, seed=5)
        p[slope] = cluster_wild_bootstrap(multilevel(y, v, cluster, x, rho=0.6), replicates=199).p_value
    assert p[0.05] < 0.05
    assert p[0.0] > 0.05


def test_wild_bootstrap_of_several_terms_and_of_the_mean():
    """Formula terms are tested together, also with Webb's weights; without moderators the mean is tested."""
    y, v, cluster, x = clustered(clusters=9, seed=6)
    data = pd.DataFrame({"x": x, "kind": np.array(["a", "b", "c"])[np.arange(len(x)) % 3]})
    fit = multilevel(y, v, cluster, "x + C(kind)", data=data, rho=0.6)
    joint = cluster_wild_bootstrap(fit, "C(kind)", replicates=99, seed=1, weights="webb")
    assert joint.names == ("C(kind)",)
    assert joint.replicates == 100
    assert not joint.exact
    mean = cluster_wild_bootstrap(multilevel(y, v, cluster, rho=0.6))
    assert mean.names == ("intercept",)
    assert mean.exact
    assert mean.replicates == 512
    assert f"{mean.replicates} all sign patterns" in mean.report()


def test_wild_bootstrap_holds_its_level():
    """Over 60 seeded data sets without an effect, about one in twenty is below 0.05."""
    p = []
    for seed in range(60):
        y, v, cluster, x = clustered(clusters=6, seed=100 + seed)
        p.append(cluster_wild_bootstrap(multilevel(y, v, cluster, x, rho=0.6), replicates=63).p_value)
    rejected = np.mean(np.array(p) <= 0.05)
    assert rejected < 0.15  # 0.05 plus three and a half binomial errors
    assert 0.35 < np.mean(p) < 0.65


def test_permutation_of_signs_is_the_enumeration():
    """The exact test equals the share of the 2^k refits whose statistic is at least as large."""
    y, v = [0.03, 0.05, -0.02, 0.06, 0.04], [1e-4, 2e-4, 1e-4, 3e-4, 2e-4]
    test = permutation_test(y, v)
    observed = abs(random_effects(y, v).statistic[0])
    drawn = [
        abs(random_effects(np.array(signs) * y, v).statistic[0])
        for signs in itertools.product((1, -1), repeat=5)
    ]
    assert test.exact
    assert test.permutations == 32
    assert test.p_value[0] == pytest.approx(np.mean(np.array(drawn) >= observed * (1 - 1e-9)))
    assert np.isnan(test.joint_p_value)


def test_permutation_of_moderators_is_the_enumeration():
    """With five effects all 120 orders of the moderator rows are taken, for single and joint tests."""
    y, v = [0.03, 0.05, -0.02, 0.06, 0.04], [1e-4, 2e-4, 1e-4, 3e-4, 2e-4]
    x = pd.DataFrame({"a": [1.0, 2.0, 0.0, 3.0, 2.0], "b": [0.0, 1.0, 1.0, 0.0, 2.0]})
    test = permutation_test(y, v, x)
    assert (test.exact, test.permutations, test.names) == (True, 120, ("a", "b"))
    fits = [random_effects(y, v, x.to_numpy()[list(o)]) for o in itertools.permutations(range(5))]
    observed = random_effects(y, v, x)
    joint = np.mean([f.qm >= observed.qm * (1 - 1e-9) for f in fits])
    assert test.joint_p_value == pytest.approx(joint)
    single = np.mean([abs(f.statistic[1]) >= abs(observed.statistic[1]) * (1 - 1e-9) for f in fits])
    assert test.p_value[0] == pytest.approx(single)
    np.testing.assert_allclose(test.statistic, observed.statistic[1:])


def test_random_permutations_follow_their_seed():
    """When there are too many arrangements, draws are random, seeded, and include the observed one."""
    y, v, cluster, x = clustered(clusters=10)
    first, again = (permutation_test(y, v, x, permutations=60, seed=3) for _ in range(2))
    assert not first.exact
    assert first.p_value == again.p_value
    assert first.p_value[0] >= 1 / 60
    whole = permutation_test(y, v, cluster=cluster, permutations=50)
    assert whole.p_value[0] >= 1 / 50
    assert "random" in whole.report()


def test_signs_of_whole_clusters_are_changed():
    """With clusters the reference set has two to the number of clusters arrangements."""
    y, v, cluster, _ = clustered(clusters=5)
    test = permutation_test(y, v, cluster=cluster)
    assert (test.exact, test.permutations) == (True, 32)
    assert test.statistic[0] == pytest.approx(multilevel(y, v, cluster, rho=0.6).robust().statistic[0])
    assert test.p_value[0] >= 2 / 32


def test_requests_that_cannot_be_met_are_refused():
    """Unknown weights and terms, too few draws, clusters together with moderators: one clear error each."""
    y, v, cluster, x = clustered()
    fit = multilevel(y, v, cluster, x, rho=0.6)
    with pytest.raises(UsageError, match="weights is 'normal'"):
        cluster_wild_bootstrap(fit, weights="normal")
    with pytest.raises(UsageError, match="no term 'year'"):
        cluster_wild_bootstrap(fit, "year")
    with pytest.raises(UsageError, match="19 or more"):
        cluster_wild_bootstrap(fit, replicates=5)
    with pytest.raises(UsageError, match="cluster_wild_bootstrap"):
        permutation_test(y, v, x, cluster=cluster)
    with pytest.raises(UsageError, match="give 2 or more"):
        permutation_test(y, v, permutations=1)
    with pytest.raises(UsageError, match="2 or more"):
        cluster_bootstrap(fit, replicates=1)
    with pytest.raises(UsageError, match="between 0 and 1"):
        cluster_bootstrap(fit, level=95)
