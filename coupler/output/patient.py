"""Files whose finished records may wait in memory until a write is worth its while.

Opening a netCDF file, appending and syncing takes some 10 ms whatever the size of the record, which
is more than a month of a one-dimensional model. A file with patience collects records and writes
them together. What is promised: every finished record is on disk when a restart is written, when
the run ends for whatever reason that lets it end, and in any case soon after `patience` seconds of
wall time. A run that is killed loses only what its newest restart makes again. Without patience a
record is on disk when `append` returns.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

_LIMIT = 32 * 2**20
"""Bytes that may wait."""


class PatientFile(ABC):
    """Appends records now or a little later."""

    def __init__(self, patience: float = 0.0) -> None:
        """Begins with nothing waiting.

        Args:
            patience: shortest wall time from one write to the next [s].
        """
        self._patience, self._written, self._waiting = patience, -float("inf"), 0

    def flush(self) -> None:
        """Writes what waits; it is on disk when this returns."""
        if self._waiting:
            self._write_waiting()
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
