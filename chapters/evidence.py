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
# # Evidence
#
# What has been published on self-supervised pretraining against supervised training, how it was found, and how far it can be trusted.
# Every comparison can be searched, filtered and saved [at the end of this page](evidence-all).
#
# ```{admonition} Key takeaways
# :class: tip
#
# - **{result}`evidence:all_effects` comparisons from {result}`evidence:all_studies` studies were collected, but they are only {result}`evidence:all_clusters` independent clusters**, because studies share images, comparator runs and authors' runs. {ref}`More <evidence-flow>`
# - **Losses are kept**: in {result}`evidence:losses` of {result}`evidence:kept_effects` comparisons ({result}`evidence:loss_share`) the pretrained network scored below its comparator. {ref}`More <evidence-counts>`
# - **{result}`evidence:primary_share` of the comparisons enter the primary analysis**; the others compare unlike arms, have no medical images to pretrain on, or were read at second hand, and each has its reason. {ref}`More <evidence-flow>`
# - **The evidence is uneven**: {result}`evidence:map_empty` of {result}`evidence:map_cells` combinations of modality, task and family of methods are empty and {result}`evidence:map_single` rest on one cluster; in the primary analysis one cluster holds {result}`evidence:largest_cluster_share` of the comparisons, and the modality with fewest clusters is {result}`evidence:fewest_clusters`. {ref}`More <evidence-map-section>`
# - **Uncertainty is mostly not printed where it is needed**: {result}`evidence:paired_effects` of {result}`evidence:primary_effects` gains come with an interval of their own, and {result}`evidence:no_dispersion_share` of the scores with no dispersion at all. {ref}`More <evidence-variances>`
# - **The numbers were copied soundly**: a blind second reading agreed in {result}`evidence:values_agreed` of {result}`evidence:values_read_again` scores; what was selected and how it was coded is less certain. {ref}`More <evidence-trust>`
# - **A low risk of bias in every domain was found in {result}`evidence:bias_low` of {result}`evidence:judged` studies**, and a high one overall in {result}`evidence:bias_high`. {ref}`More <evidence-bias>`
# ```
#
# ## Parameters
#
# The page reads the tables that come with the code, so it has no parameters.

# %% tags=["parameters", "hide-input"]
profile: str = "quick"

# %% tags=["hide-input"]
from functools import partial

from medssl.book import Results, evidence_checks, evidence_page, workspace
from medssl.book import evidence_results as report
from medssl.book.filter_table import filter_table
from medssl.book.wording import show_table
from medssl.evidence import dispersion_coverage, flow, ladder_coverage, published, risk_of_bias, suspicious
from medssl.evidence.risk_of_bias import DOMAINS
from medssl.figures import save_figure
from medssl.figures.evidence_map import evidence_map
from medssl.figures.flow_diagram import flow_diagram
from medssl.figures.traffic_light import traffic_light, traffic_light_summary

declared_data = ["medssl/evidence/notes/*.md"]
place, results = workspace(), Results()
tables = place.root / "medssl" / "evidence"
figure = partial(save_figure, folder=place.figures, seeds=[], chapter=place.chapter)

# %% [markdown]
# ## How the evidence was searched
#
# A comparison is one pretrained network against one network that was trained on the same labels and pretrained with supervision or not at all.
# The comparisons were collected by hand in November {fact}`2026`.
#
# - *Candidates.* A list of {result}`evidence:candidates` studies was drawn up first: {result}`evidence:candidates_seen` of them were seen in some form, and {result}`evidence:candidates_recalled` were named from memory.
# - *Sources.* What was read were stored copies of public pages and public repositories: papers in repositories of proceedings, README files, figures and tables as images, outputs of notebooks, and results case by case that authors have released.
# - *Out of reach.* Of most journal pages only the opening could be read, so that their tables are missing; studies with open proceedings or open code are over-represented for that reason alone.
# - *Reading.* A value is printed, digitised from a figure ({result}`evidence:digitised` comparisons), read in notes that reproduce a paper's tables ({result}`evidence:second_hand`), or computed from released outputs; each row says which, with table and page.
#
# No bibliographic database was searched by a registered query, the records that were screened were not counted, and no inclusion was decided twice.
# So this is no systematic review, and the diagram below borrows the form of {cite:t}`page2021prisma` without claiming more.
#
# Much was sought and not found.
# Some studies print a gain without the two scores ({result}`evidence:gain_only` such gains are kept apart), or gave the arms different numbers of labels ({result}`evidence:unmatched` rows, never pooled).
# In others no supervised arm was visible, the repository held code without results, the figure with the results was stored elsewhere, or the pretraining turned out to be supervised.
# The reading notes `ct_mri_notes.md`, `xray_us_notes.md`, `more_notes.md` and `second_reading.md`, in the folder `medssl/evidence/notes` of the repository, name what was looked for and how each source was read.
#
# (evidence-flow)=
# ## From candidates to the analysis

