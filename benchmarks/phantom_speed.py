"""How many generated images a minute one process makes, for each modality at 28 and 64 pixels.

OMP_NUM_THREADS=1 python benchmarks/phantom_speed.py
python benchmarks/phantom_speed.py --images 640 --sizes 28 64 128
"""

import argparse
import os
import platform
import time

import numpy as np
import scipy

from medssl.data import MODALITIES, load


def images_a_minute(modality: str, size: int, images: int) -> float:
    """Time `images` images after a first chunk that builds the cached operators."""
    load(f"phantom_{modality}", n=1, size=size)
    start = time.perf_counter()
    load(f"phantom_{modality}", n=images, size=size, seed=1)
    return 60 * images / (time.perf_counter() - start)


def machine() -> str:
    """Describe what the times were measured on."""
    load_average = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    threads = os.environ.get("OMP_NUM_THREADS", "not set")
    return (
        f"{_processor()}, {os.cpu_count()} cores, load {load_average:.1f}, OMP_NUM_THREADS {threads}, "
        f"Python {platform.python_version()}, numpy {np.__version__}, scipy {scipy.__version__}"
    )


def _processor() -> str:
    """Name of the processor where the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as stream:
            names = [line.split(":", 1)[1].strip() for line in stream if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.machine()


def main() -> None:
    """Print one row for each modality."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=320, help="images in each measurement (default 320)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[28, 64], help="sides in pixels")
    options = parser.parse_args()
    print(machine())
    print("| modality | " + " | ".join(f"{size} px, images/min" for size in options.sizes) + " |")
    print("|---" * (len(options.sizes) + 1) + "|")
    for modality in MODALITIES:
        speeds = [images_a_minute(modality, size, options.images) for size in options.sizes]
        print(f"| {modality} | " + " | ".join(f"{speed:.0f}" for speed in speeds) + " |", flush=True)


if __name__ == "__main__":
    main()
