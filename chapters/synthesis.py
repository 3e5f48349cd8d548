# ---
# jupyter:
#   jupytext:
#     text_representation:
#       extension: .py
#       format_name: percent
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # The pooled picture
#
# What the published comparisons say together: the gain of self-supervised pretraining over a supervised comparator at the same labels, and how it changes with the label ratio.
# Comparators are never averaged with each other, and neither are AUC and Dice.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - {result}`synthesis:claim_random_auc_all`
# - {result}`synthesis:claim_imagenet_auc_all`
# - {result}`synthesis:claim_random_dice_all`
# - {result}`synthesis:claim_slope_auc_all`
# ```
#
# Each sentence is rendered from a fitted model, and its grade from {doc}`a stated rule <methods/statistics>`; a page cannot say more than the grade allows.
# How the comparisons were found, and how far each can be trusted, is on {doc}`the page of the evidence <evidence>`.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
replicates: int = 300
seed: int = 1
varied: list[str] = [
    "rows",
    "variance",
    "test cases",
    "confidence",
    "values",
    "data",
    "largest cluster",
    "model",
]

# %% tags=["hide-input"]
from functools import partial

import numpy as np
import pandas as pd
from IPython.display import Markdown, display

from medssl.book import Results, workspace
from medssl.book.finder import finder
from medssl.book.synthesis_page import (
    joint_tests,
    named,
    named_left_out,
    report_finding,
    strata_table,
    strata_words,
    synthesis_figure,
)
from medssl.book.wording import interval, show_table
from medssl.evidence import effects, published
from medssl.figures import bubble, forest_by_cluster, funnel, leave_one_out_plot, specification_curve
from medssl.figures.strata_plot import strata_plot
from medssl.meta import egger, pet_peese
from medssl.synthesis.central import LEAST_FOR_MODERATORS, central_model
from medssl.synthesis.claims import assess, claims
from medssl.synthesis.sensitivity import CHOICES, sensitivity, sensitivity_effects
from medssl.synthesis.stratum import pool

declared_data = []  # everything on this page comes from the tables of the package
place, results = workspace(), Results()
figure = partial(synthesis_figure, place)
gains, logits = effects(), effects(scale="logit")
of = {
    (metric, comparator): gains[(gains.metric == metric) & (gains.comparator == comparator)]
    for metric in ("AUC", "Dice") for comparator in ("random", "imagenet_supervised", "other_supervised")
}  # fmt: skip
pooled = {key: pool(part, ", ".join(key)) for key, part in of.items()}

# %% [markdown]
# ## What gain should I expect?
#
# Choose your modality, what pretraining would replace, your task and your label ratio.
# The answer is the pooled gain with its interval, what a new study may find, and how good the evidence is.
# `medssl expect` answers the same on the command line, for any numbers of images.
#
# (synthesis-expect)=

# %% tags=["hide-input"]
finder()

# %% [markdown]
# ## By comparator and modality
#
# Each row is a model of its own: correlated and hierarchical effects, cluster-robust intervals, no moderators.
# A stratum with fewer than three independent clusters is counted and not pooled.
#
# (synthesis-auc)=

# %% tags=["hide-input"]
auc = strata_table(gains[gains.metric == "AUC"])
figure(
    strata_plot(auc, scale="AUC", count=(gains.metric == "AUC").sum()), "published-gain-auc", "Published gains in AUC by comparator and modality",
    "Pooled published gains in AUC by what pretraining replaced and by modality", "Bars: 95% confidence and 95% prediction",
    cell="synthesis-auc",
)  # fmt: skip

# %% [markdown]
# (synthesis-dice)=

# %% tags=["hide-input"]
dice = strata_table(gains[gains.metric == "Dice"])
figure(
    strata_plot(dice, scale="Dice", count=(gains.metric == "Dice").sum()), "published-gain-dice", "Published gains in Dice by comparator and modality",
    "Pooled published gains in Dice by what pretraining replaced and by modality", "Bars: 95% confidence and 95% prediction",
    cell="synthesis-dice",
)  # fmt: skip

# %% [markdown]
# The same rows as numbers; P says with what probability a new study gains at all, and more than the minimal important gain.
#
# (synthesis-table)=

# %% tags=["hide-input"]
for name, table in (("AUC", auc), ("Dice", dice)):
    display(Markdown(f"**{name}**"), strata_words(table))

