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
# # Generative methods
#
# A part of the image is hidden or distorted, and a small decoder must give it back from what the encoder makes of the rest.
# The target is the image itself, so there are no views that could hide a finding, and features must keep what is needed to draw.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **The methods differ in what they take away**: patches, blocks, places, intensities, or sharpness. {ref}`More <generative-drawn>`
# - **Against random weights the published gain is {result}`families/generative:gain_auc_random` in AUC and {result}`families/generative:gain_dice_random` in Dice**, from {result}`families/generative:clusters_auc_random` and {result}`families/generative:clusters_dice_random`; these are graded {result}`families/generative:grade_auc_random` and {result}`families/generative:grade_dice_random`. {ref}`More <generative-published>`
# - **Against ImageNet weights it is {result}`families/generative:gain_auc_imagenet` in AUC and {result}`families/generative:gain_dice_imagenet` in Dice.** {ref}`More <generative-published>`
# - **{result}`families/generative:losses` of {result}`families/generative:effects` published comparisons are losses.** {ref}`More <generative-not>`
# - **In the controlled study {result}`families/generative:own_clear` of {result}`families/generative:own_pairs` pairs of data and method have an interval above zero.** {ref}`More <generative-own>`
# ```
#
# ## Parameters
#
# The batch of the cost measurement, the assumed power of the machine, and the seed of the drawings.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
batch: int = 32
watts: float = 65.0
seed: int = 0

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
family = "generative"
published = family_effects(effects(), family)

# %% [markdown]
# ## The idea, drawn
#
# Two generated radiographs, what the network sees of them, and what it must give; then the four distortions of Models Genesis one by one, and as they are drawn together.
# Grey is what is hidden, or what is not asked for.
#
# (generative-drawn)=

# %% tags=["hide-input"]
drawing = image_grid(
    families_figures.distorted_panels(seed=seed), "Generated radiographs, distorted inputs and targets"
)
save_figure(
    drawing, "generative-tasks", folder=place.figures, title="Inputs and targets of generative methods",
    caption="Generated radiographs with the input and the target of each method, and the distortions of Models Genesis", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="generative-drawn",
)  # fmt: skip

# %% [markdown]
# ## The methods and their equations
#
# In all equations $x$ is the image, $\tilde x$ what the network sees, $\hat x$ what encoder and decoder make of it, and $M$ the set of hidden pixels.
#
# **Masked autoencoder** {cite:p}`he2022mae`: the squared error on hidden patches, where each target patch has mean zero and variance one:
#
# $$
# \ell = \frac{1}{|M|} \sum_{i \in M} (\hat x_i - \bar x_i)^2 .
# $$
#
# **SimMIM** {cite:p}`xie2022simmim`: the absolute error of the raw pixels, with one layer for a decoder:
#
# $$
# \ell = \frac{1}{|M|} \sum_{i \in M} |\hat x_i - x_i| .
# $$
#
# **Inpainting** {cite:p}`pathak2016inpainting`: random blocks are hidden, and a margin around them may weigh more; here without the paper's adversarial term:
#
# $$
# \ell = \frac{\sum_i w_i (\hat x_i - x_i)^2}{\sum_i w_i} .
# $$
#
# **Context restoration** {cite:p}`chen2019restoration`: pairs of patches change places, and the image must be restored everywhere:
#
# $$
# \ell = \frac1n \sum_i (\hat x_i - x_i)^2, \qquad \tilde x = \text{$x$ with swapped patches} .
# $$
#
# **Models Genesis** {cite:p}`zhou2019genesis,zhou2021genesis`: the same error, where $\tilde x$ has its intensities mapped by a Bezier curve, its pixels shuffled in small windows, and its outside or inside painted over, each with a probability.
#
# **Denoising** {cite:p}`vincent2008denoising`: the same error, where $\tilde x = x + \sigma\,\epsilon$ with Gaussian noise $\epsilon$.
#
# The masked autoencoder and SimMIM were made for transformers, which drop hidden patches from their input; with a convolution hidden pixels are set to a constant, and results for that are not results for the transformer.
#
# ## Options
#
# Each method has a frozen dataclass of options; an unknown one is an error.
# The defaults are those of the package, which are meant for small images and small pools, and not always those of the papers.
#
# (generative-options)=

