# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     name: python3
# ---

# %% [markdown]
# # When self-supervision did not help
#
# In some published comparisons the pretrained network scored below the network that it was compared with.
# This page looks at these losses: how often, where, how large, who reports them, and how many chance alone would make.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Pretraining lost {result}`loss_every_losses` of {result}`loss_every_effects` published comparisons ({result}`loss_every_share`).** In the primary analysis it lost {result}`loss_primary_losses` of {result}`loss_primary_effects` ({result}`loss_primary_share`), and averaged over its clusters {result}`loss_primary_mean` of the comparisons of a cluster. {ref}`More <loss-sets>`
# - **Half of the losses of the primary analysis stand in {result}`loss_cluster_half` of its {result}`loss_primary_clusters` clusters**, and {result}`loss_primary_clusters_without` clusters report none. {ref}`More <loss-clusters>`
# - **A typical loss is {result}`loss_size_auc_median_loss` in AUC and {result}`loss_size_dice_median_loss` in Dice.** {result}`loss_size_auc_share_beyond` of the losses in AUC and {result}`loss_size_dice_share_beyond` of those in Dice exceed the minimal important gain of {result}`loss_minimal_gain`. {ref}`More <loss-sizes>`
# - **Sampling error alone {result}`loss_expected_auc_random_sampling_verdict` the losses in AUC against random initialisation, and {result}`loss_expected_dice_random_sampling_verdict` those in Dice.** In AUC it makes {result}`loss_expected_auc_random_sampling` of the comparisons losses, with the spread of true gains {result}`loss_expected_auc_random_expected` ({result}`loss_expected_auc_random_range`), and {result}`loss_expected_auc_random_observed` are there. {ref}`More <loss-expected>`
# - **{result}`loss_clear_measured_below` of {result}`loss_clear_measured_effects` comparisons with a measured variance have an interval wholly below zero.** Chance makes {result}`loss_clear_measured_chance_expected`, and up to {result}`loss_clear_measured_cluster_high` if whole clusters shared their errors. {ref}`More <loss-clear>`
# - **A tenfold label ratio goes with {result}`loss_together_label_ratio`**, and a tenfold number of labels with {result}`loss_together_n_labelled`. {ref}`More <loss-together>`
# - **Authors who test only their own methods report losses in {result}`loss_own_mean` of the comparisons of a cluster, those who test only the methods of others in {result}`loss_others_mean`.** {ref}`More <loss-where>`
# ```
#
# ## Parameters
#
# The numbers of random draws, and their seed.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
replicates: int = 10000
draws: int = 4000
seed: int = 1

# %% tags=["hide-input"]
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Markdown

from medssl.book import Results, workspace
from medssl.book.negatives_page import (
    chance_table,
    direction_table,
    expectation_table,
    holder_list,
    holder_table,
    joint_test_table,
    named,
    outcomes,
    regression_table,
    share_words,
    size_table,
)
from medssl.book.negatives_results import (
    report_chance,
    report_direction,
    report_expectation,
    report_holders,
    report_regression,
    report_share,
    report_sizes,
)
from medssl.book.synthesis_page import cluster_names
from medssl.book.validation import scrolling
from medssl.book.wording import show_table
from medssl.figures import bubble, save_figure
from medssl.figures.share_plot import share_plot
from medssl.meta import multilevel
from medssl.synthesis.expected_losses import clear_losses, expected_losses, gain_limits, small_study_direction
from medssl.synthesis.loss_regression import loss_regression, single_regressions
from medssl.synthesis.negatives import FACTORS, comparisons, holders, loss_notes, share_table, shares, sizes
from medssl.synthesis.stratum import RHO, STRONG_RUNGS

declared_data = []  # everything on this page comes from the tables of the package
place, results = workspace(), Results()
bootstrap = {"replicates": replicates, "seed": seed}
figure = partial(save_figure, folder=place.figures, records=["published_effects.csv"], chapter=place.chapter)
rows = comparisons()
primary = rows[rows.set == "primary"]

