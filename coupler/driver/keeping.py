"""What a run keeps of its state: copies in memory for the case of a blow-up, restarts on disk.

A restart is made of a copy in memory, so that the model goes on while it is written; it is handed
over array by array (`restart.Writing`).
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coupler.driver.files import Files
from coupler.driver.state import Memory, Snapshot
from coupler.interface.component import Array
from coupler.interface.errors import CouplerError
from coupler.interface.parallel import Parallel
from coupler.output import restart
from coupler.parallel.agreement import from_first, together

_ALL = 2**31
"""More restarts than there are."""


class Keeping:
    """The last states of one run from which it can go on."""

    def __init__(
        self,
        memory: Memory,
        files: Files,
        folder: Path,
        keep: int,
        age: int,
        parallel: Parallel,
    ) -> None:
        """Keeps the present state.

        Args:
            memory: of the run.
            files: its output files.
            folder: of its restarts.
            keep: how many of them.
            age: steps for which more of them are kept.
            parallel: the ranks of the run.
        """
        self._memory, self._files, self._folder = memory, files, folder
        self._keep, self._age, self._parallel = keep, age, parallel
        self._good: deque[Snapshot] = deque([memory.take()], maxlen=2)
        self._writing: restart.Writing | None = None
        """A restart of which not all is handed over yet."""
        self._written: Snapshot | None = None
        """What the newest such restart is made of."""

    def remember(self) -> None:
        """Copies the state, in the memory of the oldest copy."""
        oldest = self._good.popleft() if len(self._good) == self._good.maxlen else None
        self._good.append(self._memory.take(oldest))

    def copies(self, part: str) -> list[Mapping[str, Array]]:
        """What the memory of a part was, the newest first."""
        return [snapshot.memories[part] for snapshot in reversed(self._good)]

    def checkpoint(self) -> None:
        """Begins to write a restart of the present state."""
        self.finish()
        self._files.flush_soon()  # a restart must find all that is before it
        self._written = self._memory.take(self._written)
        how = self._of(self._written)
        self._writing = restart.Writing(**how, background=self._files.background)
        self.advance()

    def advance(self) -> None:
        """Hands the next arrays over to who writes them; called by all ranks after each step."""
        if self._writing is not None:
            self._writing.advance()
            if self._writing.handed_over:
                self._writing = None

    def finish(self) -> None:
        """Returns when the restart that is on its way is on disk.

        Raises:
            OSError: when it, or something else, could not be written.
        """
        if self._writing is not None:
            self._writing.rest()
            self._writing = None
        together(self._parallel, self._files.background.drain)

    def save(self) -> Path:
        """Writes a restart of the present state."""
        self.finish()
        return self._save(self._memory.take())

    def keep(self) -> Path:
        """Restart of the newest state from which a run goes on without a gap in its output.

        One on disk is such: all records before it were written first. The copy in memory may be
        newer, but where records could not be written (a full disk) those before it are lost.
        """
        self._give_up()
        good = self._good[-1]
        found = from_first(self._parallel, self._newest_on_disk)
        if found is not None and (found[0] >= good.moment.step or not self._flushed()):
            return found[1]
        return self._save(good)

    def go_back(self) -> Path:
        """Makes the older copy the newest restart, which is what ``--resume`` takes.

        The newer one may hold what went wrong but did not show yet.
        """
        self._give_up()
        good = self._good[0]
        path = self._save(good, _ALL)  # what is there goes when this one is whole
        if self._parallel.rank == 0:
            restart.remove_after(self._folder, good.moment.step)
        return path

    def _give_up(self) -> None:
        """As `finish` where something went wrong already: what else does is of no interest."""
        with contextlib.suppress(OSError, CouplerError):
            self.finish()

    def _save(self, snapshot: Snapshot, keep: int | None = None) -> Path:
        return restart.write(**self._of(snapshot, keep))

    def _of(self, snapshot: Snapshot, keep: int | None = None) -> dict[str, Any]:
        return {
            "folder": self._folder,
            "memories": snapshot.memories,
            "moment": snapshot.moment,
            "keep": self._keep if keep is None else keep,
            "young": snapshot.moment.step - self._age if self._age else None,
            "spread": self._memory.spread() if self._parallel.size > 1 else {},
            "parallel": self._parallel,
        }

    def _newest_on_disk(self) -> tuple[int, Path] | None:
        try:
            found = restart.newest_good(self._folder, case=self._memory.fingerprint)
        except CouplerError:
            return None
        return found.moment.step, found.path

    def _flushed(self) -> bool:
        """Whether all finished records are on disk."""
        failed = 0
        try:
            self._files.flush_own()
        except (OSError, RuntimeError):
            failed = 1
        return not self._parallel.most(failed)
