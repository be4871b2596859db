"""What ran when: spans of a run and its workers, as a trace and as a picture.

`Timeline(model)` wraps the calls of one assembly; nothing is measured without it. The trace is in
the Trace Event Format of Chrome (complete events, times in microseconds), which Perfetto opens too.
"""

from __future__ import annotations

import json
import os
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, wraps
from pathlib import Path
from typing import Any

from coupler.driver.assemble import Assembly
from coupler.exchange.remote import Remote
from coupler.exchange.remote_model import RemoteModel
from coupler.interface.files import write_whole

_MOST = 100_000
"""Spans that are kept, the newest ones; some 30 MB of trace."""
_PICTURED = 6
"""Steps in the picture, from the middle of what was kept."""


@dataclass(frozen=True, kw_only=True)
class Span:
    """Something that lasted."""

    track: str
    """Who: ``run``, or the process of a worker."""
    name: str
    begin: float
    """On the clock of `time.monotonic` [s]."""
    end: float


class Timeline:
    """The spans of one run."""

    def __init__(self, model: Assembly) -> None:
        """Begins to note what the parts of a model do."""
        self.spans: deque[Span] = deque(maxlen=_MOST)
        self._steps: deque[float] = deque(maxlen=_MOST)
        self.wrap(model.atmosphere, "advance", "dynamics")
        self.wrap(model.atmosphere, "columns", "columns")
        for process in model.suite.processes:
            for bound in process.schemes:
                self.wrap(bound, "call", f"{process.name}={bound.label}")
        for name, coupling in model.couplings.items():
            self.wrap(coupling, "step", name)
        for name, remote in model.elsewhere.remotes.items():
            remote.on_span = partial(self._remote, name, remote)

    def stepped(self) -> None:
        """Marks the end of a step."""
        self._steps.append(time.monotonic())

    def note(self, name: str, function: Callable[[], Any]) -> Any:
        """Calls a function of the run itself and notes how long it took."""
        begin = time.monotonic()
        try:
            return function()
        finally:
            self.add("run", name, begin, time.monotonic())

    def add(self, track: str, name: str, begin: float, end: float) -> None:
        """Notes a span, see `Span`."""
        self.spans.append(Span(track=track, name=name, begin=begin, end=end))

    def wrap(self, owner: object, method: str, name: str) -> None:
        """Notes from now on how long a method of an object takes."""
        inner = getattr(owner, method)

        @wraps(inner)
        def timed(*args: Any, **kwargs: Any) -> Any:
            return self.note(name, lambda: inner(*args, **kwargs))

        setattr(owner, method, timed)

    def _remote(
        self, process: str, remote: Remote | RemoteModel, what: str, begin: float, end: float
    ) -> None:
        if what == "wait":
            self.add("run", f"wait for {process}", begin, end)
        else:
            self.add(f"worker {process}", f"{process}={remote.scheme}", begin, end)

    # -- files --------------------------------------------------------------------------------

    def write(self, folder: Path) -> None:
        """Writes ``timeline.json`` and ``timeline.png``."""
        write_whole(folder / "timeline.json", self.trace())
        self._picture(folder / "timeline.png")

    def trace(self) -> str:
        """The spans in the Trace Event Format."""
        tracks = list(dict.fromkeys(["run", *(s.track for s in self.spans)]))
        zero = min((s.begin for s in self.spans), default=0.0)
        events: list[dict[str, Any]] = [
            {
                "ph": "M",
                "name": "thread_name",
                "pid": os.getpid(),
                "tid": i,
                "args": {"name": track},
            }
            for i, track in enumerate(tracks)
        ]
        events += [
            {
                "ph": "X",
                "name": s.name,
                "pid": os.getpid(),
                "tid": tracks.index(s.track),
                "ts": round(1e6 * (s.begin - zero), 3),
                "dur": round(1e6 * (s.end - s.begin), 3),
            }
            for s in self.spans
        ]
        return json.dumps({"traceEvents": events, "displayTimeUnit": "ms"})

    def _window(self) -> tuple[float, float]:
        """A few steps from the middle."""
        steps = list(self._steps)
        if len(steps) < 2:
            begins = [s.begin for s in self.spans] or [0.0]
            return min(begins), max([s.end for s in self.spans] or [1.0])
        first = max(0, len(steps) // 2 - _PICTURED // 2)
        return steps[first], steps[min(first + _PICTURED, len(steps) - 1)]

    def _picture(self, path: Path) -> None:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        begin, end = self._window()
        shown = [s for s in self.spans if s.end > begin and s.begin < end]
        tracks = list(dict.fromkeys(["run", *(s.track for s in shown)]))
        names = list(dict.fromkeys(s.name for s in shown))
        figure = Figure(figsize=(10.0, 1.6 + 0.6 * len(tracks)), layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.subplots()
        # A worker has the colour of its scheme; waiting is hatched grey.
        colours = {name: f"C{i % 10}" for i, name in enumerate(names)}
        for name in names:
            for i, track in enumerate(tracks):
                bars = [
                    (1e3 * (s.begin - begin), 1e3 * (s.end - s.begin))
                    for s in shown
                    if s.name == name and s.track == track
                ]
                if not bars:
                    continue
                waits = name.startswith("wait")
                axes.broken_barh(
                    bars,
                    (i - 0.4, 0.8) if not waits else (i - 0.2, 0.4),
                    facecolors="0.8" if waits else colours[name],
                    hatch="////" if waits else None,
                    label=name,
                )
        for step in self._steps:
            if begin <= step <= end:
                axes.axvline(1e3 * (step - begin), color="0.3", linewidth=0.8, linestyle=":")
        axes.set_yticks(range(len(tracks)), tracks)
        axes.set_ylim(len(tracks) - 0.5, -0.5)
        axes.set_xlim(0.0, 1e3 * max(end - begin, 1e-6))
        axes.set_xlabel("time [ms]; dotted: ends of steps")
        handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
        figure.legend(handles.values(), handles, loc="outside upper center", ncols=4, fontsize=7)
        figure.savefig(path, dpi=120)
