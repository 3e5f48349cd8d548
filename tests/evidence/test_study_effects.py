"""Effects of the study: the seed is the unit, designs stay apart, runs count once."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import from_records, study_effects, thin_designs
from medssl.evidence.records import DESIGN, pool_seeds
from medssl.evidence.study_effects import FAMILIES, STUDY_DESIGN, crossed, select_runs
from medssl.experiments.study import METHODS, MORE_METHODS

BASE = {
    "dataset": "demo", "modality": "ct", "method": "simclr", "comparator_kind": "random", "pool": 1.0,
    "pretrain_on": None, "adaptation": "fine_tune", "selection": "budget", "n_labelled": 10,
    "n_unlabelled": 1000, "seed": 1, "subset": None, "comparator": 0.7, "standard_error": 0.01, "n_test": 50,
}  # fmt: skip


def run(gain, **changes):
    """Return one run with a gain."""
    return BASE | {"gain": gain, "ssl": 0.7 + gain} | changes


def random_runs(seed=0):
    """Return runs of two methods and counts, three seeds, with a second subset at the smaller count."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        run(
            rng.normal(0.02, 0.02), method=m, n_labelled=n, seed=s, subset=u, standard_error=rng.uniform(0, 1)
        )
        for m in ("simclr", "jigsaw")
        for n in (10, 100)
        for s in (1, 2, 3)
        for u in ((None, 100 + s) if n == 10 else (None,))
    )


def slow(runs):
    """Average by explicit loops: subsets within a seed, then seeds."""
    means, cases = [], []
    for s in sorted(set(runs.seed)):
        part = runs[runs.seed == s]
        means.append(sum(part.gain) / len(part))
        cases.append(sum(e**2 for e in part.standard_error) / len(part))
    centre = sum(means) / len(means)
    spread = sum((m - centre) ** 2 for m in means) / (len(means) - 1) / len(means)
    return centre, spread, sum(cases) / len(cases)


def test_each_effect_equals_a_slow_loop():
    """Mean and both components of the variance are those of explicit loops over seeds."""
    table = random_runs()
    effects = study_effects(table)
    assert len(effects) == 4
    for row in effects.itertuples():
        part = table[(table.method == row.method) & (table.n_labelled == row.n_labelled)]
        expected = slow(part)
        assert (row.yi, row.seed_variance, row.case_variance) == pytest.approx(expected)
        assert row.vi == pytest.approx(expected[1] + expected[2])
        assert (row.seeds, row.replicates) == (3, len(part))


def test_a_second_subset_does_not_count_as_a_seed():
    """Copying a seed's run as another subset changes neither the mean nor the variance."""
    once = pd.DataFrame([run(0.0, seed=1), run(0.1, seed=2)])
    twice = pd.concat([once, once.assign(subset=once.seed + 100)])
    first, second = (study_effects(table).iloc[0] for table in (once, twice))
    assert (second.yi, second.vi, second.seeds) == pytest.approx((first.yi, first.vi, 2))
    assert (first.replicates, second.replicates) == (2, 4)


def test_seeds_weigh_the_same_whatever_their_runs():
    """The mean is of seeds, not of runs."""
    table = pd.DataFrame([run(0.0, seed=1), run(0.0, seed=1, subset=101), run(0.3, seed=2)])
    assert study_effects(table).yi[0] == pytest.approx(0.15)
    assert study_effects(table).positive[0] == 1


def test_subsets_that_seeds_share_are_left_out():
    """A subset crossed with seeds would tie their gains together, so its runs do not enter."""
    own = [run(0.1, seed=1), run(0.2, seed=2)]
    shared = [run(0.9, seed=s, subset=201) for s in (1, 2)]
    table = pd.DataFrame(own + shared)
    assert crossed(select_runs(table)).tolist() == [False, False, True, True]
    assert study_effects(table).yi[0] == pytest.approx(0.15)
    assert study_effects(table).replicates[0] == 2


