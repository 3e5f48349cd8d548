"""Losses are counted as they are printed, and shares over clusters come with an honest interval."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom, norm, t

from medssl.errors import UsageError
from medssl.evidence import published
from medssl.evidence.tables import table_path
from medssl.synthesis.negatives import (
    BINS,
    FACTORS,
    comparisons,
    holders,
    loss_notes,
    share_table,
    shares,
    sizes,
)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    """Every comparison of the package."""
    return comparisons()


def made(own: list[list[bool]]) -> pd.DataFrame:
    """One inner list of losses a cluster."""
    parts = [
        {"loss": loss, "tie": False, "cluster_id": str(i)} for i, part in enumerate(own) for loss in part
    ]
    return pd.DataFrame(parts).assign(kind="u", yi=lambda table: np.where(table.loss, -0.02, 0.03))


def test_losses_are_those_of_the_printed_scores(rows):
    """A row is a loss, a tie or a gain as its two scores say in decimals, and no row is missing."""
    table = published("all").set_index("effect_id")
    assert rows.effect_id.is_unique
    assert set(rows.effect_id) == set(table.index)
    for row in rows.itertuples():
        first, second = (round(table[f"{arm}_value"][row.effect_id] * 1e9) for arm in ("baseline", "ssl"))
        assert (row.loss, row.tie) == (second < first, second == first)


def test_sets_are_disjoint_and_follow_the_pools(rows):
    """Primary means primary pool and self-supervision, natural images are apart, and nothing is excluded."""
    assert "excluded" not in set(rows.pool)
    for row in rows.itertuples():
        natural = row.pool == "natural_images"
        main = row.pool == "primary" and row.supervision == "self"
        assert row.set == ("natural images" if natural else "primary" if main else "sensitivity")


def test_bins_agree_with_a_loop(rows):
    """Each number lies in the bin whose limits hold it, the upper one included; a blank is not known."""
    for name, (column, ends) in BINS.items():
        limits = [-np.inf, *ends, np.inf]
        for value, words in zip(rows[column], rows[name], strict=True):
            if np.isnan(value):
                assert words == "not known"
                continue
            (place,) = [i for i in range(len(ends) + 1) if limits[i] < round(value, 9) <= limits[i + 1]]
            expected = [f"up to {ends[0]:,g}"] + [f"over {end:,g}" for end in ends]
            assert words.partition(" to ")[0] == expected[place].partition(" to ")[0]
    assert set(FACTORS) <= set(rows)


def test_comparisons_with_one_comparator_run_share_its_score(rows):
    """A run belongs to one cluster, one data set, one metric and one score, and some runs serve many."""
    runs = rows.groupby("comparator_run")
    for name in ("cluster_id", "downstream_data", "metric", "comparator", "baseline_value"):
        assert (runs[name].nunique() == 1).all()
    assert runs.size().max() > 3


def test_shares_agree_with_a_loop(rows):
    """Counts, the share of rows and the mean over clusters are those of a slow loop."""
    part = rows[rows.set == "primary"]
    table = shares(part, "modality", replicates=50).set_index("level")
    for level in ("xray", "ct", "mri", "ultrasound"):
        own = {}
        for row in part[part.modality == level].itertuples():
            own.setdefault(row.cluster_id, []).append(row.loss)
        flat = [loss for losses in own.values() for loss in losses]
        means = [sum(losses) / len(losses) for losses in own.values()]
        found = table.loc[level]
        assert (found.effects, found.losses, found.clusters) == (len(flat), sum(flat), len(own))
        assert found.clusters_with_loss == sum(any(losses) for losses in own.values())
        assert found.share_rows == pytest.approx(sum(flat) / len(flat))
        assert found.share_clusters == pytest.approx(sum(means) / len(means))


def test_the_interval_is_that_of_the_binomial_where_one_cluster_always_loses():
    """With one of five clusters at one and the others at zero, the mean of a draw is a binomial over five."""
    found = shares(made([[True], [False], [False], [False], [False]]), "kind", replicates=40_000).iloc[0]
    tail = norm.cdf(-np.sqrt(5 / 4) * t.isf(0.025, 4))
    assert found.ci_low == binom.ppf(tail, 5, 0.2) / 5
    assert found.ci_high == pytest.approx(binom.ppf(1 - tail, 5, 0.2) / 5)


def test_the_interval_holds_the_mean_with_few_clusters():
    """Over simulated sets of eight clusters, nearly 95% of intervals hold the true mean share."""
    random = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        own = random.beta(1.5, 4.0, size=8)
        table = pd.DataFrame({"loss": own, "tie": False, "cluster_id": list("abcdefgh"), "kind": "u"})
        found = shares(table, "kind", replicates=800).iloc[0]
        held += found.ci_low <= 1.5 / 5.5 <= found.ci_high
    assert 0.90 <= held / 300 <= 0.985


def test_there_is_no_interval_without_clusters_or_variation():
    """Four clusters, or clusters that are all alike, have a share and no interval."""
    few = shares(made([[True], [False], [False], [True, False]]), "kind").iloc[0]
    alike = shares(made([[False]] * 9), "kind").iloc[0]
    assert np.isnan([few.ci_low, few.ci_high, alike.ci_low, alike.ci_high]).all()
    assert (few.share_clusters, alike.share_clusters) == (pytest.approx(0.375), 0.0)


def test_a_large_cluster_counts_once():
    """Repeating the rows of a cluster changes the share of rows and leaves the mean over clusters."""
    own = [[True, False], [False], [False], [True], [False, False]]
    small, large = (shares(made(x), "kind").iloc[0] for x in (own, [own[0] * 50, *own[1:]]))
    names = ["share_clusters", "ci_low", "ci_high", "clusters"]
    pd.testing.assert_series_equal(small[names], large[names], check_names=False)
    assert small.share_rows != large.share_rows


def test_the_same_seed_gives_the_same_interval(rows):
    """Draws are fixed by their seed; another seed moves the limits a little."""
    part = rows[rows.set == "primary"]
    first, again, other = (shares(part, "set", seed=seed).iloc[0] for seed in (1, 1, 2))
    assert (first.ci_low, first.ci_high) == (again.ci_low, again.ci_high)
    assert first.ci_low == pytest.approx(other.ci_low, abs=0.01)
    assert first.ci_high == pytest.approx(other.ci_high, abs=0.01)


def test_tables_of_shares_hold_every_comparison(rows):
    """The levels of each factor add up to all rows, and a factor with one level is left out."""
    part = rows[rows.set == "primary"]
    table = share_table(part, replicates=50)
    assert (table.groupby("factor").effects.sum() == len(part)).all()
    assert (table.groupby("factor").losses.sum() == part.loss.sum()).all()
    assert "Adaptation" not in set(table.factor)
    with pytest.raises(UsageError, match="none of adaptation varies"):
        share_table(part, {"adaptation": "Adaptation"})
    with pytest.raises(UsageError, match="no column 'colour' to split by"):
        shares(part, "colour")


def test_sizes_agree_with_a_loop(rows):
    """Medians, extremes and the share beyond the minimal gain are those of a slow loop."""
    part = rows[rows.set == "primary"]
    table = sizes(part, "metric").set_index("level")
    for metric in ("AUC", "Dice"):
        gains = part.loc[part.metric == metric]
        lost = sorted(y for y, loss in zip(gains.yi, gains.loss, strict=True) if loss)
        won = [
            y for y, loss, tie in zip(gains.yi, gains.loss, gains.tie, strict=True) if not loss and not tie
        ]
        found = table.loc[metric]
        assert (found.losses, found.gains) == (len(lost), len(won))
        assert found.median_loss == pytest.approx(np.median(lost))
        assert found.largest_loss == lost[0]
        assert found.beyond == sum(y < -0.01 for y in lost)
        assert found.share_gains_beyond == pytest.approx(np.mean([y > 0.01 for y in won]))
    assert sizes(made([[False], [False]]), "kind").beyond.tolist() == [0]


def test_holders_share_out_all_losses(rows):
    """Every loss has one holder, the largest come first, and the cumulative share ends at one."""
    part = rows[rows.set == "primary"]
    for by in ("cluster_id", "method"):
        table = holders(part, by)
        assert table.losses.sum() == part.loss.sum()
        assert table.losses.is_monotonic_decreasing
        assert (table.losses > 0).all()
        assert table.cumulative.iloc[-1] == pytest.approx(1)
        np.testing.assert_allclose(table.cumulative, table.share_of_losses.cumsum())
    assert (holders(part).clusters == 1).all()


def test_a_method_is_named_before_any_bracket(rows):
    """Brackets, commas and dashes with spaces end the name of a method, and no name is empty."""
    named = dict(zip(rows.ssl_method, rows.method, strict=True))
    assert named["MoCo v2 (MoCo-CXR)"] == "MoCo v2"
    assert named["SimCLR - linear probe"] == "SimCLR"
    assert "" not in set(rows.method)


def test_notes_belong_to_clusters_with_losses(rows):
    """Each note names a cluster that lost and a place in the reading notes, once."""
    notes = loss_notes()
    lost = set(rows.cluster_id[rows.loss])
    assert set(notes.cluster_id) <= lost
    assert notes.cluster_id.is_unique
    folder = table_path("published_effects").parent / "notes"
    for row in notes.itertuples():
        for place in row.place.split("; "):
            assert (folder / place.partition(",")[0]).is_file(), row.cluster_id
        assert row.note.strip().endswith(".")
