"""Isthmus: a hybrid physics-ML climate model coupler.

The front door is lazy: ``import coupler`` loads neither torch, numba nor MPI. The names below are
imported from where they live when they are first used.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coupler.driver.simulation import Simulation as Simulation

__version__ = "0.1.0"
__all__ = ["Simulation", "__version__"]

# A notebook that looks at a file while the run still appends to it must not stop the run, which is
# what the locks of HDF5 would do. They are read once, before the first file is opened.
os.environ.setdefault("HDF5_USE_FILE_LOCKING", "FALSE")

_LAZY = {"Simulation": "coupler.driver.simulation"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'coupler' has no attribute {name!r}")
