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
# # Validation
#
# Can the statistics of this book be trusted?
# This page compares them with the R packages metafor {cite:p}`viechtbauer2010metafor` and clubSandwich, number by number, and then asks how often their intervals hold the truth where the truth is known.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **All {result}`compared` numbers of the R reference were computed again, and {result}`unexplained` of them differs without a reason that is shown here**: {result}`within` are within a tolerance set beforehand, and the other {result}`outside` come from iterations that R stopped early. {ref}`More <validation-summary>`
# - **Where two values differ and there is a likelihood or an equation to judge them, ours is the nearer one in {result}`decided_ours` of {result}`decided` cases.** {ref}`More <validation-differences>`
# - **Knapp and Hartung's interval is right where sampling variances are alike, and better but not right where they differ a hundredfold**: with heterogeneity its mean coverage is {result}`mild_knha_mean` and {result}`diagnostic_knha_mean`, against {result}`mild_z_mean` and {result}`diagnostic_z_mean` for the normal interval. {ref}`More <validation-independent>`
# - **Treating dependent effects as independent is the worst choice**: the interval of the mean then holds it in as few as {result}`mean_naive_lowest` of simulated data sets, and that of robust errors with the small-sample correction (CR2) in {result}`mean_cr2_lowest` at least. {ref}`More <validation-dependent>`
# ```
#
# ## Parameters
#
# The comparison and the published simulation have none.
# The last section simulates a setting of your own, and the names that begin with `own` belong to it.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
own_clusters: int = 12
own_rho: float = 0.6
own_replicates: int = 40
own_seed: int = 1

# %% tags=["hide-input"]
import json
from functools import partial

from medssl.book import Results, workspace
from medssl.book.validation import (
    coverage_table,
    differences,
    fewest,
    report_agreement,
    report_coverage,
    report_simulation,
    report_width,
    scrolling,
    summarise,
    with_family,
)
from medssl.book.wording import show_table
from medssl.figures import save_figure
from medssl.figures.coverage_plot import coverage_plot
from medssl.meta.agreement import agreement, expected_count
from medssl.meta.coverage import DependentSetting, read_table, simulate

declared_data = ["tests/meta/metafor_reference.json", "simulations/coverage.csv"]
place, results = workspace(), Results()

# %% [markdown]
# ## Agreement with metafor and clubSandwich
#
# The reference holds three data sets that come with metafor, with and without moderators: trials of a tuberculosis vaccine (`bcg`), experiments on teacher expectations (`raudenbush1985`), and studies of school calendars in districts (`konstantopoulos2011`).
# Every estimator is combined with every test; for the sets without moderators there are also the tests of small-study effects, the influence measures, leave-one-out and cumulative analyses; and the schools have three-level models and models of correlated and hierarchical effects {cite:p}`pustejovsky2022working` with robust errors.
# `medssl.meta.agreement` makes the comparison; a test of the package walks the reference file, counts its numbers without knowing what is compared, and fails when the table below has another number of rows.
#
# A number has one of four states.
#
# - *Within tolerance*: the relative difference is at most the tolerance, which was set beforehand and is smallest for closed forms.
# - *Ours nearer the optimum*: it is beyond tolerance, and our variance has the higher likelihood or solves the equation of its limit more exactly.
# - *Same at equal variance*: it is beyond tolerance because R's iteration for the variance stopped early; computed at that variance, our formula gives R's number to rounding.
# - *Unexplained*: none of these.
#
# (validation-summary)=

# %% tags=["hide-input"]
reference = json.loads((place.root / "tests/meta/metafor_reference.json").read_text(encoding="utf-8"))
table = with_family(agreement(reference))
assert len(table) == expected_count(reference)
report_agreement(results, table, reference["meta"], cell="validation-summary")
show_table(summarise(table, ["set"]))

# %% [markdown]
# The reference was made with {result}`versions`.
# By kind of quantity, over all sets:
#
# (validation-families)=

# %% tags=["hide-input"]
show_table(summarise(table, ["family"]))

# %% [markdown]
# By set and kind of quantity:

# %% tags=["hide-input"]
scrolling(summarise(table, ["set", "family"]))

# %% [markdown]
# Closed forms differ by at most {result}`largest_closed`, and everything that follows from a variance by at most {result}`largest_same` once the variance is the same.
#
# ## Where the two differ, and who is nearer
#
# The fits of the reference agree to {result}`largest_fit` or better.
# Its other numbers come from fits with metafor's default rule, Fisher scoring that stops at the first step below {fact}`0.00001` in absolute size, and from a root search for the limits of $\tau^2$.
# Where the variance is itself small, as for teacher expectations, that is early enough for relative differences of up to {result}`largest_difference`.
# Our fits go on until the likelihood rises no further.
# Fisher scoring in our code, started from the same estimate and stopped by the same rule, ends at the same variance to the last digits, which the column *at equal variance* shows.
#
# The judge is not us but the quantity that defines the estimate.
# For maximum likelihood, restricted or not, and for the variances of the multilevel model, it is the likelihood; where two likelihoods differ by rounding only, the slope decides.
# For the other iterated estimators it is the distance of $Q$ from its degrees of freedom, and for the limits of $\tau^2$ the distance of $Q$ from the quantile of chi-square.
# Leave-one-out estimates and errors are judged by the variance that is printed beside them.
# Other numbers that are not an optimum themselves, such as a coefficient, have no judge, and the column *nearer* is empty.
#
# Every number that differs by more than rounding ({result}`differing` of them):
#
# (validation-differences)=

