"""What a running simulation shows: model date, speed, extremes and the time it still needs.

Speed is in simulated years per day of wall time (SYPD, Balaji et al. 2017, section 3.1,
doi:10.5194/gmd-10-19-2017), over the last half minute and without the first two steps, in which
code is compiled (a leapfrog's second step is another one than its first). On a terminal there is a
bar; elsewhere a line about every ten seconds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from types import TracebackType

import cftime
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

from coupler.interface.constants import SECONDS_PER_DAY

_DAYS_PER_YEAR = 365.0
_WINDOW = 30.0
"""Wall time over which the speed is taken [s]."""
_COMPILING = 2
"""Steps in which code is compiled."""
_BAR_INTERVAL = 0.2
_LINE_INTERVAL = 10.0


def speed(model_seconds: float, wall_seconds: float) -> float:
    """Simulated years per day [1] from model time and wall time [s]; 0 before any wall time."""
    return model_seconds / (_DAYS_PER_YEAR * wall_seconds) if wall_seconds > 0.0 else 0.0


def clock_text(seconds: float) -> str:
    """A duration [s] as ``m:ss`` or ``h:mm:ss``."""
    minutes, rest = divmod(round(max(seconds, 0.0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


class RunProgress:
    """Shows a run from `start` to `end`; a context manager.

    `update` may be called at every step: it looks at the clock and mostly returns at once.
    """

    def __init__(
        self,
        *,
        start: float,
        end: float,
        silent: bool = False,
        console: Console | None = None,
        wall: Callable[[], float] = time.monotonic,
    ) -> None:
        """Shows nothing yet.

        Args:
            start: model time at which this run begins [s since the start of the case].
            end: model time at which it ends [s].
            silent: shows nothing at all.
            console: where to; standard error by default.
            wall: wall clock [s], replaceable for tests.
        """
        self._start, self._end, self._silent = start, end, silent
        self._console = console or Console(stderr=True)
        self._wall = wall
        self._marks: deque[tuple[float, float]] = deque()
        self._updates = 0
        """How many there were; not counted on when code is compiled no more."""
        self._shown = -float("inf")
        self._bar: Progress | None = None

    def __enter__(self) -> RunProgress:
        self._shown = self._wall()
        if not self._silent and self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.fields[date]}"),
                BarColumn(),
                TextColumn("{task.percentage:3.0f}%  {task.fields[rest]}"),
                console=self._console,
                auto_refresh=False,
            )
            self._bar.start()
            total = self._end - self._start
            self._task = self._bar.add_task("run", total=total, date="", rest="")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    @property
    def sypd(self) -> float:
        """Present speed in simulated years per day; 0 as long as it is not known."""
        if not self._marks:
            return 0.0
        (wall0, model0), (wall1, model1) = self._marks[0], self._marks[-1]
        return speed(model1 - model0, wall1 - wall0)

    def update(
        self,
        date: cftime.datetime,
        seconds: float,
        max_wind: Callable[[], float] | float | None = None,
    ) -> None:
        """Tells where the run is.

        Args:
            date: model date.
            seconds: model time since the start of the case [s].
            max_wind: largest wind speed [m s-1], or how to get it, called only when shown.
        """
        now, done = self._wall(), seconds >= self._end
        if self._updates < _COMPILING:
            self._updates += 1
            self._marks.clear()
            self._marks.append((now, seconds))
        due = now - self._shown >= (_BAR_INTERVAL if self._bar is not None else _LINE_INTERVAL)
        if self._silent or not (due or done):
            return
        self._shown = now
        if now > self._marks[-1][0]:
            self._marks.append((now, seconds))
        while now - self._marks[0][0] > _WINDOW and len(self._marks) > 2:
            self._marks.popleft()
        rest = self._rest(seconds, max_wind)
        text = date.strftime("%Y-%m-%d %H:%M")
        if self._bar is not None:
            completed = seconds - self._start
            self._bar.update(self._task, completed=completed, date=text, rest=rest, refresh=True)
            return
        day, days = seconds / SECONDS_PER_DAY, self._end / SECONDS_PER_DAY
        self._console.print(
            f"{text}  day {day:.1f} of {days:.1f}  {rest}", highlight=False, soft_wrap=True
        )

    def _rest(self, seconds: float, max_wind: Callable[[], float] | float | None) -> str:
        parts = [f"{self.sypd:.1f} SYPD"] if self.sypd > 0.0 else []
        wind = max_wind() if callable(max_wind) else max_wind
        if wind is not None:
            parts.append(f"max wind {wind:.0f} m/s")
        (wall0, model0), (wall1, model1) = self._marks[0], self._marks[-1]
        if model1 > model0:
            left = (self._end - seconds) * (wall1 - wall0) / (model1 - model0)
            parts.append(f"{clock_text(left)} left")
        return "  ".join(parts)
