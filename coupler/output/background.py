"""Files are written by a thread of the run while the model goes on.

Tasks are worked off one at a time and in their order, so that a restart never stands on the disk
before the records that it follows. After an error nothing more is begun until the run has heard of
it. The thread ends when nothing is left to do; it does not call MPI.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

Task = Callable[[], None]
_ROOM = 8 * 2**20
"""Bytes that may wait for the thread before more is handed over; one array always may."""


class Background:
    """The thread and what it has to do."""

    def __init__(self) -> None:
        """Begins with nothing to do, and without a thread."""
        self._tasks: deque[tuple[Task, int]] = deque()
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._waiting = 0
        self._error: BaseException | None = None

    def do(self, task: Task, size: int = 0) -> None:
        """Has a task done soon.

        Args:
            task: speaks to files only; an error of it is raised by `check` or `drain`.
            size: bytes that it keeps in memory until then.
        """
        with self._changed:
            self._tasks.append((task, size))
            self._waiting += size
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="isthmus-files")
                self._thread.start()

    @property
    def has_room(self) -> bool:
        """Whether more memory may be handed over."""
        return self._waiting < _ROOM

    @property
    def idle(self) -> bool:
        """Whether everything is done."""
        return self._thread is None

    def check(self) -> None:
        """Raises what went wrong, once."""
        if self._error is not None:
            self.wait()
            with self._changed:
                error, self._error = self._error, None
            if error is not None:
                raise error

    def wait(self) -> None:
        """Returns when nothing is left to do, or nothing more is done after an error."""
        with self._changed:
            self._changed.wait_for(lambda: self._thread is None)

    def drain(self) -> None:
        """The same, and raises what went wrong."""
        self.wait()
        self.check()

    def _work(self) -> None:
        while True:
            with self._changed:
                if self._error is not None:
                    self._tasks.clear()
                    self._waiting = 0
                if not self._tasks:
                    self._thread = None
                    self._changed.notify_all()
                    return
                task, size = self._tasks.popleft()
            try:
                task()
            except BaseException as error:  # raised where the run looks
                self._error = error
            del task
            with self._changed:
                self._waiting -= size if self._waiting else 0
