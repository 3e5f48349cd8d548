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
# # Images
#
# ```{admonition} Key takeaways
# :class: tip
#
# - Every image source has a card with its licence, citation, splits, unit of independence and known leakage, and the tables of this page are read from the cards.
# - An audit looked for the same picture in two splits, and its result is on the card, whatever it is.
# - In no real source can patients be told apart, so one patient may stand on both sides of a split; each card says what is known.
# - Generated images exercise the code and are not evidence about patients.
# ```
#
# `medssl data list` shows the sources and where each was found.
# A file is looked for in the folder that the variable `MEDSSL_DATA` names, then in the user's cache.
# Nothing is downloaded unless `medssl data fetch NAME` asks for it: the size and the licence are printed first, and the file is checked against the hash on its card.
# Where a source has no plain address, the same command prints the steps to get the file by hand.
# `medssl data card NAME` and `medssl data audit NAME` print what this page shows.
# Your own images go in as `folder:PATH`, and `medssl data audit folder:PATH --modality xray` audits them before you train.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"

# %% tags=["hide-input"]
import pandas as pd
from IPython.display import HTML, display
from markdown_it import MarkdownIt

from medssl.data import SPLITS, available
from medssl.data.card import markdown, read_card

declared_data = []  # everything on this page comes from the cards of the package
cards = {name: read_card(name) for name in available()}


def show_table(rows: list[dict]) -> None:
    """Show rows as a plain table."""
    display(HTML(pd.DataFrame(rows).to_html(index=False, border=0, justify="left")))


def show_card(name: str) -> None:
    """Show a card with its headings in bold, so that the page keeps its own headings."""
    lines = markdown(cards[name]).splitlines()[2:]
    text = "\n".join(f"**{line.lstrip('# ')}**" if line.startswith("#") else line for line in lines)
    page = MarkdownIt("commonmark").enable("table").render(text)
    display(HTML(page.replace("<table>", '<table class="dataframe">')))


# %% [markdown]
# ## All sources
#
# Images are counted in each split as they lie in the files; for a generated source it is the sample that the audit drew.

# %% tags=["hide-input"]
show_table(
    [
        {
            "name": name,
            "modality": card.modality,
            "task": card.task,
            **{split: card.splits.get(split, {}).get("n", "") for split in SPLITS},
            "pixels": " x ".join(map(str, card.file["image_shape"])) if card.file else "as asked",
            "MB": f"{card.file['bytes'] / 1e6:.1f}" if card.file else "",
            "licence": card.licence["name"],
            "how to get it": "generated"
            if card.file is None
            else ("download" if card.file["url"] else "by hand"),
        }
        for name, card in cards.items()
    ]
)

# %% [markdown]
# (data-audit)=
# ## What the audit found
#
# The audit compares every image with every other one.
# Two images match when the correlation of their thumbnails reaches the threshold in the last column; a match that agrees in every pixel is exact.
# A match between splits is leakage unless two different patients merely look alike, which the brain slices sometimes do.
# Turned or shifted copies are not found, so a zero is no proof of absence.
# Matches within a split are listed with each source below.

# %% tags=["hide-input"]
show_table(
    [
        {
            "name": name,
            "images of": overlap["second"],
            "searched in": overlap["first"],
            "images": card.audit["n"][overlap["second"]],
            "with a match": overlap["near_images"][f"{card.audit['threshold']:g}"],
            "exact": overlap["exact_images"],
            "pairs with different labels": overlap["near_conflicts"],
            "threshold": card.audit["threshold"],
        }
        for name, card in cards.items()
        if card.file is not None
        for overlap in card.audit["overlaps"]
        if overlap["first"] != overlap["second"]
    ]
)

# %% [markdown]
# ## X-ray: PneumoniaMNIST
#
# Paediatric chest radiographs from MedMNIST {cite:p}`yang2023medmnist`, after {cite:t}`kermany2018oct`.

# %% tags=["hide-input"]
show_card("pneumoniamnist")

# %% [markdown]
# ## CT: OrganAMNIST
#
# Axial slices around abdominal organs from MedMNIST {cite:p}`yang2023medmnist`, after the liver tumour benchmark {cite:p}`bilic2023lits` with the organ boxes of {cite:t}`xu2019organ`.

# %% tags=["hide-input"]
show_card("organamnist")

# %% [markdown]
# ## Ultrasound: BreastMNIST
#
# Breast images from MedMNIST {cite:p}`yang2023medmnist`, after {cite:t}`aldhabyani2020busi`.
# Read the letter of {cite:t}`pawlowska2023letter` on the source set before you rely on a score.

# %% tags=["hide-input"]
show_card("breastmnist")

# %% [markdown]
# ## MRI: brain tumour slices
#
# Contrast-enhanced slices {cite:p}`cheng2015brain,cheng2017figshare` in two sizes; the split is by contiguous blocks of slice numbers, because neighbouring numbers are mostly one patient.

# %% tags=["hide-input"]
show_card("brain_tumour_64")

# %% tags=["hide-input"]
show_card("brain_tumour_128")

# %% [markdown]
# ## MRI: hippocampus volumes
#
# Three-dimensional crops with masks from the Medical Segmentation Decathlon {cite:p}`antonelli2022decathlon,simpson2019decathlon`.

# %% tags=["hide-input"]
show_card("hippocampus")

# %% [markdown]
# ## Generated images
#
# One generator a modality follows the physics of its modality in small, with a diagnostic label whose difficulty can be set.
# The parts with a literature of their own are the attenuation of X-rays {cite:p}`swinehart1962beer`, reconstruction from projections {cite:p}`kak1988tomography`, the noise of magnitude MRI {cite:p}`gudbjartsson1995rician` and ultrasound speckle {cite:p}`wagner1983speckle`.
# The same seed gives the same images.

# %% tags=["hide-input"]
for phantom in (name for name, card in cards.items() if card.file is None):
    display(HTML(f"<h3>{cards[phantom].title} (<code>{phantom}</code>)</h3>"))
    show_card(phantom)
