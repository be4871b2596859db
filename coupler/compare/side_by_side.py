"""Processes side by side: so many at a time, and what a result makes possible before what waits."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Lock
from typing import TypeVar

T = TypeVar("T")


class Stopped(Exception):
    """No process begins any more."""


class Children:
    """The processes that run; once they are told to stop, none begins."""

    def __init__(self) -> None:
        self._lock, self._stopped = Lock(), False
        self._running: list[subprocess.Popen[bytes]] = []

    def run(self, command: Sequence[str], log: Path) -> tuple[int, float]:
        """Runs a command to its end; exit status and largest resident memory [MB].

        Args:
            command: its words.
            log: file for all that it says.

        Raises:
            Stopped: when it does not begin.
        """
        with self._lock:
            if self._stopped:
                raise Stopped
            with log.open("wb") as out:
                child = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
            self._running.append(child)
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        return child.returncode, usage.ru_maxrss / 1024.0

    def stop(self) -> None:
        """Tells all to end: a run then writes a restart."""
        with self._lock:
            self._stopped = True
            for child in self._running:
                if child.returncode is None:
                    with contextlib.suppress(OSError):
                        os.kill(child.pid, signal.SIGTERM)


Task = Callable[[Children], T]
"""Runs one process among the children, in a thread, and says what became of it."""


def side_by_side(
    tasks: Iterable[Task[T]], *, parallel: int, then: Callable[[T], Iterable[Task[T]]]
) -> None:
    """Does all tasks, and those that follow from them.

    Args:
        tasks: in the order in which they begin.
        parallel: how many at a time, at least one.
        then: is told each result as it comes, in the thread of the caller, and gives what has
            become possible: that begins before what still waits.

    Raises:
        BaseException: of a task or an interruption, after the processes were told to end and did.
    """
    waiting, children = deque(tasks), Children()
    going: set[Future[T]] = set()
    with ThreadPoolExecutor(max(1, parallel)) as pool:
        try:
            while waiting or going:
                while waiting and len(going) < max(1, parallel):
                    going.add(pool.submit(waiting.popleft(), children))
                done, going = wait(going, return_when=FIRST_COMPLETED)
                for future in done:
                    waiting.extendleft(reversed(list(then(future.result()))))
        finally:  # nothing is left to stop unless one of them failed
            children.stop()
