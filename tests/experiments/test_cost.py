"""What a grid costs: passes by arithmetic, and speeds that are measured."""

from dataclasses import replace

import pytest

from medssl.experiments import arms, estimate
from medssl.experiments.cost import jobs_of, missing_cells, pretraining_passes, transfer_passes


def test_passes_of_pretraining_are_those_of_the_loop(cells, monkeypatch, tmp_path):
    """Epochs times whole batches: counted in the loop itself."""
    passed, whole = [], arms.pretrain

    def counting(images, *others, **options):
        done = whole(images, *others, **options)
        passed.append(len(done.history) * (len(images) // min(256, len(images))) * min(256, len(images)))
        return done

    monkeypatch.setattr(arms, "pretrain", counting)
    arms.run_pretraining(cells[0], tmp_path)
    assert passed == [pretraining_passes(cells[0])]
    assert pretraining_passes(replace(cells[0], pool=0.5)) == pytest.approx(passed[0] / 2, rel=0.05)


@pytest.mark.parametrize("row", [0, 2])
def test_passes_of_transfer_are_those_of_the_loop(row, cells, monkeypatch, tmp_path):
    """The final training, and below it the choice among rates where the budget is large enough."""
    cell, passed = cells[row], []
    trained = arms.transfer

    def counting(images, labels, *others, **options):
        done = trained(images, labels, *others, **options)
        passed.append(len(done.history) * min(others[-1].batch_size, len(labels)))
        return done

    monkeypatch.setattr(arms, "transfer", counting)
    monkeypatch.setattr("medssl.training.selection.transfer", counting)
    arms.run_arm(cell, "comparator", tmp_path)
    assert len(passed) == (3 if cell.n_labelled >= cell.selection.least_labels else 1)
    assert sum(passed) == transfer_passes(cell, "comparator")


def test_what_is_finished_costs_nothing(finished, cells):
    """Shared encoders and arms are counted once, and those on disk not at all."""
    from_nothing = jobs_of(cells, "nowhere")
    assert [job.kind for job in from_nothing] == ["pretraining"] * 2 + ["transfer"] * 6
    assert jobs_of(cells, finished.work) == []


def test_an_estimate_adds_up(cells):
    """Minutes are passes over speed, shared by the workers; no file is written."""
    alone = estimate(cells, "nowhere", device="cpu")
    assert alone.runs.sum() == 8
    assert set(alone.method) == {"simclr", "masked_autoencoder", ""}
    jobs = jobs_of(cells, "nowhere")
    row = alone[alone.kind == "transfer"].iloc[0]
    passes = sum(job.passes for job in jobs if job.kind == "transfer")
    assert row.minutes == pytest.approx(passes / row.images_per_second / 60)
    assert estimate([], "nowhere").empty


def test_missing_cells_say_what_is_varied(cells):
    """One row a variation, with its label counts and seeds."""
    varied = [replace(cell, comparator="compute_matched", pool=0.25) for cell in cells[:1]]
    table = missing_cells([*cells, *varied, replace(cells[0], pretrain_on="phantom_mri", subset=3)])
    assert table.cells.sum() == len(cells) + 2
    assert table.labels.tolist()[0] == "4 8"
    assert "against compute matched, pool 0.25" in table.variation.tolist()
    assert "pretrained on phantom_mri, another subset" in table.variation.tolist()
