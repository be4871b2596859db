"""What compiling costs a run: numba says when it compiles a function or reads a compiled one.

Functions are compiled when they are called for the first time, most of them in the first step and
some later (a slower model, the first mean). That is no part of a step: it is counted for itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from coupler.driver.spent import START, Spent

_SHOWN = 1e-3
"""Shortest time that is noted [s]."""


@contextmanager
def compiling(spent: Spent, note: Callable[[float, float], None] | None = None) -> Iterator[None]:
    """Counts for `START` what this thread spends on compiling, while the context lasts.

    Args:
        spent: where.
        note: told of the begin and end of each, on the clock of `time.monotonic` [s].
    """
    from numba.core import event

    own, depth, begin, before = threading.get_ident(), 0, 0.0, ""

    class Listener(event.Listener):
        def on_start(self, _: Any) -> None:
            nonlocal depth, begin, before
            if threading.get_ident() != own:  # a rank that is a thread, or a writer
                return
            if not depth:
                begin, before = time.monotonic(), spent.to(START)
            depth += 1

        def on_end(self, _: Any) -> None:
            nonlocal depth
            if threading.get_ident() != own:
                return
            depth -= 1
            if not depth:
                spent.to(before)
                end = time.monotonic()
                if note is not None and end - begin > _SHOWN:
                    note(begin, end)

    with event.install_listener("numba:compiler_lock", Listener()):
        yield