# %% tags=["hide-input"]
rows, steps = evidence_page.comparisons(), flow()
report.report_flow(results, steps, cell="evidence-flow")
figure(
    flow_diagram(steps), "evidence-flow-diagram", title="Flow of studies and effects into the analysis",
    caption="From candidate studies to the primary analysis, in the form of the PRISMA 2020 flow diagram; "
    "clusters are sets of studies that share images or runs, and one study may leave in several places",
    records=[tables / "studies.csv", tables / "published_effects.csv"], interval="There are no intervals",
    cell="evidence-flow",
)  # fmt: skip

# %% [markdown]
# One line of the list may describe two sets of comparisons, so candidates and studies do not add up exactly.
# {result}`evidence:found_later` studies were met while others were being read.
#
# (evidence-counts)=

# %% tags=["hide-input"]
report.report_comparisons(results, rows, cell="evidence-counts")
show_table(evidence_page.outcome_table(rows))

# %% [markdown]
# Of the {result}`evidence:primary_effects` comparisons of the primary analysis, {result}`evidence:random_comparators` are against random weights and {result}`evidence:imagenet_comparators` against supervised ImageNet weights, and {result}`evidence:primary_losses` are losses.
# The label ratio is known for {result}`evidence:primary_ratio` of them.
#
# (evidence-map-section)=
# ## Where there is evidence, and where there is none
#
# A grey cell has no comparison.
# The number in front counts clusters, because several comparisons of one cluster are not independent; the number in brackets counts comparisons.
# A cluster may stand in several cells.
#
# (evidence-map-tasks)=

# %% tags=["hide-input"]
table = evidence_page.map_table(rows)
drawing = evidence_map(table, "family", groups="task_type", names=evidence_page.NAMES)
report.report_gaps(results, drawing.data, cell="evidence-map-tasks")
mapped = {"records": [tables / "published_effects.csv"], "interval": "There are no intervals"}
figure(
    drawing, "evidence-map-tasks", title="Evidence map by modality, task and family of methods",
    caption="Clusters, and in brackets comparisons, by modality, task and family of methods; all pools but the excluded rows",
    cell="evidence-map-tasks", **mapped,
)  # fmt: skip

# %% [markdown]
# The second map asks what the pretraining was compared with, how many labels there were, and whether outsiders can get the images of the task.
# Labels are counted against all labels of the data set, and against the images of the pretraining; the latter, the label ratio, is unknown where a count is missing and undefined for pretraining on natural images.
#
# (evidence-map-designs)=

# %% tags=["hide-input"]
figure(
    evidence_map(table, ["comparator", "share", "ratio", "access"], names=evidence_page.NAMES),
    "evidence-map-designs", title="Evidence map by comparator, labels and access",
    caption="Clusters, and in brackets comparisons, by modality and by comparator, share of the labels, label ratio and access "
    "to the images; all pools but the excluded rows",
    cell="evidence-map-designs", **mapped,
)  # fmt: skip

# %% [markdown]
# ## How uncertain is a published gain?
#
# A meta-analysis needs the sampling variance of each gain, and the best source of it is an interval of the gain itself on the same test cases.
# Papers print other things, and deviations over runs, folds, resamples and patients mean different things.
# Each printed text was read by a fixed grammar, which left {result}`evidence:not_understood` of those in the primary analysis unread; what varies is not stated for {result}`evidence:unknown_meaning` of them.
#
# (evidence-variances)=

# %% tags=["hide-input"]
primary = published("primary", supervision="self")
report.report_variances(
    results, dispersion_coverage(primary), ladder_coverage(primary), cell="evidence-variances"
)
show_table(evidence_page.dispersion_table(primary))

# %% [markdown]
# Both arms are counted; *none* means that no dispersion is printed.
# From this, the variance of each gain is taken from the first of these that the source allows:

# %% tags=["hide-input"]
show_table(evidence_page.rung_table(primary))

# %% [markdown]
# {result}`evidence:runs_share` of the variances come from deviations over runs or folds, {result}`evidence:computed_share` were computed from the score and the number of test cases, and for {result}`evidence:imputed_share` nothing was known, so that the median of comparable rows stands in.
# Deviations over runs leave out the variation between test cases, and errors over test cases leave out that between runs of the training.
#
# ## How far to trust the numbers
#
# {result}`evidence:read_again` comparisons, drawn at random by modality with at most five a study, were read again at the source without sight of the first values.
# The exact binomial intervals are those of a random sample, although a study gave several rows.
#
# (evidence-trust)=

# %% tags=["hide-input"]
agreement = evidence_page.read_agreement(tables / "notes" / "second_reading.md")
report.report_agreement(results, agreement, cell="evidence-trust")
show_table(evidence_page.agreement_table(agreement))