# %% [markdown]
# ## What counts as a loss
#
# A loss is a comparison in which the printed score of the pretrained network is below that of its comparator, at the same labels.
# Equal scores are ties and counted apart.
# Three sets of comparisons are kept apart, as everywhere in the book.
# The *primary* analysis allows inference: both arms fine-tuned, equal architectures, values read at the source, a medical pool, no labels in the pretraining.
# The *sensitivity* set holds what fails one of these conditions, and rows whose pretraining used metadata or weak labels; some of its comparisons were unfair to pretraining and others to the comparator.
# The third set pretrained on *natural images*.
# The excluded rows repeat a run and are never counted.
#
# Rows are no independent trials: one baseline run often serves many pretrained networks, so that one lucky baseline makes many losses.
# Each table of shares therefore gives the share of all comparisons, and beside it the mean over clusters of each cluster's own share, in which a cluster with hundreds of comparisons counts once.
# The interval of that mean draws clusters with replacement; with fewer than five clusters, or where all have the same share, there is none.
#
# (loss-sets)=

# %% tags=["hide-input"]
every = shares(rows.assign(all="all"), "all", **bootstrap)
by_set = shares(rows, "set", **bootstrap)
report_share(results, "loss_every", every.iloc[0], cell="loss-sets")
for name, key in (("primary", "primary"), ("sensitivity", "sensitivity"), ("natural images", "natural")):
    report_share(results, f"loss_{key}", by_set.set_index("level").loc[name], cell="loss-sets")
by_set = by_set.set_index("level").loc[["primary", "sensitivity", "natural images"]].reset_index()
show_table(share_words(pd.concat([by_set, every])))

# %% [markdown]
# Averaged over clusters, losses are rarer than among all comparisons when the clusters with many comparisons lose more often than the others.
#
# ## Where losses are
#
# The comparator comes first, because it decides what a loss means: to lose against random initialisation is to lose against not pretraining, and to lose against ImageNet weights may still be better than that.
# The last group asks whose methods a study tests; it is taken from the names of methods and titles by a rule, which {doc}`the page of the evidence <evidence>` shows, and is rough.
#
# (loss-where)=

# %% tags=["hide-input"]
table = share_table(primary, **bootstrap)
for column, level, key in (
    ("Comparator", "random", "random"), ("Comparator", "imagenet_supervised", "imagenet"),
    ("Methods that the authors test", "only their own", "own"),
    ("Methods that the authors test", "only others'", "others"),
):  # fmt: skip
    row = table[(table.factor == column) & (table.level == level)].iloc[0]
    report_share(results, f"loss_{key}", row, cell="loss-where")
drawn = [FACTORS[name] for name in ("comparator", "modality", "task_type", "family", "label ratio", "labels",
                                    "comparator's score", "own_method")]  # fmt: skip
shown = table[table.factor.isin(drawn) & ~table.level.isin(["not known", "not_stated"])]
shown = shown.assign(level=shown.level.map(named)).sort_values(
    "factor", key=lambda names: names.map(drawn.index), kind="stable"
)
figure(
    share_plot(shown, reference=by_set.set_index("level").share_clusters["primary"], count=len(primary)), "loss-shares",
    title="How often pretraining lost, by what was compared",
    caption="Share of the comparisons of the primary analysis in which the pretrained network scored below its comparator; "
    "filled: mean over clusters of each cluster's share, open: share of all comparisons, dotted: the mean over all clusters of the analysis",
    interval="Bars: 95% cluster bootstrap; none with fewer than five clusters", seeds=[seed], cell="loss-where",
)  # fmt: skip

# %% [markdown]
# Against random initialisation the mean over clusters is {result}`loss_random_mean`, and against ImageNet weights {result}`loss_imagenet_mean`.
# Differences between levels are not tested here, since levels differ in many ways at once; the regression below does that.
#
# All levels, with those that the figure leaves out:

# %% tags=["hide-input"]
scrolling(share_words(table))

