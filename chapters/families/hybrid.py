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
# # Hybrid methods
#
# Several tasks are joined in one loss: telling images apart, restoring them, ordering their patches, or mixing them.
# The hope is that each task teaches what the others miss; the price is more options, and more to compute.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Each method joins tasks of the other families**, so its parts are explained there. {ref}`More <hybrid-drawn>`
# - **Against random weights the published gain is {result}`families/hybrid:gain_auc_random` in AUC and {result}`families/hybrid:gain_dice_random` in Dice**, from {result}`families/hybrid:clusters_auc_random` and {result}`families/hybrid:clusters_dice_random`; these are graded {result}`families/hybrid:grade_auc_random` and {result}`families/hybrid:grade_dice_random`. {ref}`More <hybrid-published>`
# - **Against ImageNet weights it is {result}`families/hybrid:gain_auc_imagenet` in AUC and {result}`families/hybrid:gain_dice_imagenet` in Dice.** {ref}`More <hybrid-published>`
# - **{result}`families/hybrid:losses` of {result}`families/hybrid:effects` published comparisons are losses.** {ref}`More <hybrid-not>`
# - **In the controlled study {result}`families/hybrid:own_clear` of {result}`families/hybrid:own_pairs` pairs of data and method have an interval above zero.** {ref}`More <hybrid-own>`
# ```
#
# ## Parameters
#
# The batch of the cost measurement, the assumed power of the machine, and the seed of the drawings; `steps` are the training steps of the restored image.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
batch: int = 32
watts: float = 65.0
seed: int = 0
steps: int = 40

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

declared_data = ["records/*/*.json"]
place, results = workspace(), Results()
family = "hybrid"
published = family_effects(effects(), family)

# %% [markdown]
# ## The idea, drawn
#
# A generated radiograph as each method shows it, and what DiRA restores after a few steps on one batch.
# Regions are the blocks of a grid when no atlas is given, numbered by grey level; POPAR is drawn with four patches a side.
#
# (hybrid-drawn)=

# %% tags=["hide-input"]
panels = families_figures.hybrid_panels(steps=steps, seed=seed)
drawing = image_grid(panels, "A generated radiograph as hybrid methods show it")
save_figure(
    drawing, "hybrid-tasks", folder=place.figures, title="Inputs of hybrid methods",
    caption="A generated radiograph as DiRA, POPAR, SMIT and brain-aware replacement show it to the network", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="hybrid-drawn",
)  # fmt: skip

# %% [markdown]
# ## The methods and their equations
#
# **DiRA** {cite:p}`haghighi2022dira` runs in three stages: discriminate as MoCo does, then restore a distorted view as well, then restore against a discriminator $D$; $w$ are weights, and a term enters with its stage:
#
# $$
# \ell = w_d\,\ell_{\mathrm{MoCo}} + w_r\,\overline{(\hat x - x)^2} + w_a\,\overline{(D(\hat x) - 1)^2} .
# $$
#
# **POPAR** {cite:p}`pang2022popar` shuffles the patches of an image, or distorts its appearance, and asks for the place of every patch and for the image; with $o_j$ the place from which patch $j$ of $P$ came,
#
# $$
# \ell = (1 - \lambda) \frac1P \sum_{j=1}^{P} \mathrm{CE}(g(f_j), o_j) + \lambda\,\overline{(\hat x - x)^2} .
# $$
#
# **SMIT** {cite:p}`jiang2022smit` hides patches from a student, which must predict their pixels ($M$), what a slow teacher says of the same view at the hidden tokens, and what it says of the other view as a whole:
#
# $$
# \ell = \frac{1}{|M|} \sum_{i \in M} |\hat x_i - x_i| + \lambda_p\,\ell_{\mathrm{tokens}} + \lambda_i\,\ell_{\mathrm{image}} .
# $$
#
# **Brain-aware replacement** {cite:p}`seyfioglu2022replacement` replaces regions of one image by those of another and mixes the labels $y$ by the share that was replaced; with $w_{ik} = y_i^\top y_k$,
#
# $$
# \ell_i = -\sum_{k \ne i} \frac{w_{ik}}{\sum_{l \ne i} w_{il}} \log \frac{\exp(z_i^\top z_k / \tau)}{\sum_{l \ne i} \exp(z_i^\top z_l / \tau)} .
# $$
#
# The abstract of that paper describes the replacement and the soft labels; what it leaves open was chosen here, as the file says.
# POPAR and SMIT were made for transformers; with a convolution the places of its feature map stand for tokens.
#
# ## Options
#
# Each method has a frozen dataclass of options; an unknown one is an error.
# The defaults are those of the package, which are meant for small images and small pools, and not always those of the papers.
#
# (hybrid-options)=

