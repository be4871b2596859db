"""Signals: a run that is asked to stop finishes its step, writes a restart and says so.

Interrupt (Ctrl-C) and termination (what batch systems send before they kill) are noted and looked
at between steps. A second one acts at once, as without us. A command that only waits for processes
of its own takes a termination as it takes Ctrl-C: at once, and it ends them.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
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
def terminable() -> Iterator[None]:
    """Inside, a termination is raised as an interruption is; only in the main thread.

    Raises:
        Terminated: when it comes.
    """

    def end(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)  # a second one does not wait
        text = "stopped by SIGTERM; what is finished is kept, and the same command goes on"
        raise Terminated(text)

    number = signal.SIGTERM
    if (
        threading.current_thread() is not threading.main_thread()
        or (before := signal.getsignal(number)) is signal.SIG_IGN
    ):
        yield
        return
    signal.signal(number, end)
    try:
        yield
    finally:
        signal.signal(number, before if before is not None else signal.SIG_DFL)


@contextmanager
def listening() -> Iterator[Asked]:
    """Notes signals while inside; only in the main thread, where Python delivers them.

    A signal that is ignored (as under nohup) stays ignored.
    """
    asked = Asked()
    before: dict[signal.Signals, Any] = {}

    def give_back() -> None:
        for number, handler in before.items():
            signal.signal(number, handler if handler is not None else signal.SIG_DFL)

    def note(number: int, _: FrameType | None) -> None:
        asked.signal = signal.Signals(number)
        give_back()

    if threading.current_thread() is threading.main_thread():
        for number in STATUS:
            if signal.getsignal(number) is not signal.SIG_IGN:
                before[number] = signal.signal(number, note)
    try:
        yield asked
    finally:
        give_back()