# %% [markdown]
# ### Outside the primary analysis
#
# The same for the sensitivity set, where the adaptation differs between comparisons too:
#
# (loss-sensitivity)=

# %% tags=["hide-input"]
scrolling(share_words(share_table(rows[rows.set == "sensitivity"], **bootstrap)))

# %% [markdown]
# And for pretraining on natural images, which has no label ratio:

# %% tags=["hide-input"]
scrolling(share_words(share_table(rows[rows.set == "natural images"], **bootstrap)))

# %% [markdown]
# ## How large losses are
#
# Metrics are not mixed.
# The minimal important gain is {result}`loss_minimal_gain`.
#
# (loss-sizes)=

# %% tags=["hide-input"]
by_metric = sizes(primary, "metric")
report_sizes(results, by_metric, {"AUC": "auc", "Dice": "dice"}, cell="loss-sizes")
show_table(size_table(by_metric))

# %% [markdown]
# The largest loss is {result}`loss_size_auc_largest_loss` in AUC and {result}`loss_size_dice_largest_loss` in Dice.
# The median gain of the comparisons that were won is {result}`loss_size_auc_median_gain` in AUC and {result}`loss_size_dice_median_gain` in Dice; {result}`loss_size_auc_share_gains_beyond` and {result}`loss_size_dice_share_gains_beyond` of them exceed the minimal important gain.
# Extremes among many comparisons are partly luck on either side.
#
# ### Against the label ratio
#
# Each mark is one comparison with random initialisation whose label ratio is known.
# Marks below zero are losses; where the interval of a single comparison lies wholly below zero, the mark says so.
# The line is the fitted mean of all of them, and its bands respect clusters; with fewer than ten clusters there is none.
#
# (loss-ratio-auc)=

# %% tags=["hide-input"]
limits = gain_limits(rows)
marked = rows.assign(outcome=outcomes(rows, limits))[np.isfinite(rows.log10_label_ratio)]
marked = marked[(marked.set == "primary") & (marked.comparator == "random")]
auc, dice = (marked[marked.metric == metric].reset_index(drop=True) for metric in ("AUC", "Dice"))
lines = {}
for metric, part in (("AUC", auc), ("Dice", dice)):
    ratio = part[["log10_label_ratio"]]
    lines[metric] = (
        multilevel(part.yi, part.vi, part.cluster_id, ratio, rho=RHO)
        if part.cluster_id.nunique() >= 10
        else None
    )
bands = {
    metric: "There are no bands, as too few clusters have a known ratio" if line is None
    else "Bands: 95% confidence and 95% prediction, cluster-robust" for metric, line in lines.items()
}  # fmt: skip
figure(
    bubble(auc, lines["AUC"], by="outcome", interval="robust", comparator="random initialisation"), "loss-ratio-auc",
    title="Gains and losses in AUC against the label ratio",
    caption="Gains in AUC over random initialisation in the primary analysis against the label ratio, losses marked", cell="loss-ratio-auc", seeds=[], interval=bands["AUC"],
)  # fmt: skip

# %% [markdown]
# (loss-ratio-dice)=

# %% tags=["hide-input"]
figure(
    bubble(dice, lines["Dice"], by="outcome", interval="robust", scale="Dice", comparator="random initialisation"), "loss-ratio-dice",
    title="Gains and losses in Dice against the label ratio",
    caption="Gains in Dice over random initialisation in the primary analysis against the label ratio, losses marked", cell="loss-ratio-dice", seeds=[], interval=bands["Dice"],
)  # fmt: skip

