"""Requests that cannot be answered end in one message that names the problem."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import RunError, UsageError
from medssl.meta import _tau2, random_effects

Y, V = [0.1, 0.2, 0.3, 0.4], [0.01, 0.02, 0.03, 0.04]
X = [1.0, 2.0, 3.0, 5.0]


@pytest.mark.parametrize(
    ("yi", "vi", "options", "text"),
    [
        ([0.1, np.nan, 0.3, 0.4], V, {}, "yi has missing or infinite values"),
        (Y, [0.01, np.inf, 0.03, 0.04], {}, "vi has missing or infinite values"),
        (Y, [0.01, 0.0, 0.03, 0.04], {}, "vi must be positive; row 1 is 0"),
        (Y, [0.01, 0.02, -0.03, 0.04], {}, "vi must be positive; row 2 is -0.03"),
        (Y, V[:3], {}, "yi has 4 values and vi has 3"),
        ([], [], {}, "yi is empty"),
        (["a", "b", "c", "d"], V, {}, "yi is not numeric"),
        ([Y], [V], {}, "yi has shape"),
        ([0.1], [0.01], {}, "needs at least 2 rows"),
        ([0.1], [0.01], {"method": "FE"}, "needs at least 2 rows"),
        (Y[:2], V[:2], {"moderators": [1.0, 2.0]}, "needs at least 3 rows"),
        (Y, V, {"method": "reml"}, "method is 'reml'"),
        (Y, V, {"test": "t"}, "test is 't'"),
        (Y, V, {"moderators": X[:3]}, "moderators has 3 rows and yi has 4"),
        (Y, V, {"moderators": [1.0, 2.0, np.nan, 5.0]}, "moderators has missing"),
        (Y, V, {"moderators": [1.0, 1.0, 1.0, 1.0]}, "'x1' does not vary"),
        (Y, V, {"moderators": [2020.0] * 4}, "'x1' does not vary"),
        (Y, V, {"moderators": [0.0] * 4}, "'x1' does not vary"),
        (Y, V, {"moderators": np.column_stack([X, np.multiply(X, 2) + 1])}, "collinear"),
        (Y, V, {"moderators": ["a", "b", "a", "b"]}, "Code categories"),
        (Y, V, {"moderators": "log10_label_ratio"}, "give a table"),
        (Y, V, {"moderators": np.ones((2, 2, 2))}, "give rows by columns"),
        (Y, V, {"moderators": pd.DataFrame(index=range(4))}, "has no columns"),
        (Y, V, {"moderators": pd.DataFrame({"intercept": X})}, "repeats the name intercept"),
        (Y, V, {"moderators": pd.DataFrame({"a": ["x", "y", "z", "w"]})}, "moderator 'a' is not numeric"),
        (pd.Series(Y), pd.Series(V, index=[3, 2, 1, 0]), {}, "different row labels"),
        (pd.Series(Y), V, {"moderators": pd.Series(X, index=[3, 2, 1, 0])}, "different row labels"),
    ],
)
def test_bad_input_is_refused_with_its_reason(yi, vi, options, text):
    """Each malformed request raises a usage error that says what is wrong."""
    with pytest.raises(UsageError, match=text):
        random_effects(yi, vi, **options)


def test_the_redundant_column_is_named():
    """A collinear moderator is named in the message."""
    table = pd.DataFrame({"ratio": X, "year": [1.0, 0.0, 2.0, 1.0]})
    table["both"] = table.ratio + table.year
    with pytest.raises(UsageError, match=r"(ratio|year|both) follows from the other columns"):
        random_effects(Y, V, table)


def test_bad_predictions_are_refused():
    """Prediction rows must hold exactly the columns of the model."""
    plain, regression = random_effects(Y, V), random_effects(Y, V, pd.Series(X, name="ratio"))
    with pytest.raises(UsageError, match="no moderators"):
        plain.predict([1.0])
    with pytest.raises(UsageError, match="missing: ratio, not in the model: year"):
        regression.predict(pd.DataFrame({"year": [1.0]}))
    with pytest.raises(UsageError, match="needs 1 columns"):
        regression.predict(np.ones((3, 2)))
    with pytest.raises(UsageError, match="missing or infinite"):
        regression.predict([np.nan])
    for level in (0, 1, 95):
        with pytest.raises(UsageError, match="between 0 and 1"):
            regression.predict(level=level)
        with pytest.raises(UsageError, match="between 0 and 1"):
            regression.tau2_interval(level)
    with pytest.raises(UsageError, match="more effects than coefficients"):
        random_effects([0.1], [0.01], method="FE", test="z").tau2_interval()


def test_an_estimator_that_does_not_converge_says_so(monkeypatch):
    """A root that is not found is an error, never a silent last value."""

    class Unfinished:
        converged = False

    monkeypatch.setattr(_tau2, "brentq", lambda *args, **options: (0.5, Unfinished()))
    with pytest.raises(RunError, match="did not converge"):
        random_effects([0.0, 1.0, 5.0], [0.1, 0.1, 0.1])


def test_a_flat_likelihood_maximum_falls_back_to_bounded_search(monkeypatch):
    """Without a sign change of the score the bounded maximum is taken, and its failure is an error."""
    y, v = np.array([0.0, 1.0, 5.0]), np.full(3, 0.5)
    monkeypatch.setattr(_tau2, "_score", lambda *args, **options: 1.0)
    fit = random_effects(y, v)
    assert fit.tau2 == pytest.approx(np.var(y, ddof=1) - 0.5, rel=1e-5)

    class Failed:
        success = False
        x = 0.0

    monkeypatch.setattr(_tau2, "minimize_scalar", lambda *args, **options: Failed())
    with pytest.raises(RunError, match="no maximum"):
        random_effects(y, v)
