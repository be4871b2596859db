"""Files whose finished records may wait in memory until a write is worth its while.

Opening a netCDF file, appending and syncing takes some 10 ms whatever the size of the record, which
is more than a month of a one-dimensional model. A file with patience collects records and writes
them together. With a `Background` a thread writes them while the run goes on. What is promised:
every finished record is on disk when a restart is, when the run ends for whatever reason that lets
it end, and in any case soon after `patience` seconds of wall time. A run that is killed loses only
what its newest restart makes again. Without patience a record is on disk, or on its way there, when
`append` returns.

Room on the disk is made sure of before a file is touched: the library may leave a file that nobody
can read when the disk is full in the middle of its writing, and all earlier records with it.
"""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path

from coupler.output.background import Background

_LIMIT = 32 * 2**20
"""Bytes that may wait."""
_MARGIN = 4 * 2**20
"""Room for what a file needs beside its records [bytes]: chunks that begin, trees, headers."""


class PatientFile(ABC):
    """Appends records now or a little later."""

    def __init__(
        self, path: Path, patience: float = 0.0, background: Background | None = None
    ) -> None:
        """Begins with nothing waiting.

        Args:
            path: of the file.
            patience: shortest wall time from one write to the next [s].
            background: who writes; None: whoever appends.
        """
        self.path = Path(path)
        self._patience, self._written = patience, -float("inf")
        self._background = background
        self._sizes: list[int] = []
        """Bytes of each record that waits."""
        self._asked = False
        """Whether the thread has been asked to write."""

    def flush(self) -> None:
        """Writes what waits; it is on disk when this returns.

        Raises:
            OSError: when there is no room for it; the file is as it was.
        """
        if self._background is not None:
            self._background.drain()
        self._asked = False
        self._write()

    def flush_soon(self) -> None:
        """Has what waits written; before anything that the thread is asked for after this."""
        if self._background is None:
            self._write()
        elif self._sizes and not self._asked:
            self._asked = True
            self._background.do(self._write_as_asked)

    def flush_if_due(self) -> None:
        """Writes what waits if the last write was long enough ago. Cheap if nothing does."""
        if not self._sizes:
            return
        full = sum(self._sizes) > _LIMIT
        if full or time.monotonic() - self._written >= self._patience:
            if full and self._asked and self._background is not None:
                self._background.drain()  # the disk is slower than the run
            self.flush_soon()

    def _write_as_asked(self) -> None:
        self._asked = False  # what is appended from now on has to be asked for again
        self._write()

    def _write(self) -> None:
        """Writes the records that are there now; more may be appended meanwhile."""
        count = len(self._sizes)
        if not count:
            return
        reserve(self.path, 2 * sum(self._sizes[:count]) + _MARGIN)
        try:
            self._write_waiting(count)
        except RuntimeError as error:  # of the library, which does not know why
            raise OSError(errno.EIO, str(error), str(self.path)) from error
        del self._sizes[:count]
        self._written = time.monotonic()

    def _wait(self, size: int) -> None:
        """Notes that a record of `size` bytes waits from now on."""
        self._sizes.append(size)
        self.flush_if_due()

    @abstractmethod
    def _write_waiting(self, count: int) -> None:
        """Writes the first `count` of the records that wait, syncs, and forgets them."""


def reserve(path: Path, size: int) -> None:
    """Returns when there is room for `size` more bytes at the end of a file.

    The library cuts off what it does not use when it closes the file.

    Raises:
        OSError: when there is not; the file is as it was.
    """
    with path.open("r+b") as file:
        before = os.fstat(file.fileno()).st_size
        try:
            os.posix_fallocate(file.fileno(), before, size)
        except OSError as error:
            file.truncate(before)
            raise OSError(error.errno, os.strerror(error.errno or 0), str(path)) from error