# %% [markdown]
# ## What goes with a loss
#
# Let $d_{ij}$ be one where comparison $i$ of cluster $j$ is a loss and zero elsewhere.
# The model is a linear probability model with a random intercept for each cluster,
#
# $$
# d_{ij} = x_{ij}' \beta + u_j + w_{ij} ,
# $$
#
# so that a coefficient is a difference of probabilities, in percentage points.
# Its errors are cluster-robust (CR2) with Satterthwaite degrees of freedom {cite:p}`bell2002bias,tipton2015small`, and joint tests are HTZ {cite:p}`pustejovsky2018small`.
# A linear model was preferred to a logistic one because these corrections for few clusters exist for it; the price is that {result}`loss_together_outside` of its fitted probabilities lie outside zero to one.
# Levels in fewer than three clusters are merged or left out, and with fewer than ten clusters nothing is fitted.
# With fewer than four degrees of freedom a p value should not be believed {cite:p}`tipton2015small`; such terms are marked *thin*.
#
# The number of comparisons differs between rows of the next table, because sources are silent on different things.
#
# (loss-alone)=

# %% tags=["hide-input"]
factors, numbers = ["comparator", "modality", "family"], ["log10_label_ratio", "log10_n_labelled"]
further = ["log10_label_fraction", "log10_n_unlabelled", "log10_n_test", "baseline_value"]
together = loss_regression(primary, factors, numbers)
alone = single_regressions(primary, [*factors, "task_type", "own_method"], [*numbers, *further])
show_table(joint_test_table(alone, together.tests))

# %% [markdown]
# The regression beside the others has {result}`loss_together_effects` comparisons of {result}`loss_together_clusters` clusters.
# The reference is a contrastive method on radiographs against random initialisation.
#
# (loss-together)=

# %% tags=["hide-input"]
report_regression(results, together, "loss_together", cell="loss-together")
show_table(regression_table(together.coefficients))

# %% [markdown]
# - A tenfold label ratio goes with {result}`loss_together_label_ratio`.
# - A tenfold number of labels goes with {result}`loss_together_n_labelled`.
# - Terms that clearly go with more losses: {result}`loss_together_more`.
# - Terms that clearly go with fewer losses: {result}`loss_together_fewer`.
# - Terms that are thin: {result}`loss_together_thin` of {result}`loss_together_terms`.
#
# Merged or left out: {result}`loss_together_merged`.
# These are associations across studies: whoever compares many methods against one baseline also chooses other data, and nothing here was randomised.
#
# With the sensitivity set, and the adaptation as one more variable:
#
# (loss-together-wide)=

# %% tags=["hide-input"]
wide = loss_regression(rows[rows.set != "natural images"], [*factors, "adaptation"], numbers)
report_regression(results, wide, "loss_wide", cell="loss-together-wide")
show_table(regression_table(wide.coefficients))

# %% [markdown]
# There, with {result}`loss_wide_effects` comparisons of {result}`loss_wide_clusters` clusters, more losses go with: {result}`loss_wide_more`; fewer with: {result}`loss_wide_fewer`.
# Merged or left out: {result}`loss_wide_merged`.
#
# ## How many losses chance would make
#
# ### As many as the spread of gains makes?
#
# For each metric and comparator the model of correlated and hierarchical effects {cite:p}`pustejovsky2022working` gives a mean gain $\mu$, a variance $\sigma_1^2$ between clusters and $\sigma_2^2$ between the comparisons of a cluster.
# An observed gain with the sampling variance $v_i$ then falls below zero with probability
#
# $$
# p_i = \Phi\!\left( \frac{-\mu}{\sqrt{\sigma_1^2 + \sigma_2^2 + v_i}} \right) .
# $$
#
# - *Observed*: the share of all comparisons, and in brackets the mean over clusters.
# - *Sampling error*: the mean of $p_i$ with both variances set to zero, as if every true gain were $\mu$; and the share that simulated literatures of that kind exceed in one of forty cases.
# - *Heterogeneity*: the mean of $p_i$, and the range that holds the share in 95% of simulated literatures of the same design. <!-- fact -->
# - *True gains*: the share of them below zero, $p_i$ with $v_i$ set to zero; what would remain however many cases were tested.
# - *New cluster*: the same for a new group of authors, with the uncertainty of the mean.
#
# The range assumes that the fitted model is true, and that all its distributions are normal.
#
# (loss-expected)=

