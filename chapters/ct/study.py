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
# # CT: the study
#
# This notebook computes every number of [the recommendations for CT](recommendations.md).
# It pretrains and transfers on generated images, reads the records of the controlled study on real images, and meta-analyses the gains against the label ratio.
# What was done, and why, is fixed in the {doc}`protocol <../methods/protocol>`, which is older than the records.
# The executed notebook can be downloaded from this page, and the command that ran it is `make chapter CHAPTER=ct/study`.
#
# ## Parameters
#
# An unknown name or a value of another type is an error.
# Names that begin with `live` concern the images that are generated on the spot; the others concern the real images.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
dataset: str = "organamnist"
phases: list[str] = ["labels", "supervised", "sources", "subsets", "matched", "pools"]
methods: list[str] = ["simclr", "barlow_twins", "masked_autoencoder", "models_genesis", "jigsaw"]
seeds: list[int] = [1, 2, 3, 4, 5]
workers: int = 1
live_methods: list[str] = ["simclr", "masked_autoencoder"]
live_images: int = 800
live_label_counts: list[int] = [20, 100]
live_seeds: list[int] = [1, 2]
live_epochs: int = 4
live_difficulty: float = 0.3

# %% tags=["hide-input"]
from medssl.book import Results, workspace
from medssl.book import modality_runs as running
from medssl.book import modality_study as study_of
from medssl.book import modality_variations as variations
from medssl.book.modality_study import ModalityStudy

declared_data = ["records/organamnist/*.json", "baselines/*.json", "$MEDSSL_DATA/medmnist/*.npz"]
place, results = workspace(), Results()
study = ModalityStudy(place, results, "ct", dataset, "abdominal CT")

# %% [markdown]
# ## The comparison
#
# One *cell* is a method, a label count $n$ and a seed.
# The seed draws a nested, stratified subset of $n$ labelled images, the weights, the order and the augmentation.
# The encoder is pretrained on all training images without their labels, and then both arms, the pretrained encoder and the same encoder with the random weights that pretraining started from, are trained on the same subset with the same schedule.
# Each arm chooses its learning rate from the same list with a held-out quarter of its own $n$ labels, and is then trained again on all of them; under fifty labels both take one fixed rate.
# The test images are scored once.
# With the scores $A$ of both arms, the gain of seed $s$ and its mean over $S$ seeds are
#
# $$
# \begin{aligned}
# g_s &= A^{\text{SSL}}_s - A^{\text{random}}_s , \qquad \bar g = \frac{1}{S} \sum_{s=1}^{S} g_s , \\
# v &= \frac{1}{S (S - 1)} \sum_{s=1}^{S} (g_s - \bar g)^2 + \frac{1}{S} \sum_{s=1}^{S} b_s^2 ,
# \end{aligned}
# $$
#
# where $b_s$ is the paired bootstrap error over test cases.
# The second term is not divided by $S$ again, because all seeds share the test images.
# Where a seed drew two subsets, their gains are averaged first.
#
# ## A live run on generated images
#
# In the `quick` profile the next cell really pretrains and transfers, on slices of a generated abdomen.
# It shows that the path works and how long it takes.
# It is not evidence about patients, and no recommendation uses it.
#
# (ct-live)=

# %% tags=["hide-input"]
sizes = tuple(live_label_counts), tuple(live_seeds), live_images, live_epochs, live_difficulty
running.live(study, profile, tuple(live_methods), sizes, workers)

# %% [markdown]
# ## The records of real images
#
# In the `full` profile the next cell runs every cell that is not recorded yet; it can be stopped and started again at any time, and `medssl run study --dry-run` says how long it would take.
# In the other profiles it reads the committed records.
# Every effect is in the table, those below zero included.
#
# (ct-records)=

# %% tags=["hide-input"]
if profile == "full":
    running.complete(study, phases, tuple(seeds), tuple(methods), workers)
study_of.runs(study)

# %% [markdown]
# ## Learning curves
#
# (ct-curves)=

# %% tags=["hide-input"]
study_of.curves(study)

# %% [markdown]
# ## Is the comparator sound?
#
# A gain over a network that was badly trained would be worth nothing.
# With all labels the comparator has to beat a plain probe, which is logistic regression on the leading principal components of the pixels, and to come near what others report for a larger network on the same images.
#
# (ct-comparator)=

# %% tags=["hide-input"]
running.comparator(study)

