"""The command line: runnable examples, exit codes 0, 1 and 2, and one line for each deliberate error."""

import re
import shlex
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
import typer

from medssl.cli import app, main
from medssl.data import available
from medssl.errors import MedsslError
from medssl.experiments import GRIDS, find_records, grids
from medssl.training import load_checkpoint


@pytest.fixture
def medssl(monkeypatch, capsys):
    """Return a function that runs the command line and returns exit code, stdout and stderr."""

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["medssl", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            main()
        printed = capsys.readouterr()
        return ended.value.code or 0, printed.out, printed.err

    return run


@pytest.fixture
def images(tmp_path, blobs) -> str:
    """The name of a data set of one's own: an npz file with easy images of 16 x 16 pixels."""
    arrays = {"modality": np.array("xray"), "classes": np.array(["dark", "bright"])}
    for seed, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"], arrays[f"{split}_labels"] = blobs(24, seed=seed)
    np.savez(tmp_path / "images.npz", **arrays)
    return f"folder:{tmp_path / 'images.npz'}"


@pytest.fixture
def tiny(monkeypatch):
    """A grid of one cell that takes a moment."""
    cell = grids.phantom_grid(images=60, epochs=1, label_counts=(8,), seeds=(1,), methods=("simclr",))[0]
    short = replace(cell.transfer, least_steps=2, most_steps=2)
    cells = [replace(cell, transfer=short, dataset_options=(*cell.dataset_options, ("size", 16)))]
    monkeypatch.setitem(GRIDS, "tiny", lambda: cells)
    return cells


def commands(command=None, path=("medssl",)):
    """Every command below the root, with the words that call it."""
    command = command or typer.main.get_command(app)
    if not hasattr(command, "commands"):
        return [(path, command)]
    return [found for name, sub in command.commands.items() for found in commands(sub, (*path, name))]


COMMANDS = {" ".join(path): command for path, command in commands()}


def one_line(text):
    """The single line of a deliberate error."""
    assert "Traceback" not in text
    assert text.count("\n") == 1, text
    assert text.startswith("medssl: ")
    return text


def test_the_commands_are_those_that_the_readme_names():
    """Nothing is missing from the list below."""
    expected = {"pretrain", "transfer", "run", "meta", "cite", "book", "doctor"}
    assert expected <= {name.split()[1] for name in COMMANDS}
    assert {"medssl data list", "medssl data fetch", "medssl data card", "medssl data audit"} <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_an_example_with_options_that_exist(name, medssl):
    """Help ends in one command line that begins with the command and uses only its own options."""
    code, text, _ = medssl(*name.split()[1:], "--help")
    example = re.search(rf"Example:\s+({name}\b[^│╭]*)", text)
    assert code == 0
    assert example, text
    known = {option for parameter in COMMANDS[name].params for option in parameter.opts}
    assert {word for word in shlex.split(example[1]) if word.startswith("-")} <= known


def test_help_lists_the_commands(medssl):
    """Without a word the program explains itself."""
    code, text, _ = medssl("--help")
    assert code == 0
    assert all(name.split()[1] in text for name in COMMANDS)


def test_the_module_is_the_command_line():
    """`python -m medssl` runs in a process of its own: an unknown name is one line and exit code 2."""
    ran = subprocess.run(
        [sys.executable, "-m", "medssl", "data", "card", "phantom_xrays"],
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 2
    assert "did you mean 'phantom_xray'" in one_line(ran.stderr)
    assert ran.stdout == ""


def test_doctor_says_what_is_here_and_what_to_do(medssl, monkeypatch, tmp_path):
    """Versions, device, threads, the data found and the next command are printed."""
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path))
    code, text, _ = medssl("doctor")
    assert code == 0
    for word in (
        torch.__version__.split("+")[0],
        "threads that torch uses",
        "none: the quick profile",
        "free disk",
    ):
        assert word in text
    assert text.count("not found") == len([name for name in available() if not name.startswith("phantom_")])
    assert "medssl data fetch pneumoniamnist" in text
    assert "make book" in text


def test_doctor_finds_images(medssl, monkeypatch, tmp_path):
    """A file below MEDSSL_DATA is shown, and the advice to fetch names another one."""
    (tmp_path / "pneumoniamnist.npz").write_bytes(b"")
    monkeypatch.setenv("MEDSSL_DATA", str(tmp_path))
    text = medssl("doctor")[1]
    assert "pneumoniamnist.npz" in text.replace("\n", "")
    assert "medssl data fetch organamnist" in text


