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
# # Non-contrastive methods
#
# Two views of one image shall have similar vectors, and no other image is pushed away.
# Alone, this has a trivial answer, the same vector for all images; each method prevents that collapse in its own way.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Without negatives something else must prevent collapse**: a stopped gradient, a slow teacher, decorrelation, or balanced clusters. {ref}`More <non-contrastive-drawn>`
# - **Against random weights the published gain is {result}`families/non_contrastive:gain_auc_random` in AUC and {result}`families/non_contrastive:gain_dice_random` in Dice**, from {result}`families/non_contrastive:clusters_auc_random` and {result}`families/non_contrastive:clusters_dice_random`; these are graded {result}`families/non_contrastive:grade_auc_random` and {result}`families/non_contrastive:grade_dice_random`. {ref}`More <non-contrastive-published>`
# - **Against ImageNet weights it is {result}`families/non_contrastive:gain_auc_imagenet` in AUC and {result}`families/non_contrastive:gain_dice_imagenet` in Dice.** {ref}`More <non-contrastive-published>`
# - **{result}`families/non_contrastive:losses` of {result}`families/non_contrastive:effects` published comparisons are losses.** {ref}`More <non-contrastive-not>`
# - **In the controlled study {result}`families/non_contrastive:own_clear` of {result}`families/non_contrastive:own_pairs` pairs of data and method have an interval above zero.** {ref}`More <non-contrastive-own>`
# ```
#
# ## Parameters
#
# The batch of the cost measurement, the assumed power of the machine, and the seed of the drawings; `steps`, `images` and `dimensions` belong to the figure.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
batch: int = 32
watts: float = 65.0
seed: int = 0
steps: int = 60
images: int = 48
dimensions: int = 24

# %% tags=["hide-input"]
from medssl.book import Results, families_figures, workspace
from medssl.book.cost_page import study_costs, study_runs
from medssl.book.families_page import (
    METHODS_OF,
    family_effects,
    options_table,
    own_records,
    report_family,
    source_code,
    strata_table,
)
from medssl.book.step_costs import report_steps, step_costs, steps_table
from medssl.evidence import effects
from medssl.figures import save_figure
from medssl.figures.matrix_plot import matrix_plot

declared_data = ["records/*/*.json"]
place, results = workspace(), Results()
family = "noncontrastive"
published = family_effects(effects(), family)

# %% [markdown]
# ## The idea, drawn
#
# The views are those of the page on {doc}`contrastive`; what differs is what is asked of the vectors.
# Here Barlow Twins as the example: correlations between each dimension of the first view (rows) and of the second (columns), over a batch.
# Ones on the diagonal mean that a dimension survives the views, and zeros elsewhere that no two dimensions say the same.
# Projection and weight are small and large enough for a few steps with mild views to show the direction, and nothing here says that the features are good.
#
# (non-contrastive-drawn)=

# %% tags=["hide-input"]
correlated = families_figures.correlations("ct", images, dimensions, steps, seed)
drawing = matrix_plot(correlated, label="Correlation", x_label="Second view", y_label="First view")
save_figure(
    drawing, "non-contrastive-correlations", folder=place.figures, title="Correlations between the dimensions of two views",
    caption="Correlations between the dimensions of two views of one batch of generated CT, before and after a few steps of Barlow Twins", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="non-contrastive-drawn",
)  # fmt: skip

# %% [markdown]
# ## The methods and their equations
#
# In all equations $z_1$ and $z_2$ are projections of the two views, $p$ is a prediction of them, $\mathrm{sg}$ stops the gradient, and a prime marks a slow copy of the network.
#
# **BYOL** {cite:p}`grill2020byol` predicts the slow copy's projection of one view from the other view:
#
# $$
# \ell = \bigl(2 - 2\cos(p_1, \mathrm{sg}(z'_2))\bigr) + \bigl(2 - 2\cos(p_2, \mathrm{sg}(z'_1))\bigr), \qquad \theta' \leftarrow \mu\,\theta' + (1 - \mu)\,\theta.
# $$
#
# **SimSiam** {cite:p}`chen2021simsiam` does so without the slow copy:
#
# $$
# \ell = -\tfrac12 \cos(p_1, \mathrm{sg}(z_2)) - \tfrac12 \cos(p_2, \mathrm{sg}(z_1)).
# $$
#
# **Barlow Twins** {cite:p}`zbontar2021barlow` wants the matrix $C$ of correlations between the dimensions of the two views, over the batch, to be the identity:
#
# $$
# \ell = \sum_i (1 - C_{ii})^2 + \lambda \sum_i \sum_{j \ne i} C_{ij}^2.
# $$
#
# **VICReg** {cite:p}`bardes2022vicreg` has a term each for agreement, for the variance of every dimension $d$ of $D$, and for covariances; $z^{d}$ is a dimension over the batch and $\Sigma$ its covariance matrix:
#
# $$
# \ell = \lambda\,\overline{(z_1 - z_2)^2} + \frac{\mu}{2} \sum_{v=1,2} \frac1D \sum_d \max\Bigl(0,\, 1 - \sqrt{\mathrm{Var}(z_v^{d}) + \varepsilon}\Bigr) + \nu \sum_{v=1,2} \frac1D \sum_{d \ne e} \Sigma_{v,de}^2.
# $$
#
# **SwAV** {cite:p}`caron2020swav` assigns views to prototypes, balances the assignments $q$ over the batch (three Sinkhorn-Knopp iterations), and predicts one view's assignment from the other's scores:
#
# $$
# \ell = -\tfrac12 \sum_k q_2^{k} \log s_1^{k} - \tfrac12 \sum_k q_1^{k} \log s_2^{k}.
# $$
#
# **DINO** {cite:p}`caron2021dino` learns the output distribution of a slow teacher, which is centred by $c$ and sharpened by a low temperature $\tau'$:
#
# $$
# \ell = -\tfrac12 \sum_{(a, b)} \sum_k \mathrm{softmax}\bigl((t'_a - c) / \tau'\bigr)_k \, \log \mathrm{softmax}(t_b / \tau)_k, \qquad (a, b) \in \{(1, 2), (2, 1)\}.
# $$
#
# ## Options
#
# Each method has a frozen dataclass of options; an unknown one is an error.
# The defaults are those of the package, which are meant for small images and small pools, and not always those of the papers.
#
# (non-contrastive-options)=

