"""Images a second that pretraining takes in, beside other libraries and beside what the model alone could do.

    .venv/bin/python benchmarks/pretraining_throughput.py
    .venv/bin/python benchmarks/pretraining_throughput.py --peers peers/bin/python --threads 2 --output FILE
    .venv/bin/python benchmarks/pretraining_throughput.py --all-methods --seconds 20

"medssl" is what `medssl.pretrain` does with a batch: drawing it, views, forward pass, backward pass, clipping
and optimiser.
"model alone" is forward and backward pass on the same batch without augmentation: the ceiling.
lightly, solo-learn and MONAI transform image by image in 2 workers of a DataLoader (lightly also in the main
process), and train with their own losses (lightly also with its own heads).
All have the same encoder, batches of 256 grey images that are in memory, optimiser and memory format.
Every contender is a process of its own; they take turns, and the median of the turns is shown.
"share" is a contender's speed divided by that of the model alone.
"ratio" is a contender's speed divided by that of the fastest peer.
A peer that lacks a method has no number, and a line below the table says why.
`--peers` names the interpreter with requirements-pretraining-peers.txt; without it MONAI is the only peer.
`--all-methods` compares all methods of this project with the model alone, with two encoders, without peers.
"""

import argparse
import sys

WORKER = "--worker"
METHODS = ("simclr", "byol", "barlow_twins", "dino", "masked_autoencoder")
COLUMNS = ("method", "pixels", "contender", "images/s", "slowest", "fastest", "share", "ratio", "repeats")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--peers", metavar="PYTHON", help="interpreter of the peers' environment")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS, help="default: all five")
    parser.add_argument("--sides", nargs="+", type=int, default=[28, 64], help="pixels (default 28 64)")
    parser.add_argument("--seconds", type=float, default=8.0, help="time for each number (default 8)")
    parser.add_argument("--repeats", type=int, default=3, help="turns of each contender (default 3)")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch (default: its choice)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--output", metavar="FILE", help="write the table as JSON")
    parser.add_argument("--all-methods", action="store_true", help="all methods, without peers")
    parser.add_argument(WORKER, nargs=2, metavar=("LIBRARY", "WORKERS"), help=argparse.SUPPRESS)
    return parser.parse_args()


def note(text: str) -> None:
    """Say on stderr what goes on."""
    print(text, file=sys.stderr, flush=True)


def against_peers(options, threads: int) -> dict:
    """Measure the five methods at every size; the result file grows with each, so that no work is lost."""
    from _throughput_contenders import Plan, compete, rows_of, start_all

    contenders = start_all(options.peers, threads, options.device, note)
    result = {"made": conditions(options, threads, contenders), "rows": []}
    plan = Plan(options.seconds, options.repeats)
    for side in options.sides:
        for method in options.methods:
            result["rows"] += rows_of(compete(contenders, method, side, plan, note), method, side)
            write(options.output, result)
    for contender in contenders:
        contender.close()
    return result


def write(path: str | None, result: dict) -> None:
    """Write the result file where one was asked for."""
    from medssl.files import write_json

    if path:
        write_json(path, result)


def conditions(options, threads: int, contenders) -> dict:
    """Return what a reader needs to judge the numbers: device, threads, load, versions and commit."""
    import psutil
    import torch

    from medssl.experiments.provenance import commit, device_facts, versions

    found = {one.library: one.first.get("versions", {}) for one in contenders if one.library != "medssl"}
    return {
        "device": device_facts(torch.device(options.device)),
        "threads": threads,
        "dtype": "float32" if options.device == "cpu" else "bfloat16 (autocast)",
        "batch": 256,
        "channels": 1,
        "encoder": "small_cnn",
        "load_at_start": round(psutil.getloadavg()[0], 2),
        "versions": versions(),
        "peers": found,
        "commit": commit(),
    }


def show(title: str, columns, rows) -> None:
    """Print a table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, title_justify="left")
    for name in columns:
        table.add_column(name, justify="left" if name in ("method", "encoder", "contender") else "right")
    for row in rows:
        table.add_row(*row)
    console = Console()
    (console if console.is_terminal else Console(width=120)).print(table)


def cells(row: dict) -> list[str]:
    """Return a row of the result file as text."""
    numbers = [row[name] for name in ("images_per_second", "slowest", "fastest")]
    text = ["none" if value is None else f"{value:.0f}" for value in numbers]
    ratios = ["" if row[name] is None else f"{row[name]:.2f}" for name in ("share", "ratio")]
    return [row["method"], str(row["side"]), row["contender"], *text, *ratios, str(row["repeats"])]


def show_all(title: str, measured) -> None:
    """Print the table of all methods; a method that an encoder cannot have is named on stderr."""
    names = ("method", "encoder", "pixels", "batch", "whole step", "model alone", "share", "repeats")
    rows = []
    for *case, speed in measured:
        note(f"{case[0]} {case[1]} {case[2]} px" + (f": {speed}" if isinstance(speed, str) else ""))
        if not isinstance(speed, str):
            numbers = (f"{speed.whole:.0f}", f"{speed.alone:.0f}", f"{speed.whole / speed.alone:.2f}")
            rows.append((*map(str, case), *numbers, str(speed.repeats)))
    show(title, names, rows)


def main() -> None:
    """Measure and print; or serve as one contender."""
    options = parse()
    if options.worker:
        from _throughput_worker import serve

        return serve(options.worker[0], int(options.worker[1]), options.threads, options.device)
    import torch
    from _throughput_ours import every_method, machine

    if options.threads is not None:
        torch.set_num_threads(options.threads)
    device, threads = torch.device(options.device), torch.get_num_threads()
    if options.all_methods:
        return show_all(machine(device), every_method(options.seconds, device))
    result = against_peers(options, threads)
    show(machine(device), COLUMNS, [cells(row) for row in result["rows"]])
    for reason in dict.fromkeys(
        f"{row['contender']}: {row['none']}" for row in result["rows"] if row["none"]
    ):
        print(reason)
    return None


if __name__ == "__main__":
    main()
