"""Simulate how often 95% intervals hold the truth, and write `simulations/coverage.csv`.

Run it from the repository; it takes about ten minutes on one core:

    OMP_NUM_THREADS=1 .venv/bin/python simulations/coverage.py

It can be stopped and started again: a setting that the file holds, with the same seed and number of data
sets, is kept.
A small run to look at goes to a file of its own:

    .venv/bin/python simulations/coverage.py --independent 200 --dependent 50 --output _runs/coverage.csv

The settings, the models and the columns are described in `medssl/meta/coverage.py`; the page
`chapters/methods/validation.py` shows the table.
The same seed gives the same file.
"""

import argparse
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from medssl.files import write_text
from medssl.meta.coverage import (
    DependentSetting,
    IndependentSetting,
    of_setting,
    read_table,
    settings,
    simulate,
    to_csv,
)

OUTPUT = Path(__file__).with_suffix(".csv")
SEED = 20261125


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--independent", type=int, default=4000, help="data sets a setting (default %(default)s)"
    )
    parser.add_argument(
        "--dependent", type=int, default=1500, help="data sets a setting (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=SEED, help="(default %(default)s)")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="(default %(default)s)")
    return parser.parse_args()


def kept(path: Path, wanted: dict) -> dict:
    """Return the settings that an earlier run wrote with the wanted replicates and seed, and their rows."""
    if not path.exists():
        return {}
    table = read_table(path)
    rows = {setting: table[of_setting(table, setting)] for setting in wanted}
    return {
        setting: part
        for setting, part in rows.items()
        if len(part) and (part[["replicates", "seed"]] == list(wanted[setting])).all(axis=None)
    }


def main() -> None:
    """Run every setting that is missing, and rewrite the file after each."""
    given = arguments()
    counts = {IndependentSetting: given.independent, DependentSetting: given.dependent}
    wanted = {setting: (counts[type(setting)], given.seed) for setting in settings()}
    done = kept(given.output, wanted)
    for setting in tqdm([setting for setting in wanted if setting not in done], unit="setting"):
        done[setting] = simulate(setting, *wanted[setting])
        table = pd.concat([done[setting] for setting in wanted if setting in done])
        write_text(given.output, to_csv(table))


if __name__ == "__main__":
    main()