# %% [markdown]
# Scores were copied right in all but at most a few percent of cases: the lower limit of agreement is {result}`evidence:value_agreement_low` for each arm.
# Coding is weaker: the least agreement on metric or comparator was {result}`evidence:coding_agreed`, with an interval of {result}`evidence:coding_low`.
# Three tables were also extracted twice independently: {fact}`140 of 140` and {fact}`30 of 30` pairs agreed in two parts of one, {fact}`48 of 48` in another and {fact}`25 of 26` in the third.
# What was found wrong has been corrected, and {result}`evidence:corrections` later corrections in {result}`evidence:corrected` rows are listed with their reasons in `medssl/evidence/corrections.csv`.
#
# No such check sees what was left out.
# The second reading found tables of which only some columns had been taken, comparators that were printed and not entered, and the same run entered from two papers.
# Most of this was repaired; of one table (`kwon2022_sslmri`) further columns are still missing, with a mean gain of about {fact}`−0.010`, and other gaps may remain.
# Authors, years and titles were partly filled in without the paper at hand: check them before you cite.
#
# ## Risk of bias
#
# {result}`evidence:judged` studies were judged in seven domains by rules on the columns of the table, and {result}`evidence:judged_by_hand` judgements that only the reading notes allow were made by hand.
# A rule asks what a table can tell; no expert read every paper for this.
#
# (evidence-bias)=

# %% tags=["hide-input"]
judged = risk_of_bias()
report.report_bias(results, judged, cell="evidence-bias")
show_table(evidence_checks.domain_table())

# %% [markdown]
# Overall a study is at high risk where test images were seen, a choice was made on them, or two other domains are high; it raises some concerns where any domain does or a single other domain is high, and else is unclear where any domain is.
#
# (evidence-bias-summary)=

# %% tags=["hide-input"]
biased = {
    "records": [tables / "published_effects.csv", tables / "risk_of_bias_manual.csv"],
    "interval": "There are no intervals",
}
figure(
    traffic_light_summary(judged, DOMAINS), "evidence-bias-summary", title="Risk of bias by domain",
    caption="Share of studies by judgement in each domain, by the stated rules; numbers count studies",
    cell="evidence-bias-summary", **biased,
)  # fmt: skip

# %% [markdown]
# In {result}`evidence:seen_doubtful` studies the images of the pretraining may include test images, and in {result}`evidence:seen_unclear` more this cannot be told.
# For {result}`evidence:choice_unclear` the source does not say on which cases an epoch or a result was chosen.
# In {result}`evidence:sponsored` the authors evaluate a method of their own.
#
# (evidence-bias-studies)=

# %% tags=["hide-input"]
figure(
    traffic_light(judged, DOMAINS), "evidence-bias-studies", title="Risk of bias of each study",
    caption="Judgement of each study in each domain, by the stated rules, the worst overall first; a study is named as in the "
    "table of all comparisons",
    cell="evidence-bias-studies", **biased,
)  # fmt: skip

# %% [markdown]
# ## Rows that deserve a second look
#
# These checks break no rule of the table, and a finding is no error: several studies reprint a comparator of an earlier paper, and a small label count makes large gains possible.
# There are {result}`evidence:findings` findings in {result}`evidence:suspicious_rows` comparisons, {result}`evidence:suspicious_primary` of them in the primary pool.
# {result}`evidence:near_chance` comparators score near chance, and a gain over a network that failed to train is no gain of pretraining.
#
# (evidence-suspicious)=

# %% tags=["hide-input"]
found = suspicious()
report.report_suspicious(results, found, cell="evidence-suspicious")
show_table(evidence_checks.check_table(found))

# %% tags=["hide-input", "full-width"]
filter_table(evidence_checks.suspicious_table(found), "suspicious-rows", "Findings", choose=["Check", "Pool"])

# %% [markdown]
# ## Studies
#
# Each study with its comparisons, its cluster and the reasons behind its risk of bias.
#
# (evidence-studies)=

# %% tags=["hide-input", "full-width"]
filter_table(
    evidence_page.study_table(rows, judged), "study-list", "Studies with comparisons", choose=["Risk of bias"]
)

# %% [markdown]
# ### Candidates without a comparison
#
# Nothing that could be entered was found for these; the diagram above counts the reasons.

# %% tags=["hide-input", "full-width"]
filter_table(
    evidence_page.candidate_table(),
    "candidate-list",
    "Candidate studies without comparisons",
    choose=["Modality", "Details"],
)

# %% [markdown]
# (evidence-all)=
# ## All comparisons
#
# Every row of the table is here, the excluded ones too; *Pool* says which analysis a row enters.
# The label ratio is the number of labels over the number of images of the pretraining, and *Share of labels* the number of labels over all labels of the data set.
# *Pretrained* and *Compared* are the scores of the two arms, the standard error belongs to their difference, and *Error from* says where it comes from.
# A heading sorts; the button saves the rows and columns that are shown.
#
# (evidence-table)=

# %% tags=["hide-input", "full-width"]
results.save()
filter_table(
    evidence_page.comparison_table(rows), "comparisons", "All published comparisons",
    choose=["Modality", "Comparator", "Family", "Task type", "Metric", "Pool", "Read as"],
    ranges=["Label ratio", "Share of labels", "Gain"],
    formats={"Gain": "+.4f", "Standard error": ".4f", "Label ratio": ".3g", "Share of labels": ".3g"},
)  # fmt: skip

# %% [markdown]
# The whole table, with sources, tables and pages of each value, is `medssl/evidence/published_effects.csv`; `medssl evidence export` writes it for other programs.
