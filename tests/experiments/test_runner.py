"""The runner: one record a cell, nothing twice, and a killed run goes on to the same result."""

import errno
import os
import sys
from dataclasses import replace

import numpy as np
import pytest

from medssl.errors import DataError, RunError, UsageError
from medssl.experiments import arms, find_records, plan, record_path, run_grid


def forbid_training(monkeypatch):
    """From now on the test fails when anything is trained."""
    for name in ("pretrain", "transfer", "choose_learning_rate"):
        monkeypatch.setattr(arms, name, lambda *_, **__: pytest.fail("it trained again"))


def test_there_is_one_record_a_cell(finished):
    """Records come back in the order of the cells and stand in files of their names."""
    assert [record.record_id for record in finished.found] == [cell.record_id for cell in finished.cells]
    names = {path.stem for path in find_records(finished.records)}
    assert names == {cell.record_id for cell in finished.cells}
    assert [path.parent.name for path in find_records(finished.records)] == ["phantom_xray"] * 4


def test_only_what_is_needed_was_trained(finished):
    """Two methods need two encoders; four pairs with shared comparators need six arms; no rest is left."""
    files = sorted(path.relative_to(finished.work) for path in finished.work.rglob("*.*"))
    assert [file.parts[0] for file in files] == ["arms"] * 6 + ["pretraining"] * 2
    assert not [file for file in files if "running" in file.name or file.suffix == ".part"]


def test_a_recorded_grid_is_not_run_again(finished, monkeypatch, without_clock):
    """The same call returns the same records without a single job."""
    monkeypatch.setattr("medssl.experiments.runner._pool", lambda workers: pytest.fail("it started jobs"))
    again = run_grid(finished.cells, finished.records, work=finished.work, progress=False)
    assert again == finished.found
    assert plan(finished.cells, finished.records).missing == []


def test_a_plan_counts_without_running(finished, tmp_path):
    """It says what is recorded, what is missing and how many encoders that needs."""
    more = [*finished.cells, replace(finished.cells[0], seed=9)]
    nothing, partly = plan(finished.cells, tmp_path), plan(more, finished.records)
    assert (len(nothing.recorded), len(nothing.missing), nothing.encoders) == (0, 4, 2)
    assert (len(partly.recorded), len(partly.missing), partly.encoders) == (4, 1, 1)


def test_a_lost_record_is_written_again_from_the_arms(started, monkeypatch, without_clock):
    """Finished arms are kept: only the record is made anew, and it is the same."""
    lost = record_path(started.cells[1], started.records)
    lost.unlink()
    forbid_training(monkeypatch)
    again = run_grid(started.cells, started.records, work=started.work, progress=False)
    assert [without_clock(record) for record in again] == [without_clock(record) for record in started.found]


@pytest.mark.parametrize("after", [1, 3, 5])
def test_a_killed_grid_keeps_what_is_finished_and_goes_on(
    after, cells, finished, tmp_path, monkeypatch, killed, without_clock
):
    """Killed after some arms, the next run trains only the others and ends in the same records."""
    train, trained = arms.run_arm, []

    def dying(cell, arm, work, device=None):
        if len(trained) == after:
            raise killed
        trained.append(train(cell, arm, work, device))
        return trained[-1]

    with monkeypatch.context() as patch:
        patch.setattr(arms, "run_arm", dying)
        with pytest.raises(killed):
            run_grid(cells, tmp_path / "records", work=tmp_path, progress=False)
    kept = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "arms").iterdir()}
    assert len(kept) == after
    assert len(find_records(tmp_path / "records")) < 4
    resumed = run_grid(cells, tmp_path / "records", work=tmp_path, progress=False)
    assert [without_clock(record) for record in resumed] == [without_clock(r) for r in finished.found]
    assert all((tmp_path / "arms" / name).stat().st_mtime_ns == time for name, time in kept.items())


def test_a_grid_killed_while_pretraining_goes_on_from_the_epoch(
    cells, finished, tmp_path, monkeypatch, killed, without_clock
):
    """The second epoch goes on from the checkpoint of the first, and the record is the same."""
    module, saved = sys.modules["medssl.training.pretrain"], []
    save = module.save_checkpoint

    def save_and_die(path, state):
        save(path, state)
        saved.append(state["epoch"])
        if saved == [1]:
            raise killed

    monkeypatch.setattr(module, "save_checkpoint", save_and_die)
    with pytest.raises(killed):
        run_grid(cells[:1], tmp_path / "records", work=tmp_path, progress=False)
    assert [path.name.endswith(".running.pt") for path in (tmp_path / "pretraining").iterdir()] == [True]
    resumed = run_grid(cells[:1], tmp_path / "records", work=tmp_path, progress=False)
    assert saved == [1, 2]
    assert without_clock(resumed[0]) == without_clock(finished.found[0])
    assert [path.name.endswith(".running.pt") for path in (tmp_path / "pretraining").iterdir()] == [False]


