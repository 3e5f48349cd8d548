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
# # Contrastive methods
#
# Two random views of one image shall have similar vectors, and views of different images dissimilar ones.
# What survives augmentation is learnt, and what augmentation changes is forgotten, so the {doc}`augmentation` decides what the network may know.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **The task is set by the views**: what differs between two views of one image cannot be told from the vectors. {ref}`More <contrastive-drawn>`
# - **Against random weights the published gain is {result}`families/contrastive:gain_auc_random` in AUC and {result}`families/contrastive:gain_dice_random` in Dice**, from {result}`families/contrastive:clusters_auc_random` and {result}`families/contrastive:clusters_dice_random`; these are graded {result}`families/contrastive:grade_auc_random` and {result}`families/contrastive:grade_dice_random`. {ref}`More <contrastive-published>`
# - **Against ImageNet weights it is {result}`families/contrastive:gain_auc_imagenet` in AUC and {result}`families/contrastive:gain_dice_imagenet` in Dice.** {ref}`More <contrastive-published>`
# - **{result}`families/contrastive:losses` of {result}`families/contrastive:effects` published comparisons are losses.** {ref}`More <contrastive-not>`
# - **In the controlled study {result}`families/contrastive:own_clear` of {result}`families/contrastive:own_pairs` pairs of data and method have an interval above zero.** {ref}`More <contrastive-own>`
# - **All methods here need other images to push away**: from the batch, or from a queue that a slow copy of the encoder fills. {ref}`More <contrastive-options>`
# ```
#
# ## Parameters
#
# The batch of the cost measurement, the assumed power of the machine, and the seed of the drawings; `steps` are the training steps of the second figure.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
batch: int = 32
watts: float = 65.0
seed: int = 0
steps: int = 60
images: int = 24

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
from medssl.figures.image_grid import image_grid
from medssl.figures.matrix_plot import matrix_plot

declared_data = ["records/*/*.json"]
place, results = workspace(), Results()
family = "contrastive"
published = family_effects(effects(), family)

# %% [markdown]
# ## The idea, drawn
#
# Two generated images of each modality, each with two views that the pretraining policy draws.
# The two views of an image shall attract each other.
#
# (contrastive-drawn)=

# %% tags=["hide-input"]
drawing = image_grid(
    families_figures.view_panels(seed=seed), "Generated images with two random views of each"
)
save_figure(
    drawing, "contrastive-views", folder=place.figures, title="Two views of generated images",
    caption="Two generated images of each modality, each with two views of the pretraining policy", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="contrastive-drawn",
)  # fmt: skip

# %% [markdown]
# The cosines between the first view of each image of a batch (rows) and the second view of each (columns).
# SimCLR asks for ones on the diagonal and for small values elsewhere; a few training steps on one batch show the direction.
# The views are those of the mild policy, so that a few steps suffice, and nothing here says that the features are good.
#
# (contrastive-similarity)=

# %% tags=["hide-input"]
similar = families_figures.similarities("ultrasound", images, steps, seed)
drawing = matrix_plot(similar, label="Cosine", x_label="Second view", y_label="First view")
save_figure(
    drawing, "contrastive-similarity", folder=place.figures, title="Similarities within a batch",
    caption="Cosines between two views of the images of one batch of generated ultrasound, before and after a few steps of SimCLR", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="contrastive-similarity",
)  # fmt: skip

# %% [markdown]
# ## The methods and their equations
#
# In all equations $z$ is a projection of unit length, $\tau$ the temperature, and a prime marks the slow copy.
#
# **SimCLR** {cite:p}`chen2020simclr` takes the other images of the batch as negatives; $i$ and $j$ are the two views of one image among the $2N$ views of a batch:
#
# $$
# \ell_{ij} = -\log \frac{\exp(z_i^\top z_j / \tau)}{\sum_{k \ne i} \exp(z_i^\top z_k / \tau)}.
# $$
#
# **MoCo** {cite:p}`he2020moco` finds the key $k_+$ of the same image among a queue of keys $k_1, \dots, k_K$ of earlier batches, which a momentum average $\theta'$ of the weights makes:
#
# $$
# \ell = -\log \frac{\exp(q^\top k_+ / \tau)}{\exp(q^\top k_+ / \tau) + \sum_{m=1}^{K} \exp(q^\top k_m / \tau)}, \qquad \theta' \leftarrow \mu\,\theta' + (1 - \mu)\,\theta.
# $$
#
# **MoCo v3** {cite:p}`chen2021vit` drops the queue for the keys of the batch, adds a predictor, and sums both ways round, where $q_a$ and $k'_b$ come from the two views:
#
# $$
# \ell = 2\tau\,\mathrm{CE}(q_1 K_2'^\top / \tau) + 2\tau\,\mathrm{CE}(q_2 K_1'^\top / \tau).
# $$
#
# **PIRL** {cite:p}`misra2020pirl` wants the vector $z_t$ of an image cut into shuffled tiles to be that of the image, $z$, and contrasts both with a memory $m$; with $h$ the softmax over the own memory and those of $K$ others,
#
# $$
# \ell = \lambda\,L(m, z_t) + (1 - \lambda)\,L(m, z), \qquad L(m, z) = -\log h(m, z) - \sum_{k=1}^{K} \log\bigl(1 - h(m_k, z)\bigr).
# $$
#
# **y-aware contrast** {cite:p}`dufumier2021yaware` makes every image a positive with a weight that falls with the distance of a covariate $y$, such as age:
#
# $$
# \ell_i = -\sum_{k \ne i} \frac{w_{ik}}{\sum_{l \ne i} w_{il}} \log \frac{\exp(z_i^\top z_k / \tau)}{\sum_{l \ne i} \exp(z_i^\top z_l / \tau)}, \qquad w_{ik} = \exp\Bigl(-\frac{(y_i - y_k)^2}{2 \sigma^2}\Bigr).
# $$
#
# ## Options
#
# Each method has a frozen dataclass of options; an unknown one is an error.
# The defaults are those of the package, which are meant for small images and small pools, and not always those of the papers.
#
# (contrastive-options)=