# %% [markdown]
# ## The claims
#
# A claim is an entry of a file: a stratum, a term of a model and a caveat.
# The numbers, the verb and the grade come from the fit.
#
# (synthesis-claims)=

# %% tags=["hide-input"]
findings = [assess(claim, gains) for claim in claims()]
for finding in findings:
    report_finding(results, finding, cell="synthesis-claims")
Markdown("\n".join(f"- {finding.text}" for finding in findings))

# %% [markdown]
# ## Cluster by cluster
#
# A cluster holds everything that shares data, a comparator run or authors.
# Its row is the mean of its effects under the model; the thin line spans its single effects.
#
# ### Against random initialisation
#
# (synthesis-forest-random)=

# %% tags=["hide-input"]
random = pooled["AUC", "random"]
figure(
    forest_by_cluster(named(random), random.fit, label="cluster", interval="robust", comparator="random initialisation"),
    "published-forest-random", "Published gains in AUC over random initialisation, cluster by cluster",
    "Gains in AUC over random initialisation, one row a cluster; diamond: robust mean, bar: a new study", "Bars: 95%",
    cell="synthesis-forest-random",
)  # fmt: skip

# %% [markdown]
# ### Against ImageNet weights
#
# (synthesis-forest-imagenet)=

# %% tags=["hide-input"]
imagenet = pooled["AUC", "imagenet_supervised"]
figure(
    forest_by_cluster(named(imagenet), imagenet.fit, label="cluster", interval="robust", comparator="ImageNet"),
    "published-forest-imagenet", "Published gains in AUC over ImageNet weights, cluster by cluster",
    "Gains in AUC over supervised ImageNet weights, one row a cluster; diamond: robust mean, bar: a new study",
    "Bars: 95%", cell="synthesis-forest-imagenet",
)  # fmt: skip

# %% [markdown]
# ### In segmentation, against random initialisation
#
# (synthesis-forest-dice)=

# %% tags=["hide-input"]
segmentation = pooled["Dice", "random"]
figure(
    forest_by_cluster(named(segmentation), segmentation.fit, label="cluster", interval="robust", scale="Dice", comparator="random initialisation"),
    "published-forest-dice", "Published gains in Dice over random initialisation, cluster by cluster",
    "Gains in Dice over random initialisation, one row a cluster; diamond: robust mean, bar: a new study", "Bars: 95%",
    cell="synthesis-forest-dice",
)  # fmt: skip

# %% [markdown]
# ## The gain against the label ratio
#
# The central model regresses the gain on the logarithm of the label ratio beside comparator, modality, family of methods and task type.
# Levels with fewer than three clusters are merged or left out, as the text under each table says; with fewer than ten clusters nothing is fitted.
# A spline with three degrees of freedom is compared with the straight line.
# Few clusters vary their ratio, so the degrees of freedom are small, and a test with fewer than four of them should not be trusted.
#
# ### In AUC, against random initialisation
#
# (synthesis-ratio)=

# %% tags=["hide-input"]
ratio = central_model(of["AUC", "random"], factors=("modality",))
line = ratio.slope()
curve = ratio.shape.curve(form="line")
figure(
    bubble(ratio.effects, ratio.shape.line, curve=curve, by="modality", comparator="random initialisation"),
    "published-gain-by-ratio", "Published gains in AUC over random initialisation against the label ratio",
    "Gains in AUC over random initialisation against the label ratio, each bubble one published comparison; line: modality at its mean",
    "Bands: 95% confidence and 95% prediction, cluster-robust", cell="synthesis-ratio",
)  # fmt: skip

# %% [markdown]
# (synthesis-ratio-tests)=

# %% tags=["hide-input"]
results.add(
    "ratio_slope",
    float(line.coef[1]),
    text=interval(line.coef[1], line.ci_low[1], line.ci_high[1]),
    cell="synthesis-ratio-tests",
)
results.add("ratio_slope_df", float(line.df[1]), cell="synthesis-ratio-tests")
found = ratio.break_even(bootstrap=replicates, seed=seed)
text = found.reason or f"the mean gain falls to zero at a label ratio of {10**found.value:.3g}"
if np.isfinite(found.crossing_share):
    text += f"; of the bootstrap curves over clusters, {found.crossing_share:.0%} cross zero inside it"
display(joint_tests(ratio), Markdown(f"{ratio.shape.report()}\n\nBreak-even: {text}. {ratio.reason}."))

# %% [markdown]
# ### By modality
#
# The line of each modality over its own range, with what a new study may find.
#
# (synthesis-ratio-curves)=