# %% tags=["hide-input"]
scrolling(differences(table))

# %% [markdown]
# ## How often do intervals hold the truth? Independent effects
#
# Agreement with another program says nothing about whether either is right.
# So data were simulated from the model with a known mean and a known variance between studies, and fitted by restricted maximum likelihood.
# Sampling variances are known and unequal: the largest is three times the smallest (*mild*), or a hundred times, as among diagnostic studies of very different size (*diagnostic*).
# The share $I^2$ of the variance that is between studies takes three values.
# Three intervals for the mean are compared: the normal one (*z*), that of {cite:t}`knapp2003improved`, and the same with the guard that it must not be narrower than the normal one's standard error allows (*ad hoc*).
#
# (validation-independent)=

# %% tags=["hide-input"]
data = place.root / "simulations" / "coverage.csv"
simulated = read_table(data)
independent = simulated[simulated.effects == "independent"]
heterogeneous = independent[independent.i2 > 0]
report = partial(report_coverage, results, cell="validation-independent")
for pattern, part in heterogeneous.groupby("variances", sort=False):
    report(pattern, part)
report("homogeneous", independent[independent.i2 == 0])
report_simulation(results, "independent", independent, cell="validation-independent")
report_width(results, "wider", fewest(heterogeneous), "knha", "z", cell="validation-independent")
intervals = {"z": "z", "knha": "Knapp-Hartung", "adhoc": "ad hoc"}
titles = {"mild": "mild\nvariances", "diagnostic": "diagnostic\nvariances"}
titles |= {value: f"$I^2$ = {100 * value:g}%" for value in independent.i2.unique()}
drawing = coverage_plot(independent, columns="i2", rows="variances", methods=intervals, titles=titles)
save_figure(
    drawing, "validation-coverage-independent", folder=place.figures,
    title="Coverage of intervals for independent effects",
    caption="Share of simulated data sets whose 95% interval holds the true mean, against the number of effects, for "
    "two patterns of sampling variances and three shares of heterogeneity; the line is the nominal coverage",
    records=[data], seeds=sorted(set(independent.seed)), interval="Bars: 95% Monte Carlo interval",
    chapter=place.chapter, cell="validation-independent",
)  # fmt: skip

# %% [markdown]
# With heterogeneity, the normal interval holds the mean in {result}`mild_z_lowest` to {result}`mild_z_highest` of data sets under mild variances, and in {result}`diagnostic_z_lowest` to {result}`diagnostic_z_highest` under diagnostic ones.
# Knapp and Hartung's interval holds it in {result}`mild_knha_lowest` to {result}`mild_knha_highest`, and in {result}`diagnostic_knha_lowest` to {result}`diagnostic_knha_highest`.
# The price at {result}`independent_fewest` effects is an interval {result}`wider` times as wide.
# Without heterogeneity the normal interval already holds the mean in {result}`homogeneous_z_lowest` or more; there the guard only widens, up to a coverage of {result}`homogeneous_adhoc_highest`.
# With diagnostic variances the guard brings the lowest coverage from {result}`diagnostic_knha_lowest` to {result}`diagnostic_adhoc_lowest`, so few and very unequal effects remain a reason for caution.
#
# Each setting has {result}`independent_replicates` data sets, so that the Monte Carlo standard error of a coverage is at most {result}`independent_error`.
# Coverages and their standard errors, in percent:

# %% tags=["hide-input"]
setting = {"variances": "variances", "i2": "I2", "count": "effects"}
scrolling(coverage_table(independent, setting, intervals))

# %% [markdown]
# Mean widths of the intervals, in units of the typical standard error of one effect:

# %% tags=["hide-input"]
scrolling(coverage_table(independent, setting, intervals, "mean_width"))

# %% [markdown]
# ## Effects that share clusters
#
# Published effects come several to a paper, with shared images and shared comparators.
# Here clusters hold one to nine effects each, sampling errors within a cluster have a true correlation $\rho$, and true effects vary between clusters and within them.
# The model always assumes a correlation of {fact}`0.6`, as in the rest of the book, so it is wrong in every setting.
# Four intervals are compared.
#
# - *Clusters ignored*: random effects as if all were independent, with Knapp and Hartung's interval.
# - *Model-based*: correlated and hierarchical effects {cite:p}`pustejovsky2022working`, with the model's own standard errors and the normal distribution.
# - *CR1*: the same estimates with cluster-robust errors, scaled by the number of clusters, and $t$ with clusters less coefficients as degrees of freedom.
# - *CR2*: bias-reduced robust errors {cite:p}`bell2002bias,pustejovsky2018small` with Satterthwaite degrees of freedom {cite:p}`tipton2015small`, and for joint tests the approximate Hotelling test (HTZ) of {cite:t}`pustejovsky2018small`.
#
# They are judged on the mean of a model without moderators, on the slopes of a moderator that varies between clusters and of one that varies between effects, and on the joint test of both slopes.
# A test covers when it does not reject the true slopes, so its type I error is what its coverage lacks.
#
# (validation-dependent)=