# %% tags=["hide-input"]
options_table(family)

# %% [markdown]
# ## The code
#
# Every method is one file, shown here as it ran when this page was made.
#
# (hybrid-code)=

# %% tags=["hide-input"]
source_code(family)

# %% [markdown]
# ## What the published comparisons say
#
# The primary analysis has {result}`families/hybrid:effects` comparisons of this family, from {result}`families/hybrid:studies` studies in {result}`families/hybrid:clusters` independent clusters.
# Gains are pooled by metric and comparator as on the page of {doc}`../synthesis`, with cluster-robust intervals; a stratum of fewer than three clusters is not pooled.
#
# (hybrid-published)=

# %% tags=["hide-input"]
report_family(results, published, cell="hybrid-published")
strata_table(published, "modality")

# %% [markdown]
# Against random weights the pooled gain in AUC is {result}`families/hybrid:gain_auc_random` ({result}`families/hybrid:clusters_auc_random`), which is {result}`families/hybrid:verdict_auc_random` and graded {result}`families/hybrid:grade_auc_random`.
# In Dice it is {result}`families/hybrid:gain_dice_random` ({result}`families/hybrid:clusters_dice_random`): {result}`families/hybrid:verdict_dice_random`, graded {result}`families/hybrid:grade_dice_random`.
# Against supervised ImageNet weights it is {result}`families/hybrid:gain_auc_imagenet` in AUC ({result}`families/hybrid:clusters_auc_imagenet`) and {result}`families/hybrid:gain_dice_imagenet` in Dice ({result}`families/hybrid:clusters_dice_imagenet`).
#
# By task:
#
# (hybrid-tasks)=

# %% tags=["hide-input"]
strata_table(published, "task_type")

# %% [markdown]
# ## What the controlled study says
#
# The records of this project compare methods on the same images, labels and schedules.
# A gain is the mean over label counts and seeds, against random weights, with the interval that {doc}`../cost` explains.
#
# (hybrid-own)=

# %% tags=["hide-input"]
own_records(results, study_costs(study_runs(place.records)), family, cell="hybrid-own")

# %% [markdown]
# Of these pairs of data and method, {result}`families/hybrid:own_pairs` in all, {result}`families/hybrid:own_clear` have an interval wholly above zero.
#
# (hybrid-when)=
# ## When to use it
#
# - *One encoder for several tasks*, some of which tell images apart and some of which draw outlines: the losses ask for both.
# - *Chest radiographs* are what POPAR was proposed for, and *volumes of CT* what SMIT was pretrained on; the table by modality above says what was found with which images.
# - *MRI of the head in a common space*: brain-aware replacement needs an atlas that fits all images; without one its regions know nothing of anatomy.
# - When the simpler method of the page of its family does as well, its options are fewer and its runs cheaper.
#
# (hybrid-not)=
# ## When it does not hold
#
# In {result}`families/hybrid:losses` of the published comparisons of this family ({result}`families/hybrid:loss_share`) the pretrained network scored below its comparator.
#
# - Weights between the terms are options that were tuned on other images, and nothing in the pretraining loss says whether they fit.
# - The loss rises where a stage of DiRA begins, because a term is added; a rule that stops on a rising loss would stop there.
# - An adversary can leave the restorer without direction when one of the two learns much faster.
#
# ## What it costs
#
# One training step of each method with the small convolutional encoder, on random images, in the process that made this page.
# {doc}`../cost` says how each column is counted, and compares all methods; energy assumes {result}`families/hybrid:watts`.
#
# (hybrid-cost)=

# %% tags=["hide-input"]
steps = step_costs(METHODS_OF[family], side=28, batch=batch)
report_steps(results, steps, watts, cell="hybrid-cost")
results.save()
steps_table(steps, watts)
