"""Import the peers of `pretraining_throughput.py` in an environment that cannot import them as they are.

Two obstacles, both of which leave alone what is measured:

- A torchvision built for another torch has no compiled operators (`torchvision::nms does not exist`).
  No transform needs them, so their names are declared and torchvision is imported again.
- solo-learn's top-level import asks for its trainer and for lightning-bolts, which do not run with this
  torch.
  Its losses and transforms import when the packages around them are left empty.
"""

import importlib
import importlib.util
import re
import sys
import types
from pathlib import Path

import torch

__all__ = ["import_lightly", "import_solo", "import_torchvision"]

_DECLARED = []  # a library that is collected takes its operators with it


def import_torchvision():
    """Import torchvision, with declared operators where it has no compiled ones."""
    try:
        return importlib.import_module("torchvision")
    except RuntimeError as error:
        if "torchvision::" not in str(error):
            raise
    for name in [name for name in sys.modules if name.split(".")[0] == "torchvision"]:
        del sys.modules[name]
    folder = Path(importlib.util.find_spec("torchvision").origin).parent
    source = (folder / "_meta_registrations.py").read_text(encoding="utf-8")
    library = torch.library.Library("torchvision", "FRAGMENT")
    for name in re.findall(r'register_(?:meta|fake)\("(?:torchvision::)?(\w+)"', source):
        library.define(f"{name}(Tensor input) -> Tensor")
    _DECLARED.append(library)
    return importlib.import_module("torchvision")


def import_lightly(name: str):
    """Import `lightly.NAME`; an ImportError where lightly or something that it needs is absent."""
    if importlib.util.find_spec("lightly") is None:
        raise ModuleNotFoundError("lightly is not installed")
    import_torchvision()
    return importlib.import_module(f"lightly.{name}")


def import_solo(name: str):
    """Import the one file `solo.NAME` without the packages around it; an ImportError where it is absent."""
    if importlib.util.find_spec("solo") is None:
        raise ModuleNotFoundError("solo-learn is not installed")
    *packages, _ = f"solo.{name}".split(".")
    for depth in range(len(packages)):
        _empty_package(".".join(packages[: depth + 1]))
    if name.startswith("utils.pretrain"):
        import_torchvision()
    return importlib.import_module(f"solo.{name}")


def _empty_package(name: str) -> None:
    """Put a package without content in place of NAME; its files stay importable."""
    if name in sys.modules:
        return
    root = Path(importlib.util.find_spec("solo").submodule_search_locations[0])
    package = types.ModuleType(name)
    package.__path__ = [str(root.joinpath(*name.split(".")[1:]))]
    package.__spec__ = importlib.util.spec_from_loader(name, None, is_package=True)
    package.__spec__.submodule_search_locations = package.__path__
    sys.modules[name] = package
