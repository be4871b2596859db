"""Where the time of a run goes, by name: every moment belongs to exactly one account.

What a run spends on anything but the dynamics, the components' own compute, files and waiting is
the overhead of being coupled (`OVERHEAD`): bringing outputs to a scheme and inputs in its units,
divergence of its fluxes, heat of its drag, moving the state on, sums of tendencies, budgets, means
for output and for other models, remapping, the look at the state, copies for the case of a blow-up,
and the loop itself. Compiling and the first step, which meets everything for the first time, are no
part of what a step takes: they have an account of their own (`START`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

DYNAMICS = "dynamics"
APPLIED, BUDGETS, MEANS = "schemes applied", "budgets", "means for output"
EXCHANGE, LOOK, KEPT, LOOP = "exchange of models", "look at the state", "state kept", "loop"
CORRECTED = "correctors"
OVERHEAD = (APPLIED, BUDGETS, MEANS, EXCHANGE, LOOK, KEPT, LOOP, CORRECTED)
FILES, RANKS = "files", "between ranks"
START = "start: compile and first step"
_OUTSIDE = "outside"
"""Before and after steps."""
_MARKS = {**dict.fromkeys(OVERHEAD, "coupling"), FILES: "files", RANKS: "waiting", START: "start"}


class Spent:
    """Seconds by account."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """Begins outside of the loop.

        Args:
            clock: what is counted [s].
        """
        self.clock = clock
        self._now, self._since = _OUTSIDE, clock()
        self._seconds: dict[str, float] = {}

    def to(self, account: str) -> str:
        """Counts for `account` from now on; what it was counted for until now."""
        now, before = self.clock(), self._now
        self._seconds[before] = self._seconds.get(before, 0.0) + now - self._since
        self._now, self._since = account, now
        return before

    def started(self) -> None:
        """What was counted until now was the start."""
        self.to(self._now)
        whole = sum(s for name, s in self._seconds.items() if name != _OUTSIDE)
        self._seconds = {_OUTSIDE: self._seconds.get(_OUTSIDE, 0.0), START: whole}

    def leave(self) -> None:
        """Counts for nothing until the next `to`."""
        self.to(_OUTSIDE)

    def reset(self) -> None:
        """Forgets what was counted."""
        self._seconds.clear()

    def seconds(self, waited: Mapping[str, float] | None = None) -> dict[str, float]:
        """Seconds by account, the largest first.

        Args:
            waited: part of accounts that is waiting for another process [s].
        """
        found = {name: s for name, s in self._seconds.items() if name != _OUTSIDE}
        for name, s in (waited or {}).items():
            if s > 0.0 and name in found:
                found[name] = max(found[name] - s, 0.0)
                found[f"waiting for {name}"] = s
        return dict(sorted(found.items(), key=lambda item: -item[1]))


def kind(account: str) -> str:
    """``dynamics``, ``component``, ``coupling``, ``files``, ``waiting`` or ``start``."""
    if account == DYNAMICS:
        return DYNAMICS
    return "waiting" if account.startswith("waiting for") else _MARKS.get(account, "component")


def overhead(seconds: Mapping[str, float]) -> float:
    """Share of coupling in what is neither files nor waiting [1]."""
    own = {n: s for n, s in seconds.items() if kind(n) in (DYNAMICS, "component", "coupling")}
    whole = sum(own.values())
    return sum(s for n, s in own.items() if kind(n) == "coupling") / whole if whole else 0.0


def table(seconds: Mapping[str, float], steps: int) -> list[str]:
    """The closing table of a run, a line for each account.

    Args:
        seconds: by account.
        steps: how many they are of, without the first one.
    """
    start = seconds.get(START, 0.0)
    seconds = {name: s for name, s in seconds.items() if name != START}
    whole, each = sum(seconds.values()), 1e3 / max(steps, 1)
    began = [f"{START}: {start:.1f} s, in none of the above"] if start else []
    if not whole:
        return began
    width = max(map(len, seconds)) + 2
    lines = [f"{'time of a step':{width}s}{'':11s}{'ms':>9s}{'share':>8s}"]
    lines += [
        f"{name:{width}s}{kind(name):11s}{each * s:9.3f}{s / whole:8.1%}"
        for name, s in seconds.items()
    ]
    share = f"{overhead(seconds):.1%} of what is neither files nor waiting"
    last = f"{'all':{width}s}{'':11s}{each * whole:9.3f}; coupling: {share}"
    return [*lines, last, *began]