# %% tags=["hide-input"]
options_table(family)

# %% [markdown]
# ## The code
#
# Every method is one file, shown here as it ran when this page was made.
#
# (non-contrastive-code)=

# %% tags=["hide-input"]
source_code(family)

# %% [markdown]
# ## What the published comparisons say
#
# The primary analysis has {result}`families/non_contrastive:effects` comparisons of this family, from {result}`families/non_contrastive:studies` studies in {result}`families/non_contrastive:clusters` independent clusters.
# Gains are pooled by metric and comparator as on the page of {doc}`../synthesis`, with cluster-robust intervals; a stratum of fewer than three clusters is not pooled.
#
# (non-contrastive-published)=

# %% tags=["hide-input"]
report_family(results, published, cell="non-contrastive-published")
strata_table(published, "modality")

# %% [markdown]
# Against random weights the pooled gain in AUC is {result}`families/non_contrastive:gain_auc_random` ({result}`families/non_contrastive:clusters_auc_random`), which is {result}`families/non_contrastive:verdict_auc_random` and graded {result}`families/non_contrastive:grade_auc_random`.
# In Dice it is {result}`families/non_contrastive:gain_dice_random` ({result}`families/non_contrastive:clusters_dice_random`): {result}`families/non_contrastive:verdict_dice_random`, graded {result}`families/non_contrastive:grade_dice_random`.
# Against supervised ImageNet weights it is {result}`families/non_contrastive:gain_auc_imagenet` in AUC ({result}`families/non_contrastive:clusters_auc_imagenet`) and {result}`families/non_contrastive:gain_dice_imagenet` in Dice ({result}`families/non_contrastive:clusters_dice_imagenet`).
#
# By task:
#
# (non-contrastive-tasks)=

# %% tags=["hide-input"]
strata_table(published, "task_type")

# %% [markdown]
# ## What the controlled study says
#
# The records of this project compare methods on the same images, labels and schedules.
# A gain is the mean over label counts and seeds, against random weights, with the interval that {doc}`../cost` explains.
#
# (non-contrastive-own)=

# %% tags=["hide-input"]
own_records(results, study_costs(study_runs(place.records)), family, cell="non-contrastive-own")

# %% [markdown]
# Of these pairs of data and method, {result}`families/non_contrastive:own_pairs` in all, {result}`families/non_contrastive:own_clear` have an interval wholly above zero.
#
# (non-contrastive-when)=
# ## When to use it
#
# - *Small batches without a queue*: BYOL, SimSiam and DINO compare an image with itself only.
# - *Images that look alike*, as most images of one organ do: no view is pushed away from another patient with the same disease.
# - *Detection of collapse*: read `feature_deviation` in the history of a run, because the loss of SimSiam looks best when it has collapsed.
# - For which modality and task there is evidence, the tables above say; where they say "not pooled", there is not enough of it.
#
# (non-contrastive-not)=
# ## When it does not hold
#
# In {result}`families/non_contrastive:losses` of the published comparisons of this family ({result}`families/non_contrastive:loss_share`) the pretrained network scored below its comparator.
#
# - Collapse is silent, and more likely with a small pool; `medssl.pretrain` stops when features become constant.
# - Barlow Twins and VICReg estimate correlations over the batch, which needs more images than a small pool may have.
# - SwAV has no queue here, so there should be no more prototypes than images in a batch.
# - The momentum of the teacher in the papers is meant for long runs; in a short run the teacher would hardly move, and the defaults here are lower.
#
# ## What it costs
#
# One training step of each method with the small convolutional encoder, on random images, in the process that made this page.
# {doc}`../cost` says how each column is counted, and compares all methods; energy assumes {result}`families/non_contrastive:watts`.
#
# (non-contrastive-cost)=

# %% tags=["hide-input"]
steps = step_costs(METHODS_OF[family], side=28, batch=batch)
report_steps(results, steps, watts, cell="non-contrastive-cost")
results.save()
steps_table(steps, watts)
