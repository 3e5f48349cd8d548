"""One contender in a process of its own: it reads a line, works, and answers with a line of JSON.

`{"prepare": [method, side]}` builds the run.
`{"batches": n}` takes n training steps and answers with images a second.
A contender that cannot do a method answers with the reason.
"""

import importlib
import json
import os
import sys
import time
from importlib import metadata

import numpy as np
import torch
from _peers_parts import BATCH, encoder

__all__ = ["Batches", "Images", "PeerRun", "serve"]


class Images(torch.utils.data.Dataset):
    """Grey images in memory; each is transformed when it is asked for, as lightly and MONAI do it."""

    def __init__(self, images: np.ndarray, transform, pillow: bool):
        self.images, self.transform, self.pillow = images, transform, pillow

    def __getitem__(self, index):
        image = self.images[index]
        if not self.pillow:
            return self.transform(image[None])
        from PIL import Image

        return self.transform(Image.fromarray(image))


class Batches:
    """As many batches of random images as the next turn takes."""

    def __init__(self, images: int, batch: int):
        self.images, self.batch, self.count = images, batch, 1

    def __iter__(self):
        for _ in range(self.count):
            yield torch.randperm(self.images)[: self.batch].tolist()

    def __len__(self):
        return self.count


class PeerRun:
    """Loader, model and optimiser of a peer; the optimiser and the memory format are this project's."""

    def __init__(self, library, method, side, workers, device, batch=BATCH):
        images = np.random.default_rng(0).integers(0, 256, (batch, side, side), dtype=np.uint8)
        self.device, self.batches = torch.device(device), Batches(batch, batch)
        transformed = Images(images, library.transform(method, side), pillow="pillow" in library.PACKAGES)
        self.loader = torch.utils.data.DataLoader(
            transformed, batch_sampler=self.batches, num_workers=workers, persistent_workers=workers > 0
        )
        self.learner = library.learner(method, encoder())
        self.learner.to(self.device, memory_format=torch.channels_last).train()
        weights = [weight for weight in self.learner.parameters() if weight.requires_grad]
        self.optimizer = torch.optim.AdamW(weights, 2e-3, weight_decay=1e-4, foreach=True)

    def turn(self, count: int) -> dict[str, float]:
        """Train on `count` batches and return images a second, the loader's first batch included."""
        self.batches.count = count
        start = time.perf_counter()
        for views in self.loader:
            self.step([view.to(self.device, non_blocking=True) for view in views])
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return {"whole": count * self.batches.batch / (time.perf_counter() - start)}

    def step(self, views):
        """Loss, gradients and one step of the optimiser."""
        with torch.autocast("cuda", torch.bfloat16, enabled=self.device.type == "cuda"):
            loss = self.learner.loss(views)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        if hasattr(self.learner, "after_step"):
            self.learner.after_step()
        return loss.detach()


def serve(library: str, workers: int, threads: int, device: str) -> None:
    """Answer the lines on stdin until it ends; whatever a library prints goes to stderr."""
    answers, sys.stdout = os.fdopen(os.dup(1), "w"), sys.stderr
    os.dup2(2, 1)
    torch.set_num_threads(threads)
    answer, run = _first(library), None
    while True:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()
        line = sys.stdin.readline()
        if not line:
            return
        asked = json.loads(line)
        if "prepare" in asked:
            run, answer = _prepared(library, *asked["prepare"], workers, device)
        else:
            answer = run.turn(asked["batches"])


def _first(library):
    """What stands in the result file about this process."""
    packages = importlib.import_module(f"_{_module(library)}").PACKAGES
    return {"versions": {name: metadata.version(name) for name in packages}}


def _module(library):
    return "throughput_ours" if library == "medssl" else f"peers_{library}"


def _prepared(library, method, side, workers, device):
    """Return a run, or none and the reason; a library that fails must not stop the others."""
    module = importlib.import_module(f"_{_module(library)}")
    try:
        if library == "medssl":
            return module.OurRun(method, side, device), {}
        return PeerRun(module, method, side, workers, device), {}
    except Exception as error:
        return None, {"none": f"{type(error).__name__}: {error}".splitlines()[0]}
