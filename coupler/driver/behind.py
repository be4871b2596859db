"""A scheme that runs one call behind: the answer applied is that to the inputs of the call before.

    call 0: post x0, wait, apply R(x0)         there is nothing earlier
    call n: wait for R(x[n-1]), apply it, post x[n]

Between two calls the dynamics and the other processes go on while the scheme computes, where it
runs in another process. The lag belongs to the case, not to the transport: an inline scheme with
the same lag gives the same numbers. What is on its way is waited for and belongs to the restart.

A model (`BehindModel`) shows its fields one step late for the same purpose:

    step n: take and show the fields after step n - 1; begin step n with what was received
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from coupler.interface.component import Array, Arrays, Host, Model, Now, Site, Tendency
from coupler.interface.parallel import Spread


class _Posts(Protocol):
    """A scheme that can be asked now and answer later."""

    def post(self, x: Arrays, now: Now) -> None: ...

    def wait(self, tend: Arrays, flux: Arrays, diag: Arrays) -> None: ...


def may_lack(part: object) -> tuple[str, ...]:
    """Names in the memory of `part` that a restart may be without."""
    names: tuple[str, ...] = getattr(part, "may_lack", tuple)()
    return names


class Behind(Tendency):
    """`inner`, one call behind."""

    fills = True

    def __init__(self, inner: Tendency) -> None:
        self.inner, self.p = inner, inner.p
        for name in ("process", "scheme", "inputs", "tendencies", "fluxes", "diagnostics"):
            vars(self)[name] = getattr(inner, name)
        for name in ("conserves", "needs", "interval"):
            vars(self)[name] = getattr(inner, name)
        posts: Any = inner if hasattr(inner, "post") else None
        self._posts: _Posts | None = posts
        self._open = False
        self._begun = np.zeros(1, np.int8)

    def setup(self, host: Host) -> None:
        """Sets the inner scheme up and makes room for what is on its way."""
        self.inner.setup(host)
        vars(self)["inputs"] = self.inner.inputs  # some know them only now
        self._tend = Arrays(**{of: host.empty("level", "column") for of in self.tendencies})
        self._flux = Arrays(**{f.name: host.empty(*f.field.dims) for f in self.fluxes})
        self._diag = Arrays(**{f.name: host.empty(*f.dims) for f in self.diagnostics})

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Applies the answer to the call before, and asks the next one."""
        first = not self._begun[0]
        if first:
            self._ask(x, now)
            self._begun[0] = 1
        self._finish()
        for out, mine in ((tend, self._tend), (flux, self._flux), (diag, self._diag)):
            for name, array in out.items():
                np.copyto(array, getattr(mine, name))
        if not first:
            self._ask(x, now)

    def _ask(self, x: Arrays, now: Now) -> None:
        if self._posts is not None:
            self._posts.post(x, now)
            self._open = True
            return
        for group in (self._tend, self._flux, self._diag):
            for _, array in group.items():
                array.fill(0.0)
        self.inner.compute(x, self._tend, self._flux, self._diag, now)

    def _finish(self) -> None:
        if self._open and self._posts is not None:
            self._open = False
            self._posts.wait(self._tend, self._flux, self._diag)

    def counts(self) -> dict[str, int]:
        return self.inner.counts()

    def counted(self) -> tuple[str, ...]:
        return self.inner.counted()

    def may_lack(self) -> tuple[str, ...]:
        """What of the memory a restart may be without."""
        return may_lack(self.inner)

    def memory(self) -> dict[str, Array]:
        """The inner scheme's, and the answer that the next call applies."""
        self._finish()
        own: dict[str, Array] = {"behind": self._begun}
        for group in (self._tend, self._flux, self._diag):
            own |= {f"behind.{name}": array for name, array in group.items()}
        return own | self.inner.memory()

    def restore(self, memory: Mapping[str, Array]) -> None:
        own = self.memory()
        for name, array in own.items():
            if name.startswith("behind"):
                array[...] = memory[name]
        self.inner.restore({n: a for n, a in memory.items() if not n.startswith("behind")})


class BehindModel(Model):
    """`inner`, whose fields are shown one step late."""

    def __init__(self, inner: Model) -> None:
        self.inner = inner
        self.stand_for(inner)
        self._post: Any = getattr(inner, "post", inner.step)
        self._wait: Any = getattr(inner, "wait", lambda: None)

    def setup(self, site: Site) -> None:
        """Sets the inner model up; it shows its first fields until it has made a step."""
        self.inner.setup(site)
        self._shown = {name: array.copy() for name, array in self.inner.fields().items()}

    def fields(self) -> Mapping[str, Array]:
        return self._shown

    def step(self, received: Arrays, now: Now) -> None:
        """Shows the step before, and begins this one."""
        self._wait()
        for name, array in self.inner.fields().items():
            np.copyto(self._shown[name], array)
        self._post(received, now)

    def counts(self) -> dict[str, int]:
        return self.inner.counts()

    def spread(self) -> Mapping[str, Spread]:
        return self.inner.spread()

    def memory(self) -> dict[str, Array]:
        """The inner model's, and what is shown of the step before."""
        self._wait()
        return {f"behind.{n}": a for n, a in self._shown.items()} | self.inner.memory()

    def restore(self, memory: Mapping[str, Array]) -> None:
        for name, array in self._shown.items():
            array[...] = memory[f"behind.{name}"]
        self.inner.restore({n: a for n, a in memory.items() if not n.startswith("behind.")})
