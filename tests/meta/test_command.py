"""`medssl meta` on the command line."""

import json

import numpy as np
import pandas as pd
import pytest
import typer
from typer.testing import CliRunner

from medssl._commands.meta import meta
from medssl.errors import DataError, UsageError
from medssl.meta import multilevel, random_effects

APP = typer.Typer()
APP.command()(meta)


def run(*arguments):
    result = CliRunner().invoke(APP, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "effects.csv"
    path.write_text("yi,vi,ratio\n0.1,0.01,-3\n0.05,0.01,-2\n0.02,0.02,-1\n0.0,0.01,0\n")
    return path


@pytest.fixture
def clustered(tmp_path):
    """Effects of twelve studies under other column names, with a name for each row."""
    rng = np.random.default_rng(0)
    study = np.repeat(np.arange(12), rng.integers(1, 5, 12))
    k = len(study)
    frame = pd.DataFrame(
        {
            "gain": 0.02 + rng.normal(scale=0.02, size=12)[study] + rng.normal(scale=0.02, size=k),
            "variance": rng.uniform(1e-4, 6e-4, k),
            "study": [f"study {s}" for s in study],
            "log10_ratio": rng.uniform(-3, 0, k),
            "modality": rng.choice(["ct", "mri"], k),
            "name": [f"effect {i}" for i in range(k)],
        }
    )
    path = tmp_path / "clustered.csv"
    frame.to_csv(path, index=False)
    return path


COLUMNS = ("--yi", "gain", "--vi", "variance", "--cluster", "study")


def test_the_command_prints_the_fit(table):
    """The printed table and paragraph are those of the fitted model."""
    result = run(table, "--moderator", "ratio", "--method", "DL")
    fit = random_effects([0.1, 0.05, 0.02, 0.0], [0.01, 0.01, 0.02, 0.01], [-3, -2, -1, 0], method="DL")
    assert result.exit_code == 0
    assert f"{fit.coef[1]:.6g}" in result.stdout
    assert "regressed on ratio" in result.stdout


def test_dependent_effects_get_the_multilevel_model(clustered):
    """With a cluster column and a formula the JSON holds the robust coefficients of the multilevel fit."""
    out = run(clustered, *COLUMNS, "--moderators", "log10_ratio + C(modality)", "--json").stdout
    results = json.loads(out)
    data = pd.read_csv(clustered)
    fit = multilevel(
        data.gain, data.variance, data.study, "log10_ratio + C(modality)", data=data, rho=0.6
    ).robust()
    found = pd.DataFrame(results["coefficients"]).set_index("name")
    assert list(found.index) == list(fit.names)
    np.testing.assert_allclose(found.coef, fit.coef)
    np.testing.assert_allclose(found.ci_high, fit.ci_high)
    assert results["model"] | {"effects": 0} == {
        "kind": "multilevel",
        "clusters": 12,
        "rho": 0.6,
        "errors": "CR2",
        "effects": 0,
        "formula": "log10_ratio + C(modality)",
    }
    assert results["moderators"]["p_value"] == pytest.approx(fit.wald().p_value)
    assert results["mean"] is None


def test_standard_errors_in_place_of_variances(clustered, tmp_path):
    """`--sei` gives the same analysis as the squares of its column as variances."""
    frame = pd.read_csv(clustered)
    frame.assign(se=np.sqrt(frame.variance)).drop(columns="variance").to_csv(tmp_path / "se.csv", index=False)
    with_se = json.loads(
        run(tmp_path / "se.csv", "--yi", "gain", "--sei", "se", "--cluster", "study", "--json").stdout
    )
    with_vi = json.loads(run(clustered, *COLUMNS, "--json").stdout)
    assert with_se["coefficients"][0]["coef"] == pytest.approx(with_vi["coefficients"][0]["coef"])


def test_a_folder_holds_tables_json_words_and_figures(clustered, tmp_path):
    """Everything is written at once, can be written again, and figures carry their data and words."""
    folder = tmp_path / "out"
    for _ in range(2):
        run(clustered, *COLUMNS, "--label", "name", "--out", folder)
    names = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    assert {"results.json", "report.txt", "coefficients.csv", "effects.csv", "leave_one_out.csv"} <= names
    drawn = {name.split("/")[1].split(".")[0] for name in names if name.startswith("figures/")}
    assert drawn == {"forest", "forest-by-cluster", "funnel", "leave-one-out", "profile-likelihood"}
    for name in drawn:
        assert {f"figures/{name}.{kind}" for kind in ("svg", "png", "pdf", "csv", "txt")} <= names
    results = json.loads((folder / "results.json").read_text())
    drawn_mean = pd.read_csv(folder / "figures" / "forest-by-cluster.csv").query("layer == 'diamond'")
    assert drawn_mean.estimate.iloc[-1] == pytest.approx(results["mean"]["estimate"])
    assert "SSL" not in (folder / "figures" / "forest.txt").read_text()
    assert len(pd.read_csv(folder / "leave_one_out.csv")) == 12


def test_independent_effects_have_their_own_figures_and_checks(table, tmp_path):
    """Without clusters there are a Baujat plot, and for one number as moderator a bubble plot."""
    run(table, "--out", tmp_path / "mean")
    assert (tmp_path / "mean" / "figures" / "baujat.svg").exists()
    checks = json.loads((tmp_path / "mean" / "results.json").read_text())["small_study_effects"]
    assert set(checks) == {
        "Egger", "Egger, classical", "Rank correlation", "Trim and fill", "Selection model", "PET-PEESE",
    }  # fmt: skip
    assert all(check["report"] for check in checks.values())
    run(table, "-m", "ratio", "--out", tmp_path / "slope")
    assert (tmp_path / "slope" / "figures" / "bubble.svg").exists()


def test_other_folders_are_not_replaced(table, tmp_path):
    """A folder that holds something else, or a file, is left alone."""
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(UsageError, match="holds other files"):
        run(table, "--out", tmp_path / "mine")
    assert (tmp_path / "mine" / "thesis.txt").read_text() == "years of work"
    with pytest.raises(UsageError, match="is a file"):
        run(table, "--out", table)


def test_rows_can_be_selected_and_left_out(clustered, tmp_path):
    """`--where` keeps rows, `--drop-missing` leaves incomplete ones out and says how many."""
    frame = pd.read_csv(clustered)
    picked = json.loads(run(clustered, *COLUMNS, "--where", "modality == 'ct'", "--json").stdout)
    assert picked["model"]["effects"] == (frame.modality == "ct").sum()
    frame.loc[[1, 4], "gain"] = np.nan
    frame.to_csv(tmp_path / "holes.csv", index=False)
    with pytest.raises(UsageError, match=r"holes.csv, line 3: gain is missing \(2 such rows\)"):
        run(tmp_path / "holes.csv", *COLUMNS)
    result = run(tmp_path / "holes.csv", *COLUMNS, "--drop-missing")
    assert "2 rows with missing values were left out" in result.stdout
    with pytest.raises(UsageError, match="keeps no row"):
        run(clustered, *COLUMNS, "--where", "modality == 'xray'")
    with pytest.raises(UsageError, match="cannot select rows"):
        run(clustered, *COLUMNS, "--where", "nothing == 1")


def test_missing_files_and_columns_are_named(table, tmp_path):
    """A missing file, a column that is not there and a file that is no table are told apart."""
    with pytest.raises(DataError, match="no such file"):
        run(tmp_path / "absent.csv")
    with pytest.raises(UsageError, match=r"needs the columns year; the table has yi, vi, ratio"):
        run(table, "--moderators", "year")
    with pytest.raises(UsageError, match="no column gain; it has yi, vi, ratio"):
        run(table, "--yi", "gain")
    (tmp_path / "empty.csv").write_text("")
    with pytest.raises(DataError, match="not readable as CSV"):
        run(tmp_path / "empty.csv")
    (tmp_path / "words.csv").write_text("yi,vi\nlarge,0.1\nsmall,0.2\n")
    with pytest.raises(UsageError, match="column yi holds something that is no number"):
        run(tmp_path / "words.csv")


def test_a_bad_variance_is_named_with_its_row(table, tmp_path):
    """A variance of zero is refused before anything is computed or written."""
    (tmp_path / "zero.csv").write_text("yi,vi\n0.1,0.01\n0.2,0\n0.3,0.01\n")
    with pytest.raises(UsageError, match="row 1 is 0"):
        run(tmp_path / "zero.csv", "--out", tmp_path / "out")
    assert not (tmp_path / "out").exists()