def test_designs_stay_apart():
    """Comparator, pool and source of pretraining each make an effect of their own."""
    changes = [
        {},
        {"comparator_kind": "supervised"},
        {"pool": 0.25, "n_unlabelled": 250},
        {"pretrain_on": "e"},
    ]
    table = pd.DataFrame([run(0.1 * s, seed=s, **change) for s in (1, 2) for change in changes])
    effects = study_effects(table)
    assert len(effects) == 4
    assert sorted(effects.pretrain_on) == ["demo", "demo", "demo", "e"]
    assert len(study_effects(table, comparator_kind="random", pool=1.0, pretrain_on=None)) == 1
    assert len(study_effects(table, pretrain_on=["demo", "e"], pool=1.0)) == 3


def test_moderators_by_hand():
    """The ratio is over the pool that was seen, the fraction over all training images."""
    rows = [run(0.1 * s, seed=s) for s in (1, 2)]
    small = [run(0.1 * s, seed=s, pool=0.1, n_unlabelled=100) for s in (1, 2)]
    effects = study_effects(pd.DataFrame(rows + small)).set_index("pool")
    assert effects.log10_label_ratio.to_dict() == pytest.approx({0.1: -1.0, 1.0: -2.0})
    assert effects.log10_label_fraction.to_dict() == pytest.approx({0.1: -2.0, 1.0: -2.0})
    assert effects.log10_pool.to_dict() == pytest.approx({0.1: -1.0, 1.0: 0.0})
    assert set(effects.cluster_id) == {"demo"}
    assert np.isnan(study_effects(pd.DataFrame(small)).log10_label_fraction[0])


def test_designs_of_one_seed_are_left_out_and_counted():
    """One seed has no variance; the caller can show how many designs that left out."""
    table = pd.DataFrame([run(0.1, seed=1), run(0.2, seed=2), run(0.3, n_labelled=20)])
    assert study_effects(table).n_labelled.tolist() == [10]
    assert thin_designs(table)[["n_labelled", "seeds"]].values.tolist() == [[20, 1]]
    with pytest.raises(UsageError, match="more seeds"):
        study_effects(table, n_labelled=20)


def test_a_run_scored_again_counts_once_and_a_different_one_is_refused():
    """A repeated record with the same scores is the same run; other scores are an error."""
    rows = [run(0.1, seed=1), run(0.2, seed=2)]
    effects = study_effects(pd.DataFrame([*rows, rows[0]]))
    assert effects.replicates.tolist() == [2]
    with pytest.raises(UsageError, match=r"demo, simclr, fine_tune, 10 labels, seed 1 differ"):
        study_effects(pd.DataFrame([*rows, run(0.11, seed=1)]))


def test_unknown_columns_and_values_are_named():
    """Errors name the column, and the values that there are."""
    table = pd.DataFrame([run(0.1, seed=1), run(0.2, seed=2)])
    with pytest.raises(UsageError, match="no column 'colour'"):
        study_effects(table, colour="red")
    with pytest.raises(UsageError, match="method 'byol'; there are simclr"):
        study_effects(table, method="byol")
    with pytest.raises(UsageError, match="lacks subset"):
        study_effects(table.drop(columns="subset"))


def test_without_second_subsets_it_agrees_with_from_records():
    """Where each seed has one run, the study's effects are those of the earlier function."""
    table = random_runs()[lambda t: t.subset.isna()]
    ours, earlier = (part.sort_values(DESIGN) for part in (study_effects(table), from_records(table)))
    for column in ("yi", "vi", "seeds", "positive"):
        np.testing.assert_array_equal(ours[column], earlier[column])
    assert "replicates" not in earlier


def test_pooling_does_not_depend_on_the_order_of_runs():
    """Rows in another order give the same effects."""
    table = select_runs(random_runs())
    shuffled = table.sample(frac=1, random_state=1)
    pd.testing.assert_frame_equal(pool_seeds(table, STUDY_DESIGN), pool_seeds(shuffled, STUDY_DESIGN))


def test_every_method_of_the_study_has_a_family():
    """No method of the design falls into the family that is not stated."""
    assert set(METHODS + MORE_METHODS) == set(FAMILIES)
