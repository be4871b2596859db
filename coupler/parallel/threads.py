"""Threads of one process, set explicitly: torch, numba and BLAS get the same number.

The libraries keep pools of their own. With the usual settings the workers of one pool spin while
another one works; on as many cores as threads a step then takes ten times as long as with one
thread. So waiting is passive and the number is 1 unless asked for: more cores are used by ranks.
"""

from __future__ import annotations

import os
import sys
from argparse import ArgumentTypeError

_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
CHOICE = "ISTHMUS_THREADS"
"""Environment variable with the number of threads of each process."""


def chosen() -> int:
    """Number of threads asked for by the environment; 1 otherwise."""
    text = os.environ.get(CHOICE, "1")
    return max(1, int(text)) if text.isdigit() else 1


def at_least_one(text: str) -> int:
    """A number of threads that is asked for on the command line."""
    if not text.isdigit() or int(text) < 1:
        raise ArgumentTypeError(f"expected a whole number of at least 1, found {text!r}")
    return int(text)


def prepare(threads: int | None = None) -> int:
    """Sets the number of threads of every library, loaded or not; returns it.

    Libraries read the environment when they are loaded, so this belongs before their import;
    the ones that are there already are told.
    """
    count = threads if threads is not None else chosen()
    os.environ[CHOICE] = str(count)
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("KMP_BLOCKTIME", "0")
    for name in _VARIABLES:
        os.environ[name] = str(count)
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    if "numba" in sys.modules:
        numba = sys.modules["numba"]
        numba.set_num_threads(min(count, numba.config.NUMBA_NUM_THREADS))
    else:  # numba refuses another size of its pool once it runs
        os.environ["NUMBA_NUM_THREADS"] = str(count)
    return count
