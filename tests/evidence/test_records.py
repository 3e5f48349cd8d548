"""Effects from records: means, variances and ratios."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import from_records


def runs(gains, *, errors=0.0, n_labelled=10, method="simclr", **more):
    """Return a table of runs with the given gains, one seed each."""
    row = {
        "dataset": "demo", "modality": "xray", "method": method, "adaptation": "fine_tune",
        "selection": "budget", "n_labelled": n_labelled, "n_unlabelled": 1000, "n_test": 100, **more,
    }  # fmt: skip
    errors = np.broadcast_to(errors, len(gains))
    return pd.DataFrame(
        [
            row | {"seed": s, "gain": g, "standard_error": e}
            for s, (g, e) in enumerate(zip(gains, errors, strict=True))
        ]
    )


def test_mean_and_both_components_by_hand():
    """The effect is the mean gain; its variance adds that of the mean to the mean squared error."""
    effect = from_records(runs([0.01, 0.03, 0.08], errors=[0.01, 0.02, 0.03])).iloc[0]
    assert effect.yi == pytest.approx(0.04)
    assert effect.seed_variance == pytest.approx((0.03**2 + 0.01**2 + 0.04**2) / 2 / 3)
    assert effect.case_variance == pytest.approx((0.01**2 + 0.02**2 + 0.03**2) / 3)
    assert effect.vi == pytest.approx(effect.seed_variance + effect.case_variance)


def test_ratio_is_labelled_over_unlabelled():
    """A hundredth of the pool labelled is minus two on the scale of the moderator."""
    assert from_records(runs([0.0, 0.1])).log10_label_ratio[0] == pytest.approx(-2)


def test_designs_stay_apart_and_order_of_rows_does_not_matter():
    """Two methods and two counts give four effects, the same for any order of the runs."""
    table = pd.concat(
        runs([0.01 * n, 0.02, 0.03], n_labelled=n, method=method)
        for n in (10, 100)
        for method in ("simclr", "masked_autoencoder")
    )
    effects = from_records(table)
    assert len(effects) == 4
    pd.testing.assert_frame_equal(effects, from_records(table.sample(frac=1, random_state=0)))


def test_losses_are_kept_and_counted():
    """A mean below zero stays, and only gains above zero count as positive."""
    effect = from_records(runs([-0.05, -0.01, 0.02])).iloc[0]
    assert effect.yi < 0
    assert effect.positive == 1


def test_a_single_seed_is_no_effect():
    """One seed has no variance, so its design is left out; alone it is an error that says what to do."""
    both = pd.concat([runs([0.1, 0.2]), runs([0.3], n_labelled=20)])
    assert from_records(both).n_labelled.tolist() == [10]
    with pytest.raises(UsageError, match="more seeds"):
        from_records(runs([0.1]))


def test_two_records_of_one_seed_are_refused():
    """Pooling two protocols by accident would count a run twice."""
    with pytest.raises(UsageError, match=r"10 labels, seed 0.*one protocol"):
        from_records(pd.concat([runs([0.1, 0.2]), runs([0.1, 0.2])]))


def test_a_missing_column_is_named():
    """The error names what the table lacks."""
    with pytest.raises(UsageError, match="standard_error"):
        from_records(runs([0.1, 0.2]).drop(columns="standard_error"))