# %% tags=["hide-input"]
dependent = simulated[simulated.effects == "dependent"]
report = partial(report_coverage, results, cell="validation-dependent")
for target, part in dependent.groupby("target", sort=False):
    report(target.replace(" ", "_"), part)
few = fewest(dependent)
report("few_joint", few[few.target == "joint test"])
report_simulation(results, "dependent", dependent, cell="validation-dependent")
report_width(
    results, "robust_wider", few[few.target == "cluster moderator"], "CR2", "CR1", cell="validation-dependent"
)
methods = {"naive": "clusters ignored", "model": "model-based", "CR1": "CR1", "CR2": "CR2"}
titles = {f"{level} moderator": f"{level}\nmoderator" for level in ("cluster", "effect")}
titles |= {value: rf"$\rho$ = {value:g}" for value in dependent.rho.unique()}
options = {"x_label": "Number of clusters", "titles": titles, "rows_share_data": True}
drawing = coverage_plot(dependent, columns="rho", rows="target", methods=methods, **options)
save_figure(
    drawing, "validation-coverage-dependent", folder=place.figures,
    title="Coverage of intervals for dependent effects",
    caption="Share of simulated data sets whose 95% interval holds the truth, and whose 5% joint test does not reject "
    "it, against the number of clusters, for three true correlations of sampling errors; the line is the nominal coverage",
    records=[data], seeds=sorted(set(dependent.seed)), interval="Bars: 95% Monte Carlo interval",
    chapter=place.chapter, cell="validation-dependent",
)  # fmt: skip

# %% [markdown]
# Ignoring clusters, the interval of the mean holds it in {result}`mean_naive_lowest` to {result}`mean_naive_highest` of data sets, and that of the slope of a cluster moderator in {result}`cluster_moderator_naive_lowest` to {result}`cluster_moderator_naive_highest`; more clusters do not help.
# Only the slope of a moderator that varies within clusters is spared, with {result}`effect_moderator_naive_lowest` or more.
# For the slope of a cluster moderator, the usual robust errors (CR1) come down to {result}`cluster_moderator_cr1_lowest`, and CR2 to {result}`cluster_moderator_cr2_lowest`; at {result}`dependent_fewest` clusters CR2's interval is {result}`robust_wider` times as wide.
# The joint test at a nominal five percent rejects true slopes in up to {result}`joint_test_naive_most_missed` of data sets where clusters are ignored, in up to {result}`joint_test_model_most_missed` with the model's own errors, in up to {result}`joint_test_cr1_most_missed` with CR1, and in {result}`joint_test_cr2_least_missed` to {result}`joint_test_cr2_most_missed` with HTZ.
# With {result}`dependent_fewest` clusters HTZ rejects in {result}`few_joint_cr2_most_missed` at most: it does not claim what so few clusters cannot tell, and it will have little power there.
#
# Each setting has {result}`dependent_replicates` data sets, so that the Monte Carlo standard error is at most {result}`dependent_error`.
# Data sets without an interval or a test are left out; there were {result}`dependent_undefined`.
# Coverages and their standard errors, in percent:

# %% tags=["hide-input"]
setting = {"target": "target", "rho": "rho", "count": "clusters"}
short = methods | {"naive": "ignored", "model": "model"}
scrolling(coverage_table(dependent, setting, short))

# %% [markdown]
# Mean widths of the intervals:

# %% tags=["hide-input"]
scrolling(coverage_table(dependent[dependent.target != "joint test"], setting, short, "mean_width"))

# %% [markdown]
# ## What this does not show
#
# - Sampling variances were taken as known and effects as normal, as the models assume; gains near a perfect score are neither.
# - The simulated means and slopes are zero, which costs no generality, because estimates shift with the truth and intervals with them; it says nothing of power.
# - Selective publication was not simulated.
# - Three data sets of other fields are a check of formulas, not of their use on gains.
#
# ## A setting of your own
#
# `make chapter CHAPTER=methods/validation BOOK_OPTIONS="--parameter own_clusters=8 --parameter own_replicates=500"` simulates another number of clusters.
# The whole table is made again by `python simulations/coverage.py`.
#
# (validation-own)=

# %% tags=["hide-input"]
own = simulate(DependentSetting(own_clusters, own_rho), own_replicates, own_seed)
results.save()
scrolling(coverage_table(own, setting, short))