def test_sources_are_listed(medssl):
    """Each source is one row."""
    code, text, _ = medssl("data", "list")
    assert code == 0
    assert all(name in text for name in available())


@pytest.mark.parametrize("method", ["simclr", "masked_autoencoder"])
def test_an_encoder_travels_from_pretraining_to_transfer(method, images, medssl, tmp_path):
    """The file that one command writes is the one that the other reads, with its standardisation."""
    encoder = tmp_path / "encoder.pt"
    options = ("--method", method, "--epochs", 2, "--batch-size", 8, "--seed", 3, "--device", "cpu")
    code, text, _ = medssl("pretrain", images, "--output", encoder, *options)
    assert code == 0
    assert re.fullmatch(rf"{encoder}: loss \d+\.\d{{3}}, feature deviation \d\.\d\d\.\n", text)
    about = load_checkpoint(encoder)["about"]
    assert (about["encoder"], about["modality"], len(about["history"])) == ("small_cnn", "xray", 2)
    assert {path.name for path in tmp_path.iterdir()} == {"encoder.pt", "images.npz"}
    words = ("--encoder", encoder, "--labels", 8, "--adaptation", "linear_probe", "--learning-rate", 0.01)
    code, text, _ = medssl("transfer", images, *words)
    assert code == 0
    assert re.search(r"8 labels, 24 test images: auc \d\.\d{3}, balanced_accuracy \d\.\d{3}\.", text)


def test_transfer_from_random_weights_learns_all_labels(images, medssl):
    """Without an encoder and a budget it trains from random weights on every label."""
    code, text, _ = medssl("transfer", images)
    assert code == 0
    found = re.search(r"24 labels, 24 test images: auc (\d\.\d{3})", text)
    assert float(found[1]) > 0.9


def test_a_grid_runs_once(tiny, medssl, tmp_path):
    """A dry run only counts; a run writes the records; the next one finds them."""
    places = ("--records", tmp_path / "records", "--work", tmp_path / "work")
    code, text, _ = medssl("run", "tiny", *places, "--dry-run")
    assert code == 0
    assert "tiny: 1 cells, 0 recorded" in text
    assert "1 missing, which need 1 encoders" in text
    assert re.search(r"phantom_xray\s+│ pretraining │ simclr\s+│ 1 ", text)
    assert re.search(r"About \d+ minutes with 1 worker", text)
    assert list(tmp_path.iterdir()) == []
    code, text, _ = medssl("run", "tiny", *places, "--device", "cpu")
    assert code == 0
    assert "1 records in" in text
    assert len(find_records(tmp_path / "records")) == 1
    assert "1 recorded" in medssl("run", "tiny", *places, "--dry-run")[1]


@pytest.mark.parametrize("name", GRIDS)
def test_a_dry_run_of_each_grid_counts_its_cells(name, medssl, tmp_path):
    """The whole protocol can be counted in a moment, and nothing is written."""
    places = ("--records", tmp_path / "records", "--work", tmp_path / "work")
    code, text, _ = medssl("run", name, *places, "--dry-run", "--no-cost")
    cells = GRIDS[name]()
    assert code == 0
    assert f"{name}: {len(cells)} cells, 0 recorded" in text
    assert f"{len(cells)} missing" in text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("pretrain", "phantom_xrays"), "did you mean 'phantom_xray'"),
        (("pretrain", "IMAGES", "--method", "guess"), "unknown method 'guess': choose one of simclr"),
        (("pretrain", "IMAGES", "--encoder", "vit"), "unknown encoder 'vit': choose one of small_cnn"),
        (("pretrain", "IMAGES", "--epochs", "0"), "epochs must be at least 1, got 0"),
        (("pretrain", "IMAGES", "--learning-rate", "-1"), "learning_rate must be above 0"),
        (("pretrain", "IMAGES", "--device", "cuda"), "torch finds no GPU"),
        (("pretrain", "folder:absent"), "absent: neither a folder nor an npz file"),
        (("transfer", "IMAGES", "--adaptation", "prompt"), "unknown adaptation 'prompt'"),
        (("transfer", "IMAGES", "--labels", "1"), "n labels must lie in 2..24 for this training set, got 1"),
        (
            ("transfer", "IMAGES", "--labels", "25"),
            "n labels must lie in 2..24 for this training set, got 25",
        ),
        (("transfer", "IMAGES", "--architecture", "vit"), "unknown encoder 'vit'"),
        (("transfer", "IMAGES", "--encoder", "absent.pt"), "absent.pt: not a readable checkpoint"),
        (("run", "xrays", "--dry-run"), "unknown grid 'xrays': choose one of xray, xray_phantom"),
        (("run", "tiny", "--workers", "0"), "workers must be at least 1, got 0"),
        (("data", "card", "pneumonia"), "did you mean 'pneumoniamnist'"),
    ],
)
def test_a_wrong_request_is_one_line_and_exit_code_2(
    words, message, images, tiny, medssl, tmp_path, monkeypatch
):
    """An unknown name or impossible value is one line on stderr without a traceback; nothing is written."""
    monkeypatch.chdir(tmp_path)
    code, _, text = medssl(*[images if word == "IMAGES" else word for word in words])
    assert code == 2
    assert message in one_line(text)
    assert [path.name for path in tmp_path.iterdir()] == ["images.npz"]


