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
# # Predictive methods
#
# The image is changed in a way that the computer knows, and the network must say in which way.
# The answer is a class, the loss is the cross-entropy, and the image needs no label.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **The label is made by the computer**: an angle, an order of tiles, a direction, or the turns of cubes. {ref}`More <predictive-drawn>`
# - **Against random weights the published gain is {result}`families/predictive:gain_auc_random` in AUC and {result}`families/predictive:gain_dice_random` in Dice**, from {result}`families/predictive:clusters_auc_random` and {result}`families/predictive:clusters_dice_random`; these are graded {result}`families/predictive:grade_auc_random` and {result}`families/predictive:grade_dice_random`. {ref}`More <predictive-published>`
# - **Against ImageNet weights it is {result}`families/predictive:gain_auc_imagenet` in AUC and {result}`families/predictive:gain_dice_imagenet` in Dice.** {ref}`More <predictive-published>`
# - **{result}`families/predictive:losses` of {result}`families/predictive:effects` published comparisons are losses.** {ref}`More <predictive-not>`
# - **In the controlled study {result}`families/predictive:own_clear` of {result}`families/predictive:own_pairs` pairs of data and method have an interval above zero.** {ref}`More <predictive-own>`
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
family = "predictive"
published = family_effects(effects(), family)

# %% [markdown]
# ## The idea, drawn
#
# A generated slice of a head as each method shows it.
# Tiles and patches are standardised one by one before they are seen, so that brightness does not tell their place; the volume of the last row is the slice, dimmed towards the front.
# The jigsaw is drawn with three tiles a side, as in the paper.
#
# (predictive-drawn)=

# %% tags=["hide-input"]
drawing = image_grid(
    families_figures.puzzle_panels(seed=seed), "A generated slice as predictive methods show it"
)
save_figure(
    drawing, "predictive-tasks", folder=place.figures, title="Inputs of predictive methods",
    caption="A generated slice of a head as rotation, jigsaw, relative position and the Rubik's cube show it to the network", records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter, cell="predictive-drawn",
)  # fmt: skip

# %% [markdown]
# ## The methods and their equations
#
# In all equations $f$ is the encoder and $\mathrm{CE}$ the cross-entropy of a linear or small head $g$.
#
# **Rotation** {cite:p}`gidaris2018rotation` turns each image by $r$ quarter turns, all four of them in every batch:
#
# $$
# \ell = \frac14 \sum_{r=0}^{3} \mathrm{CE}\bigl(g(f(\mathrm{rot}_r\, x)),\, r\bigr) .
# $$
#
# **Relative position** {cite:p}`doersch2015context` cuts two neighbouring patches $x_a$ and $x_b$ and asks on which of eight sides the second lies:
#
# $$
# \ell = \mathrm{CE}\bigl(g(f(x_a), f(x_b)),\, \text{side}\bigr) .
# $$
#
# **Jigsaw** {cite:p}`noroozi2016jigsaw` permutes tiles $x_1, \dots, x_T$ by one of a fixed set of permutations $\pi$ that are far from each other:
#
# $$
# \ell = \mathrm{CE}\bigl(g(f(x_{\pi(1)}), \dots, f(x_{\pi(T)})),\, \pi\bigr) .
# $$
#
# **Rubik's cube** {cite:p}`zhuang2019rubik` does so with eight cubes of a volume, each of which may also be turned, $t$ saying how; with weight $\lambda$ of the turns and $\mathrm{BCE}$ the binary cross-entropy,
#
# $$
# \ell = (1 - \lambda)\,\mathrm{CE}\bigl(g_1(f(x_{\pi(1)}), \dots, f(x_{\pi(8)})),\, \pi\bigr) + \lambda\,\mathrm{BCE}\bigl(g_2(\cdot),\, t\bigr) .
# $$
#
# ## Options
#
# Each method has a frozen dataclass of options; an unknown one is an error.
# The defaults are those of the package, which are meant for small images and small pools, and not always those of the papers.
#
# (predictive-options)=

# %% tags=["hide-input"]
options_table(family)

# %% [markdown]
# ## The code
#
# Every method is one file, shown here as it ran when this page was made.
#
# (predictive-code)=

# %% tags=["hide-input"]
source_code(family)

# %% [markdown]
# ## What the published comparisons say
#
# The primary analysis has {result}`families/predictive:effects` comparisons of this family, from {result}`families/predictive:studies` studies in {result}`families/predictive:clusters` independent clusters.
# Gains are pooled by metric and comparator as on the page of {doc}`../synthesis`, with cluster-robust intervals; a stratum of fewer than three clusters is not pooled.
#
# (predictive-published)=

# %% tags=["hide-input"]
report_family(results, published, cell="predictive-published")
strata_table(published, "modality")

# %% [markdown]
# Against random weights the pooled gain in AUC is {result}`families/predictive:gain_auc_random` ({result}`families/predictive:clusters_auc_random`), which is {result}`families/predictive:verdict_auc_random` and graded {result}`families/predictive:grade_auc_random`.
# In Dice it is {result}`families/predictive:gain_dice_random` ({result}`families/predictive:clusters_dice_random`): {result}`families/predictive:verdict_dice_random`, graded {result}`families/predictive:grade_dice_random`.
# Against supervised ImageNet weights it is {result}`families/predictive:gain_auc_imagenet` in AUC ({result}`families/predictive:clusters_auc_imagenet`) and {result}`families/predictive:gain_dice_imagenet` in Dice ({result}`families/predictive:clusters_dice_imagenet`).
#
# By task:
#
# (predictive-tasks)=

# %% tags=["hide-input"]
strata_table(published, "task_type")

# %% [markdown]
# ## What the controlled study says
#
# The records of this project compare methods on the same images, labels and schedules.
# A gain is the mean over label counts and seeds, against random weights, with the interval that {doc}`../cost` explains.
#
# (predictive-own)=

# %% tags=["hide-input"]
own_records(results, study_costs(study_runs(place.records)), family, cell="predictive-own")

# %% [markdown]
# Of these pairs of data and method, {result}`families/predictive:own_pairs` in all, {result}`families/predictive:own_clear` have an interval wholly above zero.
#
# (predictive-when)=
# ## When to use it
#
# - *Where cost counts*: the encoder sees small tiles, or a batch without views; the table of costs below says how fast that is.
# - *Anatomy with a fixed layout*, where the place of a part says much: tiles of a chest or of a head.
# - *Volumes*: the Rubik's cube is for volumes alone, and rotation and jigsaw have a form for them.
# - This is the family with the least published evidence, as the counts above show, so a run of one's own on held-out labels should decide.
#
# (predictive-not)=
# ## When it does not hold
#
# In {result}`families/predictive:losses` of the published comparisons of this family ({result}`families/predictive:loss_share`) the pretrained network scored below its comparator.
#
# - Patients are imaged in known positions: the outline of the body tells the rotation, and nothing of the organs need be learnt.
# - The order of tiles can be told from their edges; gaps and random places work against it, but not wholly.
# - Where there is no up and down, as in many microscopic or endoscopic images, the question has no answer.
# - Tiles of small images show next to nothing, for which reason the jigsaw has two tiles a side by default.
#
# ## What it costs
#
# One training step of each method with the small convolutional encoder, on random images, in the process that made this page.
# {doc}`../cost` says how each column is counted, and compares all methods; energy assumes {result}`families/predictive:watts`.
#
# (predictive-cost)=

# %% tags=["hide-input"]
steps = step_costs(METHODS_OF[family], side=28, batch=batch)
report_steps(results, steps, watts, cell="predictive-cost")
results.save()
steps_table(steps, watts)
