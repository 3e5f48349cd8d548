"""What pretraining costs: one step of each method, and the gain for the minutes of the study."""

import json
from pathlib import Path

import pandas as pd
import pytest
import torch
from scipy.stats import t as student

from medssl.book import Results
from medssl.book.cost_page import (
    report_throughput,
    study_costs,
    study_runs,
    throughput,
    throughput_words,
)
from medssl.book.step_costs import _kept_bytes, energy, step_costs
from medssl.book.study import on_one_machine
from medssl.errors import UsageError
from medssl.ssl import METHODS

ROOT = Path(__file__).parents[2]


def test_energy_is_power_times_time():
    """An hour at sixty watts is sixty watt-hours."""
    assert energy(60, 60) == 60


def test_every_method_is_counted():
    """Each method has its memory and speed, and the encoder is a part of what is trained."""
    steps = step_costs(METHODS, side=28, batch=4, repeats=1)
    assert steps["method"].tolist() == list(METHODS)
    assert (steps["parameters"] >= steps["encoder_parameters"]).all()
    assert (steps[["kept_bytes", "images_per_second"]] > 0).all(axis=None)
    by = steps.set_index("method")
    assert by.loc["byol", "fixed"] > by.loc["simsiam", "fixed"] + 300_000  # a teacher
    assert by.loc["rubiks_cube", "dimensions"] == 3


def test_kept_memory_is_what_the_backward_pass_needs():
    """A product of two matrices keeps its input, and weights do not count."""
    layer = torch.nn.Linear(8, 4, bias=False)
    data = torch.rand(16, 8)
    assert _kept_bytes(layer, lambda: layer(data).sum()) == data.numel() * 4


def runs(gains, errors=0.01, minutes=5.0):
    """Records of one method with gains by seed and label count."""
    rows = [
        {
            "dataset": "d", "method": "simclr", "seed": seed, "n_labelled": n, "gain": gain,
            "standard_error": errors, "n_test": 50, "pretraining_minutes": minutes, "passes": 100,
        }
        for (seed, n), gain in gains.items()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def test_a_gain_for_its_minutes_in_closed_form():
    """Label counts are averaged within a seed first; the rate divides gain and limits by the minutes."""
    table = runs({(1, 10): 0.00, (1, 20): 0.04, (2, 10): 0.05, (2, 20): 0.07})
    row = study_costs(table).iloc[0]
    assert row["gain"] == pytest.approx(0.04)
    assert row["rate"] == pytest.approx(0.008)
    variance, df = 0.02**2 + 0.01**2, (5e-4) ** 2 / (4e-4) ** 2
    assert row["ci_high"] - row["gain"] == pytest.approx(student.ppf(0.975, df) * variance**0.5)
    assert row["rate_low"] == pytest.approx(row["ci_low"] / 5)


def test_a_label_count_that_a_seed_lacks_is_left_out():
    """An unfinished study does not mix label counts."""
    table = runs({(1, 10): 0.02, (1, 20): 0.9, (2, 10): 0.04})
    row = study_costs(table).iloc[0]
    assert (row["gain"], row["label_counts"]) == (pytest.approx(0.03), 1)


def test_one_seed_is_no_estimate():
    """A single seed has no variance and is refused."""
    with pytest.raises(UsageError, match="two seeds"):
        study_costs(runs({(1, 10): 0.02}))


def test_the_committed_records_are_those_of_the_plain_comparison():
    """Every run counted is fine-tuning of the whole pool against random weights."""
    table = study_runs(ROOT / "records")
    assert set(table["comparator_kind"]) == {"random"}
    assert set(table["adaptation"]) == {"fine_tune"}
    costs = study_costs(table)
    seeds = table.groupby(["dataset", "method"])["seed"].nunique()
    assert set(zip(costs["dataset"], costs["method"], strict=True)) <= set(seeds.index[seeds >= 2])


def speed(contender, rate, ratio, share, side=28):
    """A row of the comparison with other libraries."""
    return {
        "method": "simclr", "side": side, "contender": contender, "images_per_second": rate, "slowest": rate,
        "fastest": rate, "share": share, "ratio": ratio, "repeats": 3, "none": None,
    }  # fmt: skip


@pytest.fixture
def speeds(tmp_path) -> Path:
    """A folder with the comparisons of two machines."""
    for name, ratio in (("fast", 1.5), ("slow", 2.25)):
        rows = [speed("medssl", 700.4, ratio, 0.9), speed("model alone", 778, ratio / 0.9, 1.0)]
        rows += [speed("lightly", 700.4 / ratio, 1.0, None)]
        made = {"device": {"name": name}, "threads": 2}
        text = json.dumps({"made": made, "rows": rows})
        (tmp_path / f"pretraining_throughput_{name}.json").write_text(text, encoding="utf-8")
    return tmp_path


def test_a_comparison_that_is_not_there_is_said_so(speeds, tmp_path):
    """Without a file the page has a sentence, with it a table that names the machines."""
    assert "not been committed" in throughput_words(throughput(tmp_path / "none")).data
    shown = throughput_words(throughput(speeds)).data
    assert "<td>700</td>" in shown
    assert "fast, 2 threads" in shown
    assert "slow, 2 threads" in shown


def test_bounds_of_the_speed_are_over_machines_and_methods(speeds, tmp_path):
    """Ratio and share of this package, and the ratio of the model alone, which nothing can exceed."""
    results = Results(tmp_path / "results.json")
    report_throughput(results, throughput(speeds), cell="x")
    found = {key: value["text"] for key, value in results._entries.items()}
    assert found == {
        "machines": "2", "ratio_28": "1.50 to 2.25", "share_28": "0.90 to 0.90",
        "ceiling_28": "1.67 to 2.50",
    }  # fmt: skip


def test_committed_speeds_have_a_ceiling():
    """On each machine and for each method this package is measured beside the model alone and a peer."""
    table = throughput(ROOT / "benchmarks/results")
    assert table["machine"].nunique() >= 2
    for _, part in table.groupby(["machine", "method", "side"]):
        assert {"medssl", "model alone"} <= set(part["contender"])
        assert (part["ratio"] == 1).any()


def test_minutes_are_those_of_one_machine():
    """Other machines' minutes give way to the mean on the usual one; what it never ran keeps its own."""
    rows = pd.DataFrame(
        {
            "dataset": ["d", "d", "d", "e"], "method": "m", "device": ["a", "a", "b", "b"],
            "pretraining_minutes": [1.0, 3.0, 50.0, 7.0],
        }
    )  # fmt: skip
    rows = pd.concat([rows, rows[rows.device == "a"]], ignore_index=True)
    assert on_one_machine(rows)["pretraining_minutes"].tolist() == [1, 3, 2, 7, 1, 3]
