"""Contenders in processes of their own, in turns, and one row of a table for each."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

__all__ = ["Contender", "Plan", "compete", "label", "rows_of"]

SCRIPT = Path(__file__).with_name("pretraining_throughput.py")


@dataclass(frozen=True)
class Plan:
    """How long each contender is measured: `seconds` over `repeats` turns."""

    seconds: float
    repeats: int

    def batches(self, batch_seconds: float) -> int:
        """Return an even number of batches for one turn, at least two: two workers make them at a time."""
        return max(2, 2 * round(self.seconds / self.repeats / batch_seconds / 2))


class Contender:
    """A process that answers each line with a line of JSON; see `_throughput_worker.py`."""

    def __init__(self, python: str, library: str, workers: int, threads: int, device: str):
        self.library, self.workers = library, workers
        self.errors = tempfile.TemporaryFile("w+")  # noqa: SIM115, closed with the process
        words = ["--worker", library, str(workers), "--threads", str(threads), "--device", device]
        self.process = subprocess.Popen(
            [python, str(SCRIPT), *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            stderr=self.errors, env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        )  # fmt: skip
        self.first = self._answer()

    def ask(self, **question) -> dict:
        """Send one question and wait for the answer; `none` holds the reason where there is no number."""
        if self.process.poll() is not None:
            return {"none": self._last_error()}
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End the process by ending its input."""
        self.process.stdin.close()
        self.process.stdout.close()
        self.process.wait(timeout=60)
        self.errors.close()

    def _answer(self):
        line = self.process.stdout.readline()
        if line:
            return json.loads(line)
        self.process.wait()
        return {"none": self._last_error()}

    def _last_error(self):
        self.errors.seek(0)
        return (self.errors.read().strip().splitlines() or ["the process ended without a word"])[-1]


def label(contender) -> str:
    """Return the name of a contender in tables."""
    return contender.library + (f", {contender.workers} workers" if contender.workers else "")


def compete(contenders, method: str, side: int, plan: Plan, note=lambda text: None) -> dict:
    """Let all contenders run in turns; return each one's answers, or the reason why it has none."""
    answers, batches = {}, {}
    for contender in contenders:
        reason = contender.ask(prepare=[method, side]).get("none")
        answers[contender] = reason or []
        if not reason:
            note(f"{method} {side} px: {label(contender)} warms up")
            start = time.perf_counter()
            answer = contender.ask(batches=2)  # workers start and kernels are chosen: not counted
            batches[contender] = plan.batches((time.perf_counter() - start) / 2)
            answers[contender] = answer.get("none", [])
    for turn in range(plan.repeats):
        for contender in [one for one in contenders if isinstance(answers[one], list)]:
            note(f"{method} {side} px: {label(contender)}, turn {turn + 1} of {plan.repeats}")
            answer = contender.ask(batches=batches[contender])
            if "none" in answer:
                answers[contender] = answer["none"]
            else:
                answers[contender].append(answer)
    return answers


def rows_of(answers: dict, method: str, side: int) -> list[dict]:
    """Return one row a contender; share is of the model alone, ratio is to the fastest peer.

    `load` is the load average of the machine when the rows were made: where it had other work to do, its
    shares and ratios deserve less trust.
    """
    speeds = {}
    for contender, turns in answers.items():
        speeds[label(contender)] = turns if isinstance(turns, str) else [turn["whole"] for turn in turns]
        if not isinstance(turns, str) and turns and "alone" in turns[0]:
            speeds["model alone"] = [turn["alone"] for turn in turns]
    medians = {name: statistics.median(turns) for name, turns in speeds.items() if isinstance(turns, list)}
    peers = [speed for name, speed in medians.items() if name not in ("medssl", "model alone")]
    ceiling, fastest = medians.get("model alone"), max(peers, default=None)
    return [
        {"method": method, "side": side, "contender": name}
        | _numbers(turns, medians.get(name), ceiling, fastest)
        | {"load": round(os.getloadavg()[0], 1)}
        for name, turns in speeds.items()
    ]


def _numbers(turns, median, ceiling, fastest):
    if median is None:
        empty = dict.fromkeys(("images_per_second", "slowest", "fastest", "share", "ratio"))
        return empty | {"repeats": 0, "none": turns}
    return {
        "images_per_second": round(median, 1),
        "slowest": round(min(turns), 1),
        "fastest": round(max(turns), 1),
        "share": round(median / ceiling, 3) if ceiling else None,
        "ratio": round(median / fastest, 2) if fastest else None,
        "repeats": len(turns),
        "none": None,
    }


def start_all(peers: str | None, threads: int, device: str, note) -> list[Contender]:
    """Start this project and MONAI here, and the peers in their environment where it was given."""
    wanted = [(sys.executable, "medssl", 0), (sys.executable, "monai", 2)]
    if peers:
        wanted += [(peers, "lightly", 0), (peers, "lightly", 2), (peers, "solo", 2)]
    started = []
    for python, library, workers in wanted:
        note(f"starting {library}")
        started.append(Contender(python, library, workers, threads, device))
    return started
