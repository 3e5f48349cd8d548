"""What a study notebook runs: a live comparison on generated images, and cells that are not recorded."""

import pandas as pd
from IPython.display import Markdown

from medssl.book.modality_study import ModalityStudy
from medssl.book.reporting import report_estimate
from medssl.book.study import study_figure
from medssl.book.wording import show_table
from medssl.evidence import by_seed
from medssl.experiments import ensure_plain_probe, run_grid, to_table
from medssl.experiments.grids import phantom_grid
from medssl.experiments.study import phase
from medssl.figures import arm_scores, learning_curve
from medssl.files import read_json

__all__ = ["comparator", "complete", "live", "seeds_as_clusters"]


def live(study: ModalityStudy, profile: str, methods: tuple[str, ...], sizes: tuple, workers: int):
    """Pretrain and transfer on generated images in the quick profile, and draw the learning curves.

    Parameters
    ----------
    study : ModalityStudy
    profile : str
        Only "quick" runs anything.
    methods : tuple of str
    sizes : tuple
        Label counts, seeds, images, epochs and difficulty, as `phantom_grid` takes them.
    workers : int
    """
    if profile != "quick":
        return Markdown(f"There is no live run in the {profile} profile.")
    cells = phantom_grid(study.modality, methods, *sizes)
    folder = study.place.folder
    table = to_table(run_grid(cells, folder / "live", work=folder / "runs", workers=workers))
    return study_figure(
        study.place, learning_curve(arm_scores(table), summary="median"),
        f"{study.modality}-phantom-learning-curve", f"Learning curves on generated images ({study.modality})",
        "Test AUC on generated images of both arms against the number of labels; not evidence about patients",
        table, "Bars: range over seeds", study.label("live"),
    )  # fmt: skip


def complete(study: ModalityStudy, phases, seeds: tuple, methods: tuple, workers: int) -> None:
    """Run the cells of some phases that are not recorded, and the plain probe."""
    cells = [cell for name in phases for cell in phase(name, study.dataset, seeds, methods)]
    run_grid(cells, study.place.records, work=study.place.root / "_runs", workers=workers)
    ensure_plain_probe(study.dataset, study.place.root / "baselines")


def comparator(study: ModalityStudy):
    """Report the comparator with all labels beside a plain probe and a published larger network."""
    results, cell = study.results, study.label("comparator")
    baselines = study.place.root / "baselines"
    plain = ensure_plain_probe(study.dataset, baselines)["scores"]["auc"]
    main = study.main[study.main.n_labelled == study.main.n_labelled.max()]
    whole = main.drop_duplicates("seed")[["seed", "n_labelled", "comparator"]]
    words = "beats" if whole.comparator.min() > plain else "does not always beat"
    results.add(
        "comparator_auc", float(whole.comparator.mean()), text=f"{whole.comparator.mean():.3f}", cell=cell
    )
    several = len(whole) > 1
    spread = float(whole.comparator.std()) if several else None
    results.add("comparator_sd", spread, text=f"{spread:.3f}" if several else "unknown, one seed", cell=cell)
    results.add("plain_auc", plain, cell=cell)
    results.add("comparator_is_sound", int(words == "beats"), text=words, cell=cell)
    _published(study, baselines / "published.json", float(whole.comparator.mean()))
    return show_table(whole.assign(plain_probe=plain))


def _published(study, path, ours):
    """Report what others print for a larger network on the same images, and how far ours is from it."""
    known = read_json(path)["resnet18_28_pixels"].get(study.dataset)
    cell = study.label("comparator")
    if known is None:
        text = "no published score of a network on this split was found"
        study.results.add("published_auc", None, text=text, cell=cell)
        return
    side = "above" if ours >= known["auc"] else "below"
    distance = f"ours is {abs(ours - known['auc']):.3f} {side}"
    text = f"{known['auc']:.3f} ({known['source']}; {known['seen']}); {distance}"
    study.results.add("published_auc", known["auc"], text=text, cell=cell)


def seeds_as_clusters(study: ModalityStudy):
    """Report mean gain and slope with each seed as one value, over the seeds that have every cell."""
    rows = study.main[study.main.subset.isna()]
    cells = rows.groupby("seed").size()
    rows = rows[rows.seed.isin(cells.index[cells == cells.max()])]
    if rows.seed.nunique() < 2:
        for key in ("seed_gain", "seed_gain_verdict", "seed_slope"):
            study.results.add(key, None, text="not known from one seed", cell=study.label("seeds"))
        return Markdown("Only one seed has every cell, which says nothing about seeds.")
    clustered = by_seed(rows)
    for key in ("mean", "slope"):
        name = "seed_gain" if key == "mean" else "seed_slope"
        report_estimate(study.results, name, clustered.loc[key], cell=study.label("seeds"))
    return show_table(pd.DataFrame(clustered).reset_index(names="over seeds"), decimals=4)
