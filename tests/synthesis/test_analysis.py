"""A whole analysis of a table of effects."""

import re

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.meta import egger, leave_one_out, multilevel, pet_peese, random_effects, trim_and_fill
from medssl.synthesis import analyse
from medssl.synthesis._figures import drawings


@pytest.fixture(scope="module")
def effects():
    rng = np.random.default_rng(1)
    cluster = np.repeat(list("abcdefgh"), rng.integers(1, 6, 8))
    k = len(cluster)
    return pd.DataFrame(
        {
            "yi": 0.03 + rng.normal(scale=0.03, size=k),
            "vi": rng.uniform(1e-4, 9e-4, k),
            "cluster_id": cluster,
            "label": [f"effect {i}" for i in range(k)],
            "x": rng.normal(size=k),
            "kind": rng.choice(["u", "v"], k),
        }
    )


def test_numbers_are_those_of_the_functions(effects):
    """Model, checks and influence equal the functions of `medssl.meta` called by hand."""
    analysis = analyse(effects, clustered=True, rho=0.4)
    y, v, cluster = effects.yi, effects.vi, effects.cluster_id
    np.testing.assert_allclose(analysis.fit.coef, multilevel(y, v, cluster, rho=0.4).coef)
    results = analysis.results()
    test = egger(y, v, form="cluster", cluster=cluster, rho=0.4)
    assert results["small_study_effects"]["Egger, cluster-robust"]["p_value"] == pytest.approx(test.p_value)
    adjusted = pet_peese(y, v, cluster=cluster, rho=0.4)
    found = results["small_study_effects"]["PET-PEESE, cluster-robust"]["estimate"]
    assert found == pytest.approx(adjusted.estimate)
    expected = leave_one_out(y, v, cluster=cluster, rho=0.4)
    pd.testing.assert_frame_equal(analysis.left_out, expected)


def test_independent_effects_ignore_clusters(effects):
    """Without `clustered` the model is `random_effects` and trim and fill gives its adjusted mean."""
    results = analyse(effects, clustered=False, test="z", method="DL").results()
    fit = random_effects(effects.yi, effects.vi, method="DL", test="z")
    assert results["mean"]["pi_low"] == pytest.approx(fit.predict().pi_low.iloc[0])
    assert results["heterogeneity"]["tau2"] == pytest.approx(fit.tau2)
    filled = trim_and_fill(effects.yi, effects.vi, method="DL")
    assert results["small_study_effects"]["Trim and fill"]["estimate"] == pytest.approx(filled.fit.coef[0])


def test_regressions_have_a_joint_test_and_no_mean(effects):
    """With moderators the mean is null, the joint test is there, and single effects are not left out."""
    for clustered in (True, False):
        results = analyse(effects, "x + C(kind)", clustered=clustered).results()
        assert results["mean"] is None
        assert results["influence"] is None
        assert 0 <= results["moderators"]["p_value"] <= 1
        assert [row["name"] for row in results["coefficients"]] == ["intercept", "x", "C(kind)[T.v]"]


def test_thin_tables_give_what_they_can(effects):
    """Two effects are pooled; what needs more says why instead of a number."""
    analysis = analyse(effects[:2], clustered=False)
    assert analysis.left_out is None
    checks = analysis.results()["small_study_effects"]
    assert any(check["report"].startswith("not computed") for check in checks.values())
    assert "not computed" in analysis.text()
    with pytest.raises(UsageError, match="one cluster only"):
        analyse(effects[effects.cluster_id == "b"], clustered=True)


def test_figures_suit_the_table(effects):
    """Clustered tables have a row a cluster; a formula of two terms has no bubble plot; words are neutral."""
    clustered = drawings(analyse(effects, clustered=True))
    assert set(clustered) == {
        "forest", "forest-by-cluster", "funnel", "leave-one-out", "profile-likelihood",
    }  # fmt: skip
    assert "bubble" not in drawings(analyse(effects, "x + C(kind)", clustered=True))
    assert "bubble" not in drawings(analyse(effects, "C(kind)", clustered=True))
    bubble = drawings(analyse(effects, "x", clustered=True))["bubble"]()
    for drawing in (clustered["forest"](), clustered["funnel"](), bubble):
        texts = [drawing.alt] + [
            text.get_text() for text in drawing.figure.findobj(lambda a: hasattr(a, "get_text"))
        ]
        assert not [text for text in texts if re.search(r"\bSSL\b|\b[Gg]ains?\b", text)]
    many = pd.concat([effects] * 4, ignore_index=True)
    assert "forest" not in drawings(analyse(many, clustered=True))
