"""medssl: an executable survey of self-supervised pretraining in radiology.

Examples
--------
>>> import medssl
>>> medssl.__version__.count(".")
2
"""

from importlib import import_module

__version__ = "0.1.0"
__all__ = ["__version__", "pretrain", "transfer"]


def __getattr__(name):
    """Import the two loops on first use, so that reading a table never loads torch."""
    if name in {"pretrain", "transfer"}:
        return getattr(import_module("medssl.training"), name)
    raise AttributeError(f"module 'medssl' has no attribute {name!r}")
