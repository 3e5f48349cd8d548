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
# # Cost
#
# What does pretraining cost, and how much gain does a minute of it buy?
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Of {result}`cost:pairs` pairs of data set and method in the committed records, {result}`cost:clear_gains` have a gain whose interval is wholly above zero, and {result}`cost:clear_losses` a loss**; pretraining took between {result}`cost:shortest_minutes` and {result}`cost:longest_minutes`. {ref}`More <cost-study>`
# - **The best rate is that of {result}`cost:best_pair`**: {result}`cost:best_rate` in AUC for ten minutes; it is picked as the best of all, and so too favourable. {ref}`More <cost-study>`
# - **Methods differ {result}`cost:speed_spread`-fold in speed with the same encoder**: {result}`cost:fastest` is the fastest and {result}`cost:slowest` the slowest on images. {ref}`More <cost-step>`
# - **They differ {result}`cost:memory_spread`-fold in what an image leaves in memory**: least for {result}`cost:leanest`, most for {result}`cost:hungriest`. {ref}`More <cost-step>`
# - **Energy is an estimate** from the minutes and an assumed power of {result}`cost:watts`. {ref}`More <cost-energy>`
# ```
#
# ## Parameters
#
# The assumed power in watts, which nothing here measures; side and batch of the images of the measured step, and how often it is timed.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
watts: float = 65.0
side: int = 28
batch: int = 32
repeats: int = 3

# %% tags=["hide-input"]
from medssl.book import Results, workspace
from medssl.book.cost_page import (
    costs_table,
    report_costs,
    report_throughput,
    study_costs,
    study_runs,
    throughput,
    throughput_words,
)
from medssl.book.step_costs import report_steps, step_costs, steps_table
from medssl.figures import save_figure
from medssl.figures.cost_plot import cost_plot
from medssl.ssl import METHODS

declared_data = ["records/*/*.json", "benchmarks/results/pretraining_throughput_*.json"]
place, results = workspace(), Results()

# %% [markdown]
# ## Gain for minutes, in the study
#
# Each record keeps the minutes that its encoder was pretrained.
# Below are all data sets and methods of the plain comparison: the whole pool of the own images, fine-tuning, against random weights.
# A seed has one encoder, so its gains are averaged over label counts first, and then over seeds.
# The variance adds that over seeds to that over test cases, and the interval is that of Student's $t$ with Satterthwaite's degrees of freedom.
# Minutes are wall-clock time on the machine that made most records, which was shared, and count as known; a seed that was run elsewhere counts with the mean there.
# The number of images that passed does not depend on the machine.
# The minutes of the labelled training, which both arms need, are left out.
#
# (cost-study)=

# %% tags=["hide-input"]
runs = study_runs(place.records)
costs = study_costs(runs)
report_costs(results, costs, cell="cost-study")
save_figure(
    cost_plot(costs), "cost-gain-by-minutes", folder=place.figures, title="Gain against minutes of pretraining",
    caption="Mean gain in AUC over label counts and seeds against the minutes of pretraining, by data set and method; "
    "the line is no gain",
    records=[place.records / row.dataset / f"{row.record_id}.json" for row in runs.itertuples()],
    seeds=sorted(set(runs["seed"])), interval="Bars: 95% confidence interval",
    chapter=place.chapter, cell="cost-study",
)  # fmt: skip

# %% [markdown]
# The same as numbers; the last column divides gain and limits by the minutes.
# A rate says nothing of what more minutes would bring, because gains do not grow in proportion.

# %% tags=["hide-input"]
costs_table(costs, watts)

# %% [markdown]
# (cost-energy)=
# ## Energy
#
# Energy is power times time, $E = P\,t$.
# The time is measured; the power is the assumption {result}`cost:watts`, constant, for the whole machine, and it is a parameter of this page because a laptop, a server and a graphics card differ by far more than methods do.
# Idle power, cooling and the making of the machine are left out, and the time was that of a shared machine, on which an image takes longer.
# `make chapter CHAPTER=cost BOOK_OPTIONS="--parameter watts=300"` takes another assumption.
#
# ## One training step of each method
#
# {result}`cost:methods` methods take a step with the same encoder and batch, on random images, in the process that made this page.
#
# - *Trained numbers* are the weights that the optimiser moves; an optimiser with two moments keeps twice as many beside them.
# - *Teachers, queues, state* are numbers that are kept but not trained.
# - *Kept for an image* is what the forward pass leaves in memory for the backward pass, counted tensor by tensor without the weights; it grows with the square of the side and with the batch.
# - *Speed* is in images for a second of processor time, views included, so that other work on the machine does not count; two threads that are busy for a second count twice.
#
# DiRA is counted in its last stage, and the Rubik's cube on volumes, so that its row does not compare with the others.
#
# (cost-step)=

# %% tags=["hide-input"]
steps = step_costs(METHODS, side, batch, repeats)
report_steps(results, steps, watts, cell="cost-step")
steps_table(steps, watts)

# %% [markdown]
# ## Beside other libraries
#
# `benchmarks/pretraining_throughput.py` lets this package, lightly, solo-learn and MONAI take turns on one machine with the same encoder, batch and optimiser.
# *Share* is the speed divided by that of the model alone, without augmentation, and *ratio* the speed divided by that of the fastest other library.
#
# On {result}`cost:machines` processors, which the table names, the ratio over methods is {result}`cost:ratio_28` at {fact}`28` pixels and {result}`cost:ratio_64` at {fact}`64`; the share is {result}`cost:share_28` and {result}`cost:share_64`.
# But for noise in the measurement, no loop can be faster than the model that it trains: the ratio of the model alone, which is the most that any loop with this network could reach, is {result}`cost:ceiling_28` and {result}`cost:ceiling_64`.
#
# (cost-peers)=

# %% tags=["hide-input"]
speeds = throughput(place.root / "benchmarks/results")
report_throughput(results, speeds, cell="cost-peers")
results.save()
throughput_words(speeds)

# %% [markdown]
# ## What this does not show
#
# - The cost of choosing: options that are tried and thrown away cost as much as those that are kept.
# - Large encoders and large images, where a graphics card is needed and memory decides the batch.
# - The value of a gain, and the cost of the labels that it might save.