# %% tags=["hide-input"]
options_table(family)

# %% [markdown]
# ## The code
#
# Every method is one file, shown here as it ran when this page was made.
#
# (contrastive-code)=

# %% tags=["hide-input"]
source_code(family)

# %% [markdown]
# ## What the published comparisons say
#
# The primary analysis has {result}`families/contrastive:effects` comparisons of this family, from {result}`families/contrastive:studies` studies in {result}`families/contrastive:clusters` independent clusters.
# Gains are pooled by metric and comparator as on the page of {doc}`../synthesis`, with cluster-robust intervals; a stratum of fewer than three clusters is not pooled.
#
# (contrastive-published)=

# %% tags=["hide-input"]
report_family(results, published, cell="contrastive-published")
strata_table(published, "modality")

# %% [markdown]
# Against random weights the pooled gain in AUC is {result}`families/contrastive:gain_auc_random` ({result}`families/contrastive:clusters_auc_random`), which is {result}`families/contrastive:verdict_auc_random` and graded {result}`families/contrastive:grade_auc_random`.
# In Dice it is {result}`families/contrastive:gain_dice_random` ({result}`families/contrastive:clusters_dice_random`): {result}`families/contrastive:verdict_dice_random`, graded {result}`families/contrastive:grade_dice_random`.
# Against supervised ImageNet weights it is {result}`families/contrastive:gain_auc_imagenet` in AUC ({result}`families/contrastive:clusters_auc_imagenet`) and {result}`families/contrastive:gain_dice_imagenet` in Dice ({result}`families/contrastive:clusters_dice_imagenet`).
#
# By task:
#
# (contrastive-tasks)=

# %% tags=["hide-input"]
strata_table(published, "task_type")

# %% [markdown]
# ## What the controlled study says
#
# The records of this project compare methods on the same images, labels and schedules.
# A gain is the mean over label counts and seeds, against random weights, with the interval that {doc}`../cost` explains.
#
# (contrastive-own)=

# %% tags=["hide-input"]
own_records(results, study_costs(study_runs(place.records)), family, cell="contrastive-own")

# %% [markdown]
# Of these pairs of data and method, {result}`families/contrastive:own_pairs` in all, {result}`families/contrastive:own_clear` have an interval wholly above zero.
#
# (contrastive-when)=
# ## When to use it
#
# - *Many unlabelled images and few labels*, for a classification whose answer does not change under the views; the tables by modality and by task above say how much evidence there is for which.
# - *Several images of a patient, or neighbouring slices*: a second image can serve as the second view, which every method here but PIRL and y-aware contrast accepts as `partner` {cite:p}`azizi2021big`.
# - *A covariate for each image*, such as age, in MRI of the brain: y-aware contrast is made for it.
# - *Small batches*: MoCo keeps its negatives in a queue, whose length does not depend on the batch.
#
# (contrastive-not)=
# ## When it does not hold
#
# In {result}`families/contrastive:losses` of the published comparisons of this family ({result}`families/contrastive:loss_share`) the pretrained network scored below its comparator.
#
# Three conditions are built into the loss and can fail.
#
# - Two images of one patient, or of one disease, are pushed apart as if they were different, because the loss knows no labels.
# - A finding that the crop cuts away is taught to be unimportant; the page on {doc}`augmentation` measures this.
# - A queue longer than the pool holds older vectors of the image itself among its negatives.
#
# ## What it costs
#
# One training step of each method with the small convolutional encoder, on random images, in the process that made this page.
# {doc}`../cost` says how each column is counted, and compares all methods; energy assumes {result}`families/contrastive:watts`.
#
# (contrastive-cost)=

# %% tags=["hide-input"]
steps = step_costs(METHODS_OF[family], side=28, batch=batch)
report_steps(results, steps, watts, cell="contrastive-cost")
results.save()
steps_table(steps, watts)