def test_two_processes_give_what_one_gives(cells, finished, tmp_path, without_clock):
    """The number of workers changes the time and nothing else."""
    found = run_grid(cells[:2], tmp_path / "records", work=tmp_path, workers=2, device="cpu", progress=False)
    assert [without_clock(record) for record in found] == [without_clock(r) for r in finished.found[:2]]


def test_the_test_images_are_scored_once_an_arm(cells, tmp_path, monkeypatch):
    """Each arm predicts the test images once, at its end; the choice of a rate never sees them."""
    from medssl.training import Transferred

    test, predict, scored = arms.load_split(cells[0], "test").images, Transferred.predict, []

    def spy(self, images, *rest):
        scored.append(np.array_equal(images, test))
        assert scored[-1] or not (test[:, None] == images).all((2, 3)).any()
        return predict(self, images, *rest)

    monkeypatch.setattr(Transferred, "predict", spy)
    run_grid(cells, tmp_path / "records", work=tmp_path, progress=False)
    assert sum(scored) == 6
    assert len(scored) == 6 + 3 * 2  # three arms of eight labels choose between two rates


@pytest.mark.parametrize("workers", [0, -1])
def test_at_least_one_worker_is_needed(workers, cells, tmp_path):
    """Fewer than one worker is a wrong request, before anything is made."""
    with pytest.raises(UsageError, match=f"workers must be at least 1, got {workers}"):
        run_grid(cells, tmp_path / "records", work=tmp_path, workers=workers)
    assert list(tmp_path.iterdir()) == []


def test_a_file_in_place_of_the_records_is_an_error(started):
    """Records cannot be written below a file: one error names it, and the arms are kept."""
    place = started.work.parent / "occupied"
    place.write_text("a file")
    with pytest.raises(RunError, match=r"occupied/.*cannot write here .*name a folder"):
        run_grid(started.cells[:1], place, work=started.work, progress=False)
    assert place.read_text() == "a file"
    assert len(list((started.work / "arms").iterdir())) == 6


def test_a_file_in_place_of_the_work_folder_is_an_error(cells, tmp_path):
    """Encoders cannot be written below a file, and no record is made."""
    (tmp_path / "work").write_text("a file")
    with pytest.raises(RunError, match=r"work/.*cannot write here"):
        run_grid(cells[:1], tmp_path / "records", work=tmp_path / "work", progress=False)
    assert not list((tmp_path / "records").rglob("*.json"))


def test_a_full_disk_leaves_nothing_half_written(started, monkeypatch, without_clock):
    """Without space for a record the run ends with one error; with space again it goes on from the arms."""
    lost = record_path(started.cells[2], started.records)
    lost.unlink()

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(RunError, match=r"No space left on device.*Free some space"):
            run_grid(started.cells, started.records, work=started.work, progress=False)
    assert len(list(lost.parent.iterdir())) == 3
    forbid_training(monkeypatch)
    run_grid(started.cells, started.records, work=started.work, progress=False)
    assert lost.exists()


def test_damaged_predictions_are_an_error_that_names_the_file(started):
    """The remedy, to remove the file, is in the text."""
    record_path(started.cells[0], started.records).unlink()
    arm = arms.arm_path(started.cells[0], "ssl", started.work)
    for content in (b"", b"PK", b"not predictions at all"):
        arm.write_bytes(content)
        with pytest.raises(DataError, match=rf"{arm.name}: damaged predictions .*Remove the file"):
            run_grid(started.cells, started.records, work=started.work, progress=False)


def test_an_error_in_a_job_stops_the_grid(cells, tmp_path, monkeypatch):
    """The error of a job reaches the caller as it is, and jobs that have not begun are not begun."""
    begun = []

    def failing(cell, work, device=None):
        begun.append(cell)
        raise RunError("diverged")

    monkeypatch.setattr(arms, "run_pretraining", failing)
    with pytest.raises(RunError, match="diverged"):
        run_grid(cells, tmp_path / "records", work=tmp_path, progress=False)
    assert len(begun) <= 2
    assert find_records(tmp_path / "records") == []
