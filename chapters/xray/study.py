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
# # X-ray: the study
#
# This notebook computes every number of [the recommendations for radiographs](recommendations.md).
# It pretrains and transfers, reads the records of real chest radiographs, and meta-analyses the gains against the label ratio.
# The executed notebook can be downloaded from this page, and the command that ran it is `make chapter CHAPTER=xray/study`.
#
# ## Parameters
#
# An unknown name or a value of another type is an error.
# Names that begin with `live` concern the images that are generated on the spot; the others concern the real radiographs.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
dataset: str = "pneumoniamnist"
methods: list[str] = ["simclr", "masked_autoencoder"]
label_counts: list[int] = [10, 20, 50, 100, 250, 1000]
all_labels: bool = True
seeds: list[int] = [1, 2, 3, 4, 5]
sensitivity_counts: list[int] = [50, 100, 250]
workers: int = 1
live_images: int = 1000
live_label_counts: list[int] = [20, 100]
live_seeds: list[int] = [1, 2]
live_epochs: int = 5
live_difficulty: float = 0.3

# %% tags=["hide-input"]
from dataclasses import asdict
from functools import partial

import pandas as pd
from IPython.display import Markdown

from medssl.book import Results, workspace
from medssl.book.reporting import report_coefficient, report_counts, report_durations, report_estimate
from medssl.book.study import study_figure, survey_fit
from medssl.book.wording import interval, show_table
from medssl.evidence import MINIMAL_GAIN, by_seed, from_records, grade
from medssl.experiments import ensure_plain_probe, load_records, plan, record_path, run_grid, to_table
from medssl.experiments.grids import phantom_grid, real_grid
from medssl.figures import arm_scores, bubble, forest, learning_curve

declared_data = ["records/pneumoniamnist/*.json", "baselines/*.json", "$MEDSSL_DATA/medmnist/*.npz"]
place, results = workspace(), Results()
figure = partial(study_figure, place)

# %% [markdown]
# ## The comparison
#
# One *cell* is a method, a label count $n$ and a seed.
# The seed draws a nested, stratified subset of $n$ labelled images, the weights, the order and the augmentation.
# The encoder is pretrained on all training images without their labels, and then both arms, the pretrained encoder and the same encoder with the random weights that pretraining started from, are trained on the same subset with the same schedule.
# Each arm chooses its learning rate from the same list with a held-out quarter of its own $n$ labels, and is then trained again on all of them; under fifty labels both take one fixed rate.
# The test images are scored once.
# Before the grid one pilot with seed zero was looked at, test scores included, to see that training works and how long it takes; that seed is not in the grid.
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
#
# ## A live run on generated radiographs
#
# In the `quick` profile the next cell really pretrains and transfers, on projections of a generated thorax.
# It shows that the path works and how long it takes.
# It is not evidence about patients, and no recommendation uses it.
#
# (xray-live)=

# %% tags=["hide-input"]
live = None
if profile == "quick":
    sizes = tuple(live_label_counts), tuple(live_seeds), live_images, live_epochs, live_difficulty
    cells = phantom_grid("xray", tuple(methods), *sizes)
    live = to_table(run_grid(cells, place.folder / "live", work=place.folder / "runs", workers=workers))
columns = ["method", "n_labelled", "seed", "ssl", "comparator", "gain", "ci_low", "ci_high"]
show_table(live, columns) if live is not None else Markdown(f"There is no live run in the {profile} profile.")

# %% tags=["hide-input"]
if live is not None:
    drawn = figure(
        learning_curve(arm_scores(live), summary="median"), "xray-phantom-learning-curve", "Learning curves on generated radiographs",
        "Test AUC on generated radiographs of both arms against the number of labels; not evidence about patients",
        live, "Bars: range over seeds", "xray-live",
    )  # fmt: skip
drawn if live is not None else Markdown(f"There is no such figure in the {profile} profile.")

# %% [markdown]
# ## The records of real radiographs
#
# In the `full` profile the next cell runs every cell that is not recorded yet, which takes about an hour on two processor cores; it can be stopped and started again at any time.
# In the other profiles it reads the committed records.
#
# (xray-records)=

