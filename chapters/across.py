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
# # Across modalities
#
# How much does pretraining improve a classifier, and how does the gain change with the label ratio, in all four modalities of the controlled study together?
# Every number comes from the committed records.
# The model of all data sets, that of the pool and that of both origins were fixed in the {doc}`protocol <methods/protocol>` before there were any; the tables by label count and family, the counts of clear differences and the figure of sources describe, and were added when most records had been seen.
# What holds for one modality, and what to do there, is on its own pages.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Over {result}`across:data_sets` data sets, pretraining and fine-tuning showed {result}`across:gain_verdict` against random initialisation**: {result}`across:gain` in AUC at a label ratio of {result}`across:centre`; grade {result}`across:model_grade`, because {result}`across:model_grade_reason`. {ref}`More <across-model>`
# - **With more labels the gain {result}`across:slope_verdict`**: {result}`across:slope` in AUC for each tenfold label ratio. {ref}`More <across-gain>`
# - **The largest mean gain was found in {result}`across:largest_where`**: {result}`across:largest_gain`; it is picked as the best of all, and so too favourable, with an interval that is too narrow. {ref}`More <across-labels>`
# - **Families of methods**: {result}`across:family_differences`. {ref}`More <across-families>`
# - **Against stronger opponents**: supervised pretraining on another modality, {result}`across:against_supervised`; the same compute spent on the labels, {result}`across:against_matched`; weights from ImageNet, {result}`across:against_imagenet`. {ref}`More <across-opponents>`
# - **A tenfold larger unlabelled pool at fixed labels changed the gain by**: {result}`across:pool_slope`. {ref}`More <across-pools>`
# - **Beside the published comparisons**, ours minus theirs is: {result}`across:origin_difference`. {ref}`More <across-published>`
# ```

# %% tags=["parameters", "hide-input"]
profile: str = "quick"

# %% tags=["hide-input"]
from medssl.book import Results, workspace
from medssl.book import whole_study as study
from medssl.book import whole_variations as variations
from medssl.book.whole_study import WholeStudy

declared_data = ["records/*/*.json"]
place, results = workspace(), Results()
whole = WholeStudy(place, results)

# %% [markdown]
# ## What was compared
#
# Small greyscale images, one small network, {result}`across:methods` methods, label counts from ten or twenty to all, and between {result}`across:fewest_seeds` and {result}`across:most_seeds` seeds for an effect.
# An effect is the mean paired gain of one data set, method and label count over seeds.
# Of {result}`across:comparisons` paired comparisons, {result}`across:positive` had a gain above zero; of {result}`across:all_effects` effects, {result}`across:negative_effects` lie below zero, and all of them are in the figures.
#
# (across-records)=

# %% tags=["hide-input"]
study.recorded(whole)

# %% [markdown]
# ## One model of all data sets
#
# The effects of one data set share its images, seeds and comparator, so a data set is a cluster:
# the gain is regressed on $\log_{10}$ of the label ratio with random intercepts for data set and for effect within it, and the errors are robust to what effects of one data set share.
# *gain* is the mean at the average ratio, *slope* the change for each tenfold ratio, and *mean* the same model without the ratio: {result}`across:mean`, {result}`across:mean_verdict`, with {result}`across:mean_df` degrees of freedom.
# {result}`across:data_sets` clusters leave few degrees of freedom ({result}`across:degrees_of_freedom`), so the intervals are wide for a reason; caution: {result}`across:caution`.
#
# (across-model)=

# %% tags=["hide-input"]
study.model(whole)

# %% [markdown]
# (across-gain)=

# %% tags=["hide-input"]
study.gain_by_ratio(whole)

# %% [markdown]
# ## Modality by modality and label count by label count
#
# Each entry is the random-effects mean over methods of one data set at one label count, with its confidence interval.
# Methods share the comparator's runs, the seeds and the test images, which the interval does not know: it is too narrow, the more so with two seeds.
# Label counts differ between data sets, and the last one of each column is all of its labels.
#
# (across-labels)=

# %% tags=["hide-input"]
study.by_labels(whole)

# %% [markdown]
# ## Families of methods
#
# Each family is fitted alone for its mean gain, and against the others as one indicator beside the label ratio.
#
# (across-families)=

# %% tags=["hide-input"]
study.families(whole)

# %% [markdown]
# ## Stronger opponents
#
# The same pretrained networks against an encoder that learned the labels of another modality, and against random weights that were trained for as many more steps as pretraining passed images.
# Weights from ImageNet are compared in a larger network, where you have them.
#
# (across-opponents)=

# %% tags=["hide-input"]
variations.opponents(whole)

# %% [markdown]
# ## The size of the unlabelled pool
#
# The label ratio falls when labels are fewer and when the pool is larger, and the two need not act alike.
# Here the labels are fixed and the pool is a sixteenth, a quarter or all of the unlabelled images, with as many images passed in each.
#
# (across-pools)=

# %% tags=["hide-input"]
variations.pools(whole)

# %% [markdown]
# ## Images of another modality
#
# Of {result}`across:source_pairs` pairs of data sets, pretraining on the images of another modality was clearly better than on the own images in {result}`across:source_better`, and clearly worse in {result}`across:source_worse`; the mean difference is {result}`across:source_difference`.
# The intervals behind these counts are over few seeds, for one set of test images each.
#
# (across-sources)=

# %% tags=["hide-input"]
variations.sources(whole)

# %% [markdown]
# ## Corrupted test images
#
# Of {result}`across:corruptions` comparisons under noise, blur, lower contrast, a bias field or another gain, the pretrained network lost clearly less than its comparator in {result}`across:corruptions_less`, and clearly more in {result}`across:corruptions_more`.
# With that many comparisons some are clear by chance; no correction is made, and no single one is a finding.
# The table has the means over data sets, methods and label counts.
#
# (across-corruptions)=

# %% tags=["hide-input"]
variations.corrupted(whole)

# %% [markdown]
# ## Beside the published comparisons
#
# Each row is a mean against random initialisation with its confidence interval and the interval of a new effect.
# The intervals of the published rows are robust to clusters; ours treat the effects of one data set as independent, and are too narrow.
# Ours and theirs differ in much: images, networks, schedules, how choices were made, and what got published.
#
# (across-origin)=

# %% tags=["hide-input"]
study.beside_published(whole)

# %% [markdown]
# Both in one model, the gain against the label ratio and the origin, with our {result}`across:ours_effects` effects of {result}`across:ours_clusters` data sets and {result}`across:published_effects` published ones of {result}`across:published_clusters` clusters with a known ratio: ours {result}`across:origin_ours`; published {result}`across:origin_published`.
#
# (across-published)=

# %% tags=["hide-input"]
table = variations.origins(whole)
results.save()
table

# %% [markdown]
# ## Where this does not hold
#
# - Four data sets of small images are not four modalities: another data set of the same modality may differ more than two modalities do here.
# - One small network was trained for a schedule that fits two processor cores; networks that need more labels, and longer pretraining, may gain more.
# - Against ImageNet weights our own study has: {result}`across:against_imagenet`; {doc}`the pooled picture <synthesis>` has what was published against them.
# - Parts that lack seeds are called "not run yet"; `medssl run study` goes on where the records end.
