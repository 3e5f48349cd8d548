"""The benchmark of pretraining measures the loop of the package."""

import importlib.util
from pathlib import Path

import pytest
import torch

from medssl.ssl import METHODS

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "pretraining_throughput.py"


@pytest.fixture(scope="module")
def benchmark():
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("pretraining_throughput", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", METHODS)
def test_a_row_is_measured_at_least_three_times(method, benchmark):
    """Without any time to spare three repeats of both steps remain, and their speeds are positive."""
    speed = benchmark.measure(method, "small_cnn", 16, 4, seconds=0)
    assert speed.repeats == 3
    assert speed.whole > 0
    assert speed.alone > 0


def test_the_whole_step_trains_and_the_model_alone_does_not(benchmark):
    """One moves the weights, the other only computes gradients."""
    run, images = benchmark.prepare("simclr", "small_cnn", 16, 4)
    weight = run.method.encoder.stem[0].weight
    before = weight.detach().clone()
    benchmark.model_alone(run, images)
    assert torch.equal(weight, before)
    assert weight.grad.abs().sum() > 0
    benchmark.whole_step(run, images)
    assert not torch.equal(weight, before)


def test_the_machine_is_described(benchmark):
    """Processor, cores, threads and version of torch stand above the table."""
    text = benchmark.machine()
    assert torch.__version__ in text
    assert f"{torch.get_num_threads()} threads" in text