# %% tags=["hide-input"]
logit = comparisons("logit")
strata = {
    (metric, comparator): table[(table.set == "primary") & (table.comparator == comparator) & table.metric.isin(metrics)]
    for metric, table, metrics in (("AUC", rows, ["AUC"]), ("Dice", rows, ["Dice"]), ("All, as logits", logit, set(rows.metric)))
    for comparator in ("random", "imagenet_supervised", "other_supervised")
}  # fmt: skip
expected = pd.DataFrame(
    [
        {"metric": metric, "comparator": comparator, "level": named(comparator)} | expected_losses(part, draws=draws, seed=seed)
        for (metric, comparator), part in strata.items()
    ]
)  # fmt: skip
for metric in ("AUC", "Dice"):
    row = expected[(expected.metric == metric) & (expected.comparator == "random")].iloc[0]
    report_expectation(results, f"loss_expected_{metric.lower()}_random", row, cell="loss-expected")
figure(
    share_plot(
        expected.dropna(subset="expected"), groups="metric", columns=("expected", "low", "high", "observed"), count=len(primary),
        words=("Expected by the fitted model", "Observed"),
    ),
    "loss-expected", title="Expected and observed share of losses",
    caption="Share of losses that the fitted model expects with sampling error and heterogeneity, and the share that was observed, "
    "in the primary analysis by metric and comparator; all metrics meet as differences of logits, so a comparison may stand in two rows",
    interval="Bars: 95% of simulated literatures", seeds=[seed], cell="loss-expected",
)  # fmt: skip

# %% tags=["hide-input"]
show_table(expectation_table(expected))

# %% [markdown]
# A stratum with fewer than three clusters has no fit.
# Sampling error alone {result}`loss_expected_auc_random_sampling_verdict` the losses in AUC against random initialisation, where it makes {result}`loss_expected_auc_random_sampling_high` at most, and {result}`loss_expected_dice_random_sampling_verdict` those in Dice, with {result}`loss_expected_dice_random_sampling_high` at most.
# In AUC the observed share is {result}`loss_expected_auc_random_place` the range of the model.
# In Dice the model expects {result}`loss_expected_dice_random_expected` ({result}`loss_expected_dice_random_range`), sampling error alone {result}`loss_expected_dice_random_sampling`, and {result}`loss_expected_dice_random_observed` are observed, {result}`loss_expected_dice_random_place` the range; {result}`loss_expected_dice_random_as_few` of simulated literatures have as few losses or fewer.
#
# Fewer losses than expected have two explanations, which these data cannot tell apart.
# Gains have a long upper tail, since a comparator that fails to train loses by a wide margin, and a normal distribution as wide as that tail puts too much below zero.
# Or losses were made and not published.
#
# ### More clear losses than chance makes?
#
# Now each comparison has only its own interval: gain and 95% limits, from a $t$ distribution with Welch's degrees of freedom where the variance is over a few runs. <!-- fact -->
# *Measured* variances come from a printed interval of the gain, from runs or folds, or from intervals of both arms; *modelled* ones were computed from the number of test cases.
# An imputed variance belongs to no comparison, and those rows are left out.
#
# If no true gain differed from zero, one interval in forty would lie below zero.
# The expected number is therefore simple, and its range is not, because comparisons share errors.
# Two gains over the same baseline run share half of their error.
# The range in brackets gives comparisons with one baseline run a correlation of {fact}`0.6`; the next column gives it to all comparisons of a cluster, which is too much where a cluster has many data sets.
#
# (loss-clear)=

# %% tags=["hide-input"]
chance = clear_losses(primary, draws=draws, seed=seed)
report_chance(results, chance, cell="loss-clear")
show_table(chance_table(chance))