@pytest.mark.parametrize("words", [("pretrain",), ("pretrain", "phantom_ct", "--epoch", "3"), ("trian",)])
def test_an_unknown_option_or_command_is_wrong_usage(words, medssl):
    """What the parser refuses has exit code 2 too, and no traceback."""
    code, _, text = medssl(*words)
    assert code == 2
    assert "Traceback" not in text
    assert "Missing argument" in text or "No such" in text


def test_a_damaged_encoder_is_one_line_and_exit_code_2(images, medssl, tmp_path):
    """The file is named, with the remedy."""
    (tmp_path / "encoder.pt").write_bytes(b"")
    code, _, text = medssl("transfer", images, "--encoder", tmp_path / "encoder.pt")
    assert code == 2
    assert "encoder.pt: not a readable checkpoint" in one_line(text)


def test_a_damaged_record_is_one_line_and_exit_code_2(tiny, medssl, tmp_path):
    """File and field are named."""
    places = ("--records", tmp_path / "records", "--work", tmp_path / "work")
    assert medssl("run", "tiny", *places)[0] == 0
    path = find_records(tmp_path / "records")[0]
    path.write_text(path.read_text().replace('"n_test"', '"n_tests"'))
    code, _, text = medssl("run", "tiny", *places)
    assert code == 2
    assert re.search(rf"{path.name}: field n_test: .*Remove the file and run the grid again", one_line(text))


def test_a_place_that_cannot_be_written_is_one_line_and_exit_code_1(images, medssl, tmp_path):
    """The last line names the place; the file that stands there is left alone."""
    (tmp_path / "occupied").write_text("a file")
    code, _, text = medssl(
        "pretrain", images, "--epochs", 1, "--output", tmp_path / "occupied" / "encoder.pt"
    )
    assert code == 1
    assert "Traceback" not in text
    assert re.search(r"^medssl: .*occupied/encoder\.pt.*cannot write here", text.splitlines()[-1])
    assert (tmp_path / "occupied").read_text() == "a file"


def test_a_diverging_run_is_exit_code_1_and_writes_no_encoder(images, medssl, tmp_path):
    """A loss that is not finite leaves no file that could be taken for a result."""
    output = tmp_path / "encoder.pt"
    code, _, text = medssl("pretrain", images, "--learning-rate", 1e30, "--epochs", 3, "--output", output)
    assert code == 1
    assert "Traceback" not in text
    assert re.search("^medssl: .*is not finite.*Lower learning_rate", text.splitlines()[-1])
    assert not output.exists()


def test_any_deliberate_error_keeps_its_exit_code(medssl, monkeypatch):
    """The code is a property of the error."""

    class OddError(MedsslError):
        exit_code = 7

    def fail(name):
        raise OddError("one line")

    monkeypatch.setattr("medssl.experiments.grid", fail)
    assert medssl("run", "tiny") == (7, "", "medssl: one line\n")


def test_a_mistake_of_the_program_keeps_its_traceback(monkeypatch):
    """Only deliberate errors are shortened."""

    def fail(name):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("medssl.experiments.grid", fail)
    monkeypatch.setattr(sys, "argv", ["medssl", "run", "tiny"])
    with pytest.raises(ZeroDivisionError, match="a bug"):
        main()