# %% tags=["hide-input"]
counts = (*label_counts, None) if all_labels else tuple(label_counts)
cells = real_grid(dataset, tuple(methods), counts, tuple(seeds), tuple(sensitivity_counts))
if profile == "full":
    run_grid(cells, place.records, work=place.root / "_runs", workers=workers)
    ensure_plain_probe(dataset, place.root / "baselines")
todo = plan(cells, place.records)
print(f"{len(todo.recorded)} of {len(cells)} cells are recorded")
records = to_table(load_records(record_path(cell, place.records) for cell in todo.recorded))
tuned = records[(records.adaptation == "fine_tune") & (records.selection == "budget")]
probed = records[(records.adaptation == "linear_probe") & (records.selection == "budget")]
flagged = records[(records.adaptation == "fine_tune") & (records.selection == "full_validation")]
report_counts(results, tuned, cell="xray-records")
means = {name: (name, "mean") for name in ("ssl", "comparator", "gain")}
show_table(tuned.groupby(["method", "n_labelled"], as_index=False).agg(seeds=("seed", "size"), **means))

# %% [markdown]
# ## Learning curves
#
# (xray-curves)=

# %% tags=["hide-input"]
figure(
    learning_curve(arm_scores(tuned, "random initialisation")), "xray-learning-curves",
    "Learning curves on paediatric chest radiographs",
    "Test AUC on PneumoniaMNIST of fine-tuned encoders, pretrained or not, against the number of labels",
    tuned, "Bars: 95% t interval over seeds", "xray-curves",
)  # fmt: skip

# %% [markdown]
# ## Is the comparator sound?
#
# A gain over a network that was badly trained would be worth nothing.
# With all labels the comparator has to beat a plain probe: logistic regression on the leading principal components of the pixels.
#
# (xray-comparator)=

# %% tags=["hide-input"]
plain = ensure_plain_probe(dataset, place.root / "baselines")["scores"]["auc"]
whole = tuned[tuned.n_labelled == tuned.n_labelled.max()].drop_duplicates("seed")
words = "beats" if whole.comparator.min() > plain else "fails to beat"
for key, value in (("auc", whole.comparator.mean()), ("sd", whole.comparator.std())):
    results.add(f"comparator_{key}", float(value), text=f"{value:.3f}", cell="xray-comparator")
results.add("plain_auc", plain, cell="xray-comparator")
results.add("comparator_is_sound", int(words == "beats"), text=words, cell="xray-comparator")
show_table(whole.assign(plain_probe=plain), ["seed", "n_labelled", "comparator", "plain_probe"])

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
# (xray-gain)=

# %% tags=["hide-input"]
effects = from_records(tuned)
ratio = effects[["log10_label_ratio"]]
line, mean = survey_fit(effects, ratio), survey_fit(effects)
figure(
    bubble(effects, line, comparator="random initialisation", dodge=0.04), "xray-gain-by-label-ratio",
    "Gain in AUC against the label ratio on paediatric chest radiographs",
    "Gain in test AUC of pretraining and fine-tuning over random initialisation, PneumoniaMNIST, each bubble "
    "the mean over seeds of one method and label count",
    tuned, "Bands: 95% confidence and 95% prediction", "xray-gain",
)  # fmt: skip

# %% [markdown]
# (xray-model)=

# %% tags=["hide-input"]
average = mean.predict().iloc[0]
report_estimate(results, "gain", average, cell="xray-model")
report_estimate(results, "unguarded", survey_fit(effects, test="knha").predict().iloc[0], cell="xray-model")
results.add("minimal_gain", MINIMAL_GAIN, cell="xray-model")
text = interval(average.estimate, average.pi_low, average.pi_high, kind="95% prediction interval")
results.add("gain_prediction", float(average.estimate), text=text, cell="xray-model")
report_coefficient(results, "slope", line, 1, cell="xray-model")
ends = line.predict(pd.DataFrame({"log10_label_ratio": [ratio.min().item(), ratio.max().item()]}))
report_estimate(results, "gain_fewest", ends.iloc[0], cell="xray-model")
report_estimate(results, "gain_all", ends.iloc[1], cell="xray-model")
Markdown(f"{mean.report()}\n\n{line.report()}")

# %% [markdown]
# ### Effect by effect
#
# (xray-forest)=

