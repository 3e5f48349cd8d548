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
# # MRI volumes: segmentation
#
# Does pretraining on volumes without masks improve the segmentation of a small structure, and how does the gain change with the label ratio?
# The volumes are crops of T1-weighted MRI around the hippocampus, with its anterior and posterior part as masks {cite:p}`antonelli2022decathlon`; their card is on {doc}`the page of the images <data>`.
# The design is {ref}`an addition to the protocol <protocol-volumes>` that is older than the records.
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **Over all label counts and methods, pretraining showed {result}`volumes:gain_verdict` against random initialisation**: {result}`volumes:gain` in Dice, {result}`volumes:gain_importance` the minimal important gain of {result}`volumes:minimal_gain`. {ref}`More <volumes-model>`
# - **With more labelled volumes the gain {result}`volumes:slope_verdict`**: {result}`volumes:slope` in Dice for each tenfold label ratio; with the fewest labels the model shows {result}`volumes:gain_fewest`, with all of them {result}`volumes:gain_all`. {ref}`More <volumes-gain>`
# - **Labels were hardly the limit here**: from {result}`volumes:plateau` labelled volumes on, the network without pretraining is within the minimal important gain of its best Dice, {result}`volumes:best_dice`, because the schedule is short. {ref}`More <volumes-curves>`
# - **Surfaces**: mean surface distance {result}`volumes:surface_distance` and Hausdorff distance {result}`volumes:hausdorff_95`, in millimetres; below zero the pretrained arm is nearer. {ref}`More <volumes-surfaces>`
# - **Grade of these runs alone: {result}`volumes:grade`**, because {result}`volumes:grade_reason`. {ref}`More <volumes-grade>`
# ```

# %% tags=["parameters", "hide-input"]
profile: str = "quick"
seeds: list[int] = [1, 2, 3, 4, 5]
workers: int = 1

# %% tags=["hide-input"]
from medssl.book import Results, workspace
from medssl.book import volume_page as study_of
from medssl.book.volume_page import VolumeStudy
from medssl.experiments import run_grid
from medssl.experiments.volume_study import volume_grid

declared_data = ["records/hippocampus/*.json", "$MEDSSL_DATA/msd_hippocampus/*.npz"]
place, results = workspace(), Results()
study = VolumeStudy(place, results)

# %% [markdown]
# ## The comparison
#
# The encoder is pretrained on random boxes of all {result}`volumes:unlabelled` training volumes without their masks.
# Both arms, the pretrained encoder and the same encoder with the random weights that pretraining started from, then get the same light decoder, the same labelled volumes, boxes and number of steps; the learning rate is the same and nothing is chosen.
# The {result}`volumes:test_volumes` test volumes are segmented once.
# The Dice coefficient of a structure with truth $A$ and prediction $B$ is $2 |A \cap B| / (|A| + |B|)$; the score of a volume is its mean over both parts, and the gain of a seed the mean paired difference over volumes.
#
# In the `full` profile the next cell runs every cell that is not recorded yet; in the others it reads the records.
# Of {result}`volumes:listed_cells` cells that the protocol lists, {result}`volumes:recorded_cells` are recorded, with {result}`volumes:seeds` seeds; the methods are {result}`volumes:method_names`.
# Of {result}`volumes:comparisons` paired comparisons, {result}`volumes:positive` had a gain above zero, and of {result}`volumes:all_effects` mean effects {result}`volumes:negative_effects` lie below zero.
#
# (volumes-records)=

# %% tags=["hide-input"]
if profile == "full":
    run_grid(volume_grid(tuple(seeds)), place.records, work=place.root / "_runs", workers=workers)
study_of.runs(study)

# %% [markdown]
# ## Learning curves
#
# (volumes-curves)=

# %% tags=["hide-input"]
study_of.curves(study)

# %% [markdown]
# ## The gain against the label ratio
#
# The model is that of the other data sets: a random-effects regression of the mean gain over seeds on $\log_{10}$ of the label ratio.
#
# (volumes-gain)=

# %% tags=["hide-input"]
study_of.gain_by_ratio(study)

# %% [markdown]
# (volumes-model)=

# %% tags=["hide-input"]
study_of.pooled(study)

# %% [markdown]
# ## Distances of surfaces
#
# Dice says how much of a structure is found, distances say how far its border is off.
# A structure that was missed counts with the diagonal of the volume.
# Each seed's mean over all its cells is one value, and the interval is that of Student's $t$ over seeds, for these test volumes.
#
# (volumes-surfaces)=

# %% tags=["hide-input"]
study_of.surfaces(study)

# %% [markdown]
# ## The grade
#
# (volumes-grade)=

# %% tags=["hide-input"]
table = study_of.graded(study)
results.save()
table

# %% [markdown]
# ## Where this does not hold
#
# - One structure, one data set, crops in which the structure lies near the middle, one small network.
# - The schedule is short, so that two processor cores can bear it, and both arms stop rising after a few volumes: with every volume the comparator reaches {result}`volumes:all_dice`. The label ratio that matters here lies below {result}`volumes:plateau` volumes, and with a longer schedule the gain may be another one.
# - The intervals of the model treat methods and label counts as independent although they share seeds and test volumes.
# - What others report for larger networks and longer schedules is in {doc}`the pooled picture <synthesis>`, by Dice.