# %% tags=["hide-input"]
options_table(family)

# %% [markdown]
# ## The code
#
# Every method is one file, shown here as it ran when this page was made.
#
# (generative-code)=

# %% tags=["hide-input"]
source_code(family)

# %% [markdown]
# ## What the published comparisons say
#
# The primary analysis has {result}`families/generative:effects` comparisons of this family, from {result}`families/generative:studies` studies in {result}`families/generative:clusters` independent clusters.
# Gains are pooled by metric and comparator as on the page of {doc}`../synthesis`, with cluster-robust intervals; a stratum of fewer than three clusters is not pooled.
#
# (generative-published)=

# %% tags=["hide-input"]
report_family(results, published, cell="generative-published")
strata_table(published, "modality")

# %% [markdown]
# Against random weights the pooled gain in AUC is {result}`families/generative:gain_auc_random` ({result}`families/generative:clusters_auc_random`), which is {result}`families/generative:verdict_auc_random` and graded {result}`families/generative:grade_auc_random`.
# In Dice it is {result}`families/generative:gain_dice_random` ({result}`families/generative:clusters_dice_random`): {result}`families/generative:verdict_dice_random`, graded {result}`families/generative:grade_dice_random`.
# Against supervised ImageNet weights it is {result}`families/generative:gain_auc_imagenet` in AUC ({result}`families/generative:clusters_auc_imagenet`) and {result}`families/generative:gain_dice_imagenet` in Dice ({result}`families/generative:clusters_dice_imagenet`).
#
# By task:
#
# (generative-tasks)=

# %% tags=["hide-input"]
strata_table(published, "task_type")

# %% [markdown]
# ## What the controlled study says
#
# The records of this project compare methods on the same images, labels and schedules.
# A gain is the mean over label counts and seeds, against random weights, with the interval that {doc}`../cost` explains.
#
# (generative-own)=

# %% tags=["hide-input"]
own_records(results, study_costs(study_runs(place.records)), family, cell="generative-own")

# %% [markdown]
# Of these pairs of data and method, {result}`families/generative:own_pairs` in all, {result}`families/generative:own_clear` have an interval wholly above zero.
#
# (generative-when)=
# ## When to use it
#
# - *Segmentation and other dense tasks*: the encoder must keep where things are; the table by task above says what has been measured in Dice.
# - *Volumes*: every method here takes volumes as it takes images.
# - *Modalities whose augmentations are in doubt*: mild views are enough, because the task does not come from them.
# - *Small batches*: no image is compared with another.
#
# (generative-not)=
# ## When it does not hold
#
# In {result}`families/generative:losses` of the published comparisons of this family ({result}`families/generative:loss_share`) the pretrained network scored below its comparator.
#
# - What is learnt is what most of the error is made of, which is large and bright structure; a small lesion contributes few pixels.
# - Speckle and noise cannot be predicted from what surrounds them, and a share of the error is spent on them.
# - Hidden patches that are smaller than the texture can be filled from their rim without any anatomy.
# - Frozen features may serve a linear classifier worse than fine-tuned ones, so that a linear probe is no fair test; the controlled study fine-tunes.
#
# ## What it costs
#
# One training step of each method with the small convolutional encoder, on random images, in the process that made this page.
# {doc}`../cost` says how each column is counted, and compares all methods; energy assumes {result}`families/generative:watts`.
#
# (generative-cost)=

# %% tags=["hide-input"]
steps = step_costs(METHODS_OF[family], side=28, batch=batch)
report_steps(results, steps, watts, cell="generative-cost")
results.save()
steps_table(steps, watts)
