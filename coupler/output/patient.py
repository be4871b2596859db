"""Files whose finished records may wait in memory until a write is worth its while.

Opening a netCDF file, appending and syncing takes some 10 ms whatever the size of the record, which
is more than a month of a one-dimensional model. A file with patience collects records and writes
them together. What is promised: every finished record is on disk when a restart is written, when
the run ends for whatever reason that lets it end, and in any case soon after `patience` seconds of
wall time. A run that is killed loses only what its newest restart makes again. Without patience a
record is on disk when `append` returns.

Room on the disk is made sure of before a file is touched: the library may leave a file that nobody
can read when the disk is full in the middle of its writing, and all earlier records with it.
"""

from __future__ import annotations

import errno
import os
import time
from abc import ABC, abstractmethod
from pathlib import Path

_LIMIT = 32 * 2**20
"""Bytes that may wait."""
_MARGIN = 4 * 2**20
"""Room for what a file needs beside its records [bytes]: chunks that begin, trees, headers."""


class PatientFile(ABC):
    """Appends records now or a little later."""

    def __init__(self, path: Path, patience: float = 0.0) -> None:
        """Begins with nothing waiting.

        Args:
            path: of the file.
            patience: shortest wall time from one write to the next [s].
        """
        self.path = Path(path)
        self._patience, self._written, self._waiting = patience, -float("inf"), 0

    def flush(self) -> None:
        """Writes what waits; it is on disk when this returns.

        Raises:
            OSError: when there is no room for it; the file is as it was.
        """
        if self._waiting:
            reserve(self.path, 2 * self._waiting + _MARGIN)
            try:
                self._write_waiting()
            except RuntimeError as error:  # of the library, which does not know why
                raise OSError(errno.EIO, str(error), str(self.path)) from error
            self._waiting = 0
            self._written = time.monotonic()

    def flush_if_due(self) -> None:
        """Writes what waits if the last write was long enough ago. Cheap if nothing does."""
        if self._waiting and (
            self._waiting > _LIMIT or time.monotonic() - self._written >= self._patience
        ):
            self.flush()

    def _wait(self, size: int) -> None:
        """Notes that a record of `size` bytes waits from now on."""
        self._waiting += size
        self.flush_if_due()

    @abstractmethod
    def _write_waiting(self) -> None:
        """Writes all that waits, syncs, and forgets it."""


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