# %% tags=["hide-input"]
by_method = {name: survey_fit(part) for name, part in effects.groupby("method")}
for name, fit in by_method.items():
    report_estimate(results, f"gain_{name}", fit.predict().iloc[0], cell="xray-forest")
figure(
    forest(effects, mean, groups="method", group_fits=by_method, comparator="random initialisation"),
    "xray-gain-forest", "Gain in AUC by method and label count on paediatric chest radiographs",
    "Gain in test AUC of pretraining and fine-tuning over random initialisation, PneumoniaMNIST, by method "
    "and label count; diamonds are random-effects means, the bar is the prediction interval",
    tuned, "Bars: 95% confidence", "xray-forest",
)  # fmt: skip

# %% [markdown]
# ### Seeds as clusters
#
# All gains of one seed share their subsets, and the model above does not know it.
# This check gives each seed one mean gain and one slope, and a t interval over seeds; it holds for these test images.
#
# (xray-seeds)=

# %% tags=["hide-input"]
clustered = by_seed(tuned)
report_estimate(results, "seed_gain", clustered.loc["mean"], cell="xray-seeds")
report_estimate(results, "seed_slope", clustered.loc["slope"], cell="xray-seeds")
show_table(clustered.reset_index(names="over seeds"), decimals=4)

# %% [markdown]
# ## Frozen features
#
# A linear probe keeps the encoder as it is and trains the last layer only.
# The comparator is then a frozen random encoder, which nobody would deploy: this comparison tells how much the features hold, not what a practitioner gains.
#
# (xray-probe)=

# %% tags=["hide-input"]
frozen = from_records(probed)
frozen_line = survey_fit(frozen, frozen[["log10_label_ratio"]])
report_estimate(results, "probe_gain", survey_fit(frozen).predict().iloc[0], cell="xray-probe")
figure(
    bubble(frozen, frozen_line, comparator="frozen random encoder", dodge=0.04), "xray-probe-gain-by-label-ratio",
    "Gain in AUC of linear probes against the label ratio on paediatric chest radiographs",
    "Gain in test AUC of a linear probe on pretrained features over a linear probe on random features, "
    "PneumoniaMNIST, each bubble the mean over seeds of one method and label count",
    probed, "Bands: 95% confidence and 95% prediction", "xray-probe",
)  # fmt: skip

# %% [markdown]
# ## Does the way of choosing matter?
#
# Many papers choose the learning rate on a validation set that is larger than the training set.
# The fine-tuning was repeated with choices on the whole validation split, at some label counts, and is flagged: a practitioner with so few labels has no such set.
# Some of these validation images are exact copies of training images, as the audit on {doc}`the page of the images <../data>` shows.
#
# (xray-selection)=

# %% tags=["hide-input"]
choices = {
    "choice_budget": tuned[tuned.n_labelled.isin(flagged.n_labelled)],
    "choice_full_validation": flagged,
}
for key, part in choices.items():
    report_estimate(results, key, survey_fit(from_records(part)).predict().iloc[0], cell="xray-selection")
columns = ["selection", "method", "n_labelled", "seeds", "yi", "vi"]
show_table(pd.concat(map(from_records, choices.values())), columns, decimals=4)

# %% [markdown]
# ## Cost
#
# Minutes are those of the machine that wrote the records, one thread a process, beside other work: read them as ratios.
#
# (xray-cost)=

# %% tags=["hide-input"]
durations = records.drop_duplicates(["method", "seed"]).groupby("method")["pretraining_minutes"].median()
report_durations(results, durations, cell="xray-cost")
show_table(durations.rename("median minutes to pretrain").reset_index(), decimals=1)

# %% [markdown]
# ## The grade
#
# The rule is in `medssl.evidence.grade`; every variance here comes from repeated runs and a paired bootstrap.
#
# (xray-grade)=

# %% tags=["hide-input"]
clusters = int(effects.cluster_id.nunique())
limits = {"confidence": (average.ci_low, average.ci_high), "prediction": (average.pi_low, average.pi_high)}
found = grade(**limits, clusters=clusters, sign_changes=False, strong_weight=1.0)
for key, text in (("grade", found.name), ("grade_reason", found.reason)):
    results.add(key, clusters, text=text, cell="xray-grade")
results.save()
show_table(pd.DataFrame([asdict(found)]))
