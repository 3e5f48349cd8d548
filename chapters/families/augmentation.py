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
# # Augmentation
#
# A view of an image is made by random changes that should not change what the image shows.
# Whether they do not is a question about the modality, and this page shows the changes, gives the reason of each, and measures what they do to a label.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Each modality has two policies**: a strong one for pretraining, whose views must differ, and a mild one for fine-tuning, whose views must keep the label. {ref}`More <augmentation-policies>`
# - **A transform is there because the physics of the modality makes it**, and absent where it would change the meaning. {ref}`More <augmentation-reasons>`
# - **Under the pretraining policy the AUC of a classifier falls in {result}`families/augmentation:fallen_pretrain` of {result}`families/augmentation:modalities` modalities, and under the fine-tuning policy in {result}`families/augmentation:fallen_fine_tune`**, counting falls whose interval excludes zero. {ref}`More <augmentation-preservation>`
# - **The single transform with the largest fall is {result}`families/augmentation:worst`**: {result}`families/augmentation:worst_change`. {ref}`More <augmentation-preservation>`
# - **Where Hounsfield units are at hand, the window itself can move**, which shows tissue that a cut-off image has lost. {ref}`More <augmentation-window>`
# ```
#
# ## Parameters
#
# Number of views and side of the drawn images; then images, steps, views and bootstrap repeats of the label check; and the seed.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
drawn_views: int = 7
drawn_size: int = 64
images: int = 160
steps: int = 50
views: int = 2
repeats: int = 200
seed: int = 0

# %% tags=["hide-input"]
from functools import partial

from IPython.display import display

from medssl.book import Results, workspace
from medssl.book.augmentation_page import (
    gallery,
    policy_table,
    preservation,
    preservation_table,
    reasons,
    report_preservation,
    window_rows,
)
from medssl.book.families_figures import MODALITIES
from medssl.figures import save_figure
from medssl.figures.image_grid import image_grid

declared_data = []
place, results = workspace(), Results()
figure = partial(
    save_figure, folder=place.figures, records=[], seeds=[seed], interval="There are no intervals",
    chapter=place.chapter,
)  # fmt: skip

# %% [markdown]
# ## The gallery
#
# One generated image of each modality and many random views of it: first each transform of the pretraining policy alone, then the two policies as they are used.
# Each column has its own random draw, and the first column is the image.
#
# (augmentation-gallery)=

# %% tags=["hide-input"]
for modality, label in MODALITIES.items():
    drawing = image_grid(
        gallery(modality, drawn_views, drawn_size, seed), f"Random views of a generated {label} image"
    )
    card = figure(
        drawing, f"augmentation-{modality}", title=f"Augmentation of {label}",
        caption=f"A generated {label} image and random views of it, each transform alone and all together",
        cell="augmentation-gallery",
    )  # fmt: skip
    display(card)

# %% [markdown]
# ## The policies
#
# Strengths of each transform, for pretraining and, after the slash, for fine-tuning; a dash means that it is off.
# In the formulas $u$ and $v$ are uniform between minus one and one, drawn anew for each image.
#
# (augmentation-policies)=

# %% tags=["hide-input"]
policy_table()

# %% [markdown]
# ## The reasons
#
# Each policy stands in a file that says why.
#
# (augmentation-reasons)=

# %% tags=["hide-input"]
reasons()

# %% [markdown]
# ## A window of Hounsfield units
#
# The data sets of this book come as images of eight bits, so that contrast and brightness act on values that a window has cut off already.
# `medssl.augmentation.ct.window_jitter` takes Hounsfield units instead and moves level and width of the window, each image by its own draw.
# The upper row varies contrast and brightness of the windowed image; the lower row looks at the same units through a narrower window that moves.
# The units of the generated image are taken as linear between the ends of its window.
#
# (augmentation-window)=

# %% tags=["hide-input"]
figure(
    image_grid(window_rows(drawn_views, drawn_size, seed), "A generated CT with varied contrast and with a varied window"),
    "augmentation-window", title="Contrast of a windowed CT, and the window itself",
    caption="Views of a generated CT by contrast and brightness after windowing, and by a random window of its units",
    cell="augmentation-window",
)  # fmt: skip

# %% [markdown]
# ## Is the label preserved?
#
# A small network is trained for {result}`families/augmentation:steps` steps on generated images of each modality, and scored on other patients: on their images as they are, and on random views of the same images.
# The fine-tuning policy is the one that it was trained with.
# A fall of the AUC has two causes that this check does not part: the view may have lost what the label rests on, or the network may not know such views.
# So a small fall shows that the label survives, and a large one asks for a look at the gallery.
# Intervals are percentile intervals over resampled patients, and images and views are paired.
#
# (augmentation-preservation)=

# %% tags=["hide-input"]
table = preservation(images, steps, views, repeats, seed)
report_preservation(results, table, cell="augmentation-preservation")
results.add("steps", steps, cell="augmentation-preservation")
results.save()
preservation_table(table)

# %% [markdown]
# On plain images the AUC is {result}`families/augmentation:xray_plain` in X-ray, {result}`families/augmentation:ct_plain` in CT, {result}`families/augmentation:mri_plain` in MRI and {result}`families/augmentation:ultrasound_plain` in ultrasound.
# The fine-tuning policy changes it by {result}`families/augmentation:xray_fine_tune`, {result}`families/augmentation:ct_fine_tune`, {result}`families/augmentation:mri_fine_tune` and {result}`families/augmentation:ultrasound_fine_tune`; the pretraining policy by {result}`families/augmentation:xray_pretrain`, {result}`families/augmentation:ct_pretrain`, {result}`families/augmentation:mri_pretrain` and {result}`families/augmentation:ultrasound_pretrain`.
#
# ## What this does not show
#
# - Generated images are no evidence: a lesion here is drawn by a formula, and a real one may be smaller, and harder to keep in a crop.
# - One network and one seed stand behind each row, so that the intervals cover the choice of patients only.
# - A view that loses the label in a few images may still be worth having in pretraining, which needs no label.
#
# The check runs on images of your own: `label_preservation` of `medssl.evaluation.preservation` takes any classifier, images, labels and a modality.