# %% [markdown]
# ## The gain against the label ratio
#
# Each method and label count is one effect $\bar g_i$ with variance $v_i$.
# The model is a random-effects meta-regression on $x_i = \log_{10} r_i$, the logarithm of the label ratio,
#
# $$
# \bar g_i = \beta_0 + \beta_1 x_i + u_i + e_i , \qquad u_i \sim N(0, \tau^2) , \qquad e_i \sim N(0, v_i) ,
# $$
#
# with $\tau^2$ by restricted maximum likelihood and the intervals of {cite:t}`knapp2003improved`, whose factor is not allowed to narrow an interval.
# The effects share seeds and test images, and this model treats them as independent: its intervals may be too narrow or too wide.
#
# (ct-gain)=

# %% tags=["hide-input"]
study_of.gain_by_ratio(study)

# %% [markdown]
# (ct-model)=

# %% tags=["hide-input"]
study_of.pooled(study)

# %% [markdown]
# ### Effect by effect
#
# (ct-forest)=

# %% tags=["hide-input"]
study_of.method_forest(study)

# %% [markdown]
# ### Seeds as clusters
#
# All gains of one seed share their subsets, and the model above does not know it.
# This check gives each seed one mean gain and one slope, and a t interval over seeds; it holds for these test images.
#
# (ct-seeds)=

# %% tags=["hide-input"]
running.seeds_as_clusters(study)

# %% [markdown]
# ## Other comparators
#
# The same runs are compared with two stronger opponents: an encoder that learned the labels of another modality, and random weights that were trained for as many more steps as pretraining passed images.
# A third one, weights from ImageNet, needs a larger network and weights that you have: `medssl run imagenet` runs it, with the same rules.
#
# (ct-comparators)=

# %% tags=["hide-input"]
variations.other_comparators(study)

# %% [markdown]
# ## Labels saved
#
# Both arms get a learning curve, a falling power of the number of labels fitted by weighted least squares.
# The labels that the comparator needs to reach the score of the pretrained arm are read from its curve, never beyond twice the largest count, with a bootstrap over whole seeds.
#
# (ct-labels-saved)=

# %% tags=["hide-input"]
variations.saved(study)

# %% [markdown]
# ## The size of the unlabelled pool
#
# At a fixed number of labels, pretraining saw a sixteenth, a quarter or all of the unlabelled images, and passed as many images in each.
#
# (ct-pools)=

# %% tags=["hide-input"]
variations.pools(study)

# %% [markdown]
# ## Images of another modality
#
# The encoder was pretrained on the images of another data set of the study and transferred to these.
# The difference is that to pretraining on the own images, paired by seed.
#
# (ct-sources)=

# %% tags=["hide-input"]
variations.sources(study)

# %% [markdown]
# ## Corrupted test images
#
# The finished models were scored on test images with noise, blur, lower contrast, a bias field or another gain, at three severities.
# A positive robustness means that the pretrained arm lost less than its comparator.
#
# (ct-corruptions)=

# %% tags=["hide-input"]
variations.corrupted(study)

# %% [markdown]
# ## Where the variation comes from
#
# At one label count, labelled subsets were crossed with seeds.
# The variance of the gain of a single run is split into what the labelled subset, the seed, the rest of a run and the test cases add.
#
# (ct-variation)=

# %% tags=["hide-input"]
variations.split_of_variation(study)

# %% [markdown]
# ## Other scores
#
# Differences of secondary scores between both arms, each seed's mean over all its cells as one value.
# A calibration error below zero means that the pretrained arm is the better calibrated one.
#
# (ct-secondary)=

# %% tags=["hide-input"]
variations.secondary(study)

# %% [markdown]
# ## With the published evidence
#
# Our effects and the published ones of this modality, AUC against random initialisation, are fitted together: the gain against the label ratio and the origin, with random intercepts for cluster and for effect within cluster.
# Our data set is one cluster.
#
# (ct-published)=

# %% tags=["hide-input"]
variations.with_published(study)

# %% [markdown]
# ## Cost
#
# Minutes are those of the machine that wrote the records, one thread a process, beside other work: read them as ratios.
#
# (ct-cost)=

# %% tags=["hide-input"]
study_of.costs(study)

# %% [markdown]
# ## The grade
#
# The rule is in `medssl.evidence.grade`; every variance here comes from repeated runs and a paired bootstrap.
#
# (ct-grade)=

# %% tags=["hide-input"]
table = study_of.graded(study)
results.save()
table
