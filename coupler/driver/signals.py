"""Signals: a run that is asked to stop finishes its step, writes a restart and says so.

Interrupt (Ctrl-C) and termination (what batch systems send before they kill) are noted and looked
at between steps. A second one acts at once, as without us. A command that only waits for processes
of its own takes a termination as it takes Ctrl-C: at once, and it ends them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

STATUS = {signal.SIGINT: 130, signal.SIGTERM: 0}
"""Exit status of a run that stopped in order: by the user, or by who sent a termination."""


@dataclass
class Asked:
    """Whether somebody asked to stop."""

    signal: signal.Signals | None = None


class Interrupted(KeyboardInterrupt):
    """A run that was asked to stop and did, in order.

    A `KeyboardInterrupt`, so that a script does not go on with half a run.
    """

    def __init__(self, by: signal.Signals, date: object, restart: Path) -> None:
        self.by, self.date, self.restart = by, date, restart
        super().__init__(
            f"stopped by {by.name} at {date}; the state is kept in {restart}; go on with --resume"
        )

    @property
    def status(self) -> int:
        """Exit status of the command."""
        return STATUS[self.by]


class Terminated(KeyboardInterrupt):
    """A command that was told to end, and can go on from what is finished."""

    status = 143
    """Exit status of the command."""


@contextmanager
def listening() -> Iterator[Asked]:
    """Notes signals while inside; only in the main thread, where Python delivers them.

    A signal that is ignored (as under nohup) stays ignored.
    """
    asked = Asked()

    def note(number: signal.Signals) -> None:
        asked.signal = number

    with _at_the_first(STATUS, note):
        yield asked


@contextmanager
def terminable() -> Iterator[None]:
    """Inside, a termination is raised as an interruption is; where `listening` would note it.

    Raises:
        Terminated: when it comes.
    """

    def end(number: signal.Signals) -> None:
        text = f"stopped by {number.name}; what is finished is kept, and the same command goes on"
        raise Terminated(text)

    with _at_the_first([signal.SIGTERM], end):
        yield


@contextmanager
def _at_the_first(
    numbers: Iterable[signal.Signals], act: Callable[[signal.Signals], None]
) -> Iterator[None]:
    """Acts at the first of these signals inside; a second one is handled as it was before."""
    before: dict[signal.Signals, Any] = {}

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def once(number: int, _: FrameType | None) -> None:
        give_back()
        act(signal.Signals(number))

    if threading.current_thread() is threading.main_thread():
        for number in numbers:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, once)
    try:
        yield
    finally:
        give_back()