# %% tags=["hide-input"]
curves = ratio.curves(points=4)
curves.insert(0, "label ratio", 10 ** curves.pop("log10_label_ratio"))
shown = [
    "modality",
    "label ratio",
    "estimate",
    "ci_low",
    "ci_high",
    "pi_low",
    "pi_high",
    "df",
    "p_gain",
    "p_minimal",
]
show_table(curves, shown)

# %% [markdown]
# ### All comparators in one model
#
# Comparators get one shared slope here and a level each; the levels differ more than anything else does.
#
# (synthesis-central)=

# %% tags=["hide-input"]
central = central_model(gains[gains.metric == "AUC"])
display(joint_tests(central), show_table(central.slope().table().reset_index(names="coefficient")))
Markdown(f"R2 = {central.r2:.0f}% of both variances. {central.reason}.")

# %% [markdown]
# ### Against the share of the labels
#
# Where the size of the unlabelled pool is unknown, the share of the labels that was used takes the place of the ratio.
#
# (synthesis-fraction)=

# %% tags=["hide-input"]
fraction = central_model(of["AUC", "random"], "log10_label_fraction", ("modality",))
display(joint_tests(fraction), Markdown(f"{fraction.shape.report()} {fraction.reason}."))

# %% [markdown]
# ### In Dice
#
# (synthesis-ratio-dice)=

# %% tags=["hide-input"]
ratio_dice = central_model(of["Dice", "random"], factors=("modality",))
share_dice = central_model(of["Dice", "random"], "log10_label_fraction", ("modality",))
for name, model in (("Label ratio", ratio_dice), ("Share of the labels", share_dice)):
    words = model.reason if model.shape is None else f"{model.shape.report()} {model.reason}"
    display(Markdown(f"{name}: {words}."))

# %% [markdown]
# ### On one scale for all metrics
#
# Differences of logits let every metric into one model; they answer whether the pattern holds, not how large a gain is.
#
# (synthesis-logit)=

# %% tags=["hide-input"]
every = central_model(logits)
display(joint_tests(every), Markdown(f"{every.shape.report()} {every.reason}."))

# %% [markdown]
# ## By family of methods and by task
#
# Means of each family against random initialisation; a family is judged against the same comparator only.
#
# (synthesis-family)=

# %% tags=["hide-input"]
by_family = strata_table(of["AUC", "random"], "family")
figure(
    strata_plot(by_family, label="family", scale="AUC", comparator="random initialisation", count=len(random.effects)), "published-gain-family",
    "Published gains in AUC over random initialisation by family of methods",
    "Pooled published gains in AUC over random initialisation by family", "Bars: 95% confidence and 95% prediction",
    cell="synthesis-family",
)  # fmt: skip

# %% [markdown]
# By task, on the logit scale, where classification, segmentation and detection can stand in one table; these are gains in logits, not in AUC or Dice.
#
# (synthesis-task)=

# %% tags=["hide-input"]
strata_words(strata_table(logits, "task_type"), "task_type", scale="logit")

# %% [markdown]
# ## Small-study effects
#
# Where small studies print larger gains than large ones, the mean is likely to be too high.
# The regression on the standard error respects clusters, and is made where a stratum has enough of them for a moderator; the estimate at perfect precision is an extrapolation, not a correction to be believed.
#
# (synthesis-small)=

# %% tags=["hide-input"]
figure(
    funnel(random.effects, random.fit, by="modality", comparator="random initialisation"), "published-funnel-random",
    "Funnel of published gains in AUC over random initialisation",
    "Gains in AUC over random initialisation against their standard errors; variances of the lower rungs are modelled, so the funnel is a rough guide",
    "Shades: two-sided p values of single effects", cell="synthesis-small",
)  # fmt: skip

# %% [markdown]
# (synthesis-egger)=

# %% tags=["hide-input"]
lines = []
for key, stratum in pooled.items():
    if stratum.clusters >= LEAST_FOR_MODERATORS:
        part = stratum.effects
        test = egger(part.yi, part.vi, form="cluster", cluster=part.cluster_id)
        adjusted = pet_peese(part.yi, part.vi, cluster=part.cluster_id)
        lines.append(f"- {key[0]}, {key[1].replace('_', ' ')}. {test.report()} {adjusted.report()}")
Markdown("\n".join(lines))

# %% [markdown]
# ## Influence
#
# The mean without each cluster in turn.
#
# (synthesis-influence)=