# %% [markdown]
# Of the comparisons with a measured variance, {result}`loss_clear_measured_below` in {result}`loss_clear_measured_below_clusters` clusters have an interval wholly below zero, {result}`loss_clear_measured_verdict` chance makes where runs share errors, and {result}`loss_clear_measured_cluster_verdict` it makes where whole clusters do.
# {result}`loss_clear_measured_below_minimal` lie wholly below minus the minimal important gain, where chance makes {result}`loss_clear_measured_minimal_expected`.
# On the other side {result}`loss_clear_measured_above` lie wholly above zero.
# An interval over runs describes the training and not the test cases, and one over test cases the reverse; both are narrower than the uncertainty of a reader who has other patients.
#
# The same in the sensitivity set:

# %% tags=["hide-input"]
show_table(chance_table(clear_losses(rows[rows.set == "sensitivity"], draws=draws, seed=seed)))

# %% [markdown]
# ## Who holds the losses
#
# The notes were written while the sources were read, before this page.
# Where they say nothing, nothing is added.
#
# (loss-clusters)=

# %% tags=["hide-input"]
held = holders(primary)
report_holders(results, held, "loss_cluster", cell="loss-clusters")
names = dict(zip(rows.cluster_id, cluster_names(rows), strict=True))
Markdown(holder_list(held, loss_notes(), names))

# %% [markdown]
# The first cluster holds {result}`loss_cluster_first_share` of the losses.
# A cluster that compares many methods, or many label counts, with one baseline run can report many losses, and one that makes a single comparison can report one at most.
#
# In the sensitivity set and among natural images:

# %% tags=["hide-input"]
Markdown(holder_list(holders(rows[rows.set != "primary"]), loss_notes(), names))

# %% [markdown]
# By method, as the source names it before any bracket, in the primary analysis:
#
# (loss-methods)=

# %% tags=["hide-input"]
by_method = holders(primary, "method")
report_holders(results, by_method, "loss_method", cell="loss-methods")
scrolling(holder_table(by_method))

# %% [markdown]
# A method that many studies use as a baseline for their own collects losses for that reason alone.
#
# ## Do losses go missing?
#
# Were losses less often published, imprecise comparisons would show larger gains than precise ones, because an imprecise comparison must gain much to be noticed.
# Egger's regression of the gain on its standard error asks for that, here with cluster-robust errors; a positive slope points that way.
# It is fitted with ten clusters or more.
# *Measured* keeps the comparisons whose variance was measured.
#
# (loss-direction)=

# %% tags=["hide-input"]
asked = {f"{metric} against {named(comparator)}": part for (metric, comparator), part in strata.items()}
asked["All, as logits, against any comparator"] = logit[logit.set == "primary"]
measured = {
    f"{name}, measured": part[part.variance_origin.isin(STRONG_RUNGS)] for name, part in asked.items()
}
direction = small_study_direction(asked | measured)
report_direction(results, direction, "loss_direction", cell="loss-direction")
report_direction(
    results, direction[direction.name.isin(measured)], "loss_direction_measured", cell="loss-direction"
)
show_table(direction_table(direction))

# %% [markdown]
# Of {result}`loss_direction_strata` strata, {result}`loss_direction_fitted` have clusters enough.
# Of these, {result}`loss_direction_larger` point to larger gains of imprecise comparisons and {result}`loss_direction_smaller` to smaller ones; of the {result}`loss_direction_measured_fitted` with measured variances, {result}`loss_direction_measured_larger` and {result}`loss_direction_measured_smaller`.
# A slope is no proof of missing losses.
# Small test sets go with rare labels and hard tasks, in which true gains may be larger; modelled variances depend on the score itself; and rows of the table overlap.
#
# ## What this page cannot know
#
# - Losses that were never written down, and losses in papers that could not be read, are not here.
# - A loss is a difference of two printed numbers, and neither says how hard each arm was tuned.
# - Tests of many variables find some by chance; none was registered beforehand, and the p values are not corrected for their number.
# - Clusters are judged by what is known to be shared; groups of authors that share more than they say would make all intervals too narrow.

# %% tags=["hide-input"]
results.save()
Markdown(f"{len(rows)} comparisons were read for this page.")
