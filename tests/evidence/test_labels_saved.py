"""Labels saved: closed forms on exact curves, invariances, and words in place of extrapolation."""

import numpy as np
import pandas as pd
import pytest

from medssl.errors import UsageError
from medssl.evidence import labels_saved
from medssl.evidence.labels_saved import LIMIT, seed_curves

COUNTS = (10, 50, 100, 500, 1000)
BASE = {
    "dataset": "demo", "modality": "ct", "method": "simclr", "comparator_kind": "random", "pool": 1.0,
    "pretrain_on": None, "adaptation": "fine_tune", "selection": "budget", "n_unlabelled": 1000,
    "subset": None, "gain": 0.0, "standard_error": 0.01, "n_test": 50,
}  # fmt: skip


def curve(n):
    return 0.9 - 0.6 * n**-0.5


def runs(ssl, comparator=curve, seeds=(1, 2, 3), noise=0.0):
    """Return a run for each count and seed, with noise that both arms do not share."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        BASE | {"n_labelled": n, "seed": s, "ssl": ssl(n) + e[0], "comparator": comparator(n) + e[1]}
        for s in seeds for n in COUNTS for e in [noise * rng.normal(size=2)]
    )  # fmt: skip


def test_half_as_many_labels_again_saves_a_third():
    """An arm that acts as if it had 1.5 times the labels saves a third of them at each count."""
    found = labels_saved(runs(lambda n: curve(1.5 * n)), "simclr", draws=50)
    np.testing.assert_allclose(found.needed, 1.5 * np.array(COUNTS), rtol=1e-5)
    np.testing.assert_allclose(found.saved, 1 / 3, rtol=1e-5)
    np.testing.assert_allclose(found.saved_low, 1 / 3, rtol=1e-5)
    assert set(found.status) == {"reached"}
    assert found.text[0] == "15 (15 to 15)"


def test_equal_arms_save_nothing():
    """The same scores in both arms need the same labels, draw by draw."""
    table = runs(curve, noise=0.01).assign(comparator=lambda t: t.ssl)
    found = labels_saved(table, "simclr", draws=100)
    np.testing.assert_allclose(found.needed, COUNTS, rtol=1e-6)
    np.testing.assert_allclose(found.needed_low, COUNTS, rtol=1e-6)
    np.testing.assert_allclose(found.needed_high, COUNTS, rtol=1e-6)


def test_losses_are_negative_savings():
    """An arm worth half of its labels saves minus one, except where that is below the smallest count."""
    found = labels_saved(runs(lambda n: curve(n / 2)), "simclr", draws=20).set_index("n_labelled")
    np.testing.assert_allclose(found.saved.loc[50:], -1.0, rtol=1e-5)
    assert found.status[10] == "fewer than"
    assert np.isnan(found.needed[10])
    assert (found.needed_low[10], found.needed_high[10]) == (0.0, 10.0)
    assert found.text[10] == "fewer than 10 (fewer than 10 to 10)"


def test_nothing_is_extrapolated_beyond_twice_the_largest_count():
    """Beyond the limit there are words and a safe limit, not a number."""
    found = labels_saved(runs(lambda n: curve(2.1 * n)), "simclr", draws=20).iloc[-1]
    assert (found.status, found.needed_low, found.needed_high) == ("more than", LIMIT * 1000, np.inf)
    assert np.isnan(found.needed)
    assert np.isnan(found.saved)
    assert found.saved_low == pytest.approx(0.5)
    assert found.text == "more than 2,000 (2,000 to more than 2,000)"


def test_a_score_above_the_asymptote_is_not_reached():
    """Where the comparator levels off below the other arm, no number of labels is given."""
    found = labels_saved(runs(lambda n: curve(n) + 0.2), "simclr", draws=20).iloc[-1]
    assert found.status == "not reached"
    assert np.isnan(found.needed)


def test_the_isotonic_form_never_leaves_the_data():
    """Its numbers lie between the counts, and it is exact on a curve that is straight in log n."""
    straight = labels_saved(
        runs(lambda n: 0.1 * np.log10(2 * n), lambda n: 0.1 * np.log10(n)),
        "simclr",
        form="isotonic",
        draws=20,
    )
    np.testing.assert_allclose(straight.needed[:-1], 2 * np.array(COUNTS[:-1]), rtol=1e-9)
    assert straight.status.iloc[-1] == "not reached"
    assert straight.needed_low.iloc[-1] == 1000


@pytest.mark.parametrize("form", ["power_law", "isotonic"])
def test_scale_shift_and_order_do_not_matter(form):
    """Scores times a factor plus a constant, rows in another order: the same numbers of labels."""
    table = runs(lambda n: curve(1.4 * n), noise=0.005)
    moved = table.assign(ssl=0.5 * table.ssl + 0.1, comparator=0.5 * table.comparator + 0.1)
    first, second = (
        labels_saved(t, "simclr", form=form, draws=60) for t in (table, moved.sample(frac=1, random_state=0))
    )
    columns = ["needed", "needed_low", "needed_high"]
    np.testing.assert_allclose(second[columns], first[columns], rtol=1e-4)


def test_the_interval_draws_whole_seeds():
    """Where seeds differ by the same constant in both arms, the interval has no width."""
    table = runs(lambda n: curve(1.5 * n))
    table[["ssl", "comparator"]] += 0.02 * table[["seed"]].to_numpy()
    found = labels_saved(table, "simclr", draws=50)
    np.testing.assert_allclose(found.needed_low, found.needed_high, rtol=1e-4)
    apart = labels_saved(runs(lambda n: curve(1.5 * n), noise=0.01), "simclr", draws=50)
    assert (apart.needed_low < apart.needed_high).all()


def test_subsets_are_averaged_within_a_seed_and_shared_ones_left_out():
    """A second subset enters the mean of its seed; one that seeds share does not."""
    table = runs(curve)
    second = table[table.n_labelled == 10].assign(subset=lambda t: 100 + t.seed, ssl=lambda t: t.ssl + 0.1)
    shared = table[table.n_labelled == 50].assign(subset=201, ssl=0.0)
    arms = seed_curves(pd.concat([table, second, shared]), "simclr")
    assert arms["ssl"].loc[1].tolist() == pytest.approx([curve(10) + 0.05, *map(curve, COUNTS[1:])])


def test_a_seed_that_lacks_a_count_still_counts_elsewhere():
    """Means are over the seeds that are there, and the table says how many."""
    table = runs(lambda n: curve(1.5 * n))
    found = labels_saved(table.iloc[:-1], "simclr", draws=50)
    assert found.seeds.tolist() == [3, 3, 3, 3, 2]
    np.testing.assert_allclose(found.needed, 1.5 * np.array(COUNTS), rtol=1e-5)


def test_what_cannot_be_answered_is_refused():
    """Mixed designs, one seed, two counts, an unknown form and one draw are named."""
    table = runs(curve)
    mixed = pd.concat([table, table.assign(pool=0.25)])
    with pytest.raises(UsageError, match="differ in pool"):
        labels_saved(mixed, "simclr")
    assert len(labels_saved(mixed, "simclr", pool=1.0, draws=2)) == 5
    with pytest.raises(UsageError, match="1 seed"):
        labels_saved(table[table.seed == 1], "simclr")
    with pytest.raises(UsageError, match="2 label count"):
        labels_saved(table, "simclr", n_labelled=[10, 50])
    with pytest.raises(UsageError, match="form is 'cubic'"):
        labels_saved(table, "simclr", form="cubic")
    with pytest.raises(UsageError, match="2 draws"):
        labels_saved(table, "simclr", draws=1)