# %% tags=["hide-input"]
figure(
    leave_one_out_plot(named_left_out(random), random.robust.predict().iloc[0], comparator="random initialisation"),
    "published-left-out-random", "Published gains in AUC over random initialisation without each cluster",
    "The pooled gain in AUC over random initialisation without each cluster in turn", "Bars: 95%, cluster-robust",
    cell="synthesis-influence",
)  # fmt: skip

# %% [markdown]
# (synthesis-influence-imagenet)=

# %% tags=["hide-input"]
figure(
    leave_one_out_plot(named_left_out(imagenet), imagenet.robust.predict().iloc[0], comparator="ImageNet"),
    "published-left-out-imagenet", "Published gains in AUC over ImageNet weights without each cluster",
    "The pooled gain in AUC over supervised ImageNet weights without each cluster in turn", "Bars: 95%, cluster-robust",
    cell="synthesis-influence-imagenet",
)  # fmt: skip

# %% [markdown]
# ## Every defensible choice
#
# The same mean under every combination of choices: which pool, which variances, which correlation between both arms on the same test cases, which confidence, printed values or all, public data or all, with and without the largest cluster, and which model.
#
# (synthesis-multiverse)=

# %% tags=["hide-input"]
wide = sensitivity_effects()
verse = {
    key: sensitivity(wide[(wide.metric == key[0]) & (wide.comparator == key[1])], varied)
    for key in (("AUC", "random"), ("AUC", "imagenet_supervised"), ("Dice", "random"))
}
summary = pd.DataFrame(
    [
        {
            "stratum": ", ".join(key), "analyses": len(table), "fitted": int(table.fitted.sum()),
            "lowest": table.estimate.min(), "median": table.estimate.median(), "highest": table.estimate.max(),
            "interval above zero": (table[table.fitted].ci_low > 0).mean(),
            "interval below zero": (table[table.fitted].ci_high < 0).mean(),
        }
        for key, table in verse.items()
    ]
)  # fmt: skip
show_table(summary)

# %% [markdown]
# (synthesis-multiverse-random)=

# %% tags=["hide-input"]
figure(
    specification_curve(verse["AUC", "random"], list(CHOICES), comparator="random initialisation"), "published-multiverse-random",
    "Published gain in AUC over random initialisation under every choice",
    "The pooled gain in AUC over random initialisation under every combination of choices", "Bars: 95%",
    cell="synthesis-multiverse-random",
)  # fmt: skip

# %% [markdown]
# (synthesis-multiverse-imagenet)=

# %% tags=["hide-input"]
figure(
    specification_curve(verse["AUC", "imagenet_supervised"], list(CHOICES), comparator="ImageNet"), "published-multiverse-imagenet",
    "Published gain in AUC over ImageNet weights under every choice",
    "The pooled gain in AUC over supervised ImageNet weights under every combination of choices", "Bars: 95%",
    cell="synthesis-multiverse-imagenet",
)  # fmt: skip

# %% [markdown]
# ## Internal against external test sets
#
# The question of {cite:t}`vanberlo2024survey`, how pretraining affects generalisation, needs gains on internal and on external test images of the same runs.
#
# (synthesis-external)=

# %% tags=["hide-input"]
external = gains[gains.task.str.contains("external", case=False)]
studies, clusters = external.study_id.nunique(), external.cluster_id.nunique()
show_table(
    external.groupby(["study_id", "task", "comparator"], as_index=False).agg(
        effects=("yi", "size"), mean=("yi", "mean")
    )
)
Markdown(
    f"{len(external)} effects in {clusters} cluster(s) name an external test set. "
    + ("That is too few to fit anything." if clusters < 3 else "")
)

# %% [markdown]
# ## Natural images instead of medical ones
#
# Pretraining without labels on photographs or videos has no medical pool and so no label ratio; these comparisons are pooled apart.
#
# (synthesis-natural)=

# %% tags=["hide-input"]
natural = effects(published("natural_images", supervision="self"))
strata_words(strata_table(natural[natural.metric == "AUC"]))

# %% [markdown]
# ## What this cannot say
#
# The intervals are about the mean of studies like these, and the prediction interval is about one more of them: groups that publish, on data sets that are public or that the group owns, with comparators that the group chose.
# Where a comparator trained from random weights failed, the gain measures that failure.
# A gain that is not shown is not a gain that is absent: most strata are too thin to tell.

# %% tags=["hide-input"]
results.save()
