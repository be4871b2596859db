"""Isthmus: a hybrid physics-ML climate model coupler.

The front door is lazy: ``import coupler`` loads neither torch, numba nor MPI. The names below are
imported from where they live when they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from coupler.driver.simulation import Simulation as Simulation

__version__ = "0.1.0"
__all__ = ["Simulation", "__version__"]

_LAZY = {"Simulation": "coupler.driver.simulation"}


def __getattr__(name: str) -> Any:
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module 'coupler' has no attribute {name!r}")
