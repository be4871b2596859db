"""One command on all ranks of a job: it speaks with one voice and ends everywhere.

Errors that the ranks agreed upon arrive on all of them; rank 0 prints them and every rank returns
the same status. Any other error leaves the rank that has it alone: it prints a report and ends the
whole job, for the others wait for it in an exchange and would do so for ever.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path

from coupler.parallel.mpi import Ranks

_MEETING = 30.0
"""How long a rank that failed waits for the others to fail too [s]."""
_TURN = 0.5
"""Wait of each rank for the report of the one before it [s]; the first report ends all."""


def as_one(ranks: Ranks, work: Callable[[], int]) -> int:
    """The status of `work`, called on every rank.

    Args:
        ranks: of the job.
        work: prints what is wrong and returns an exit status.
    """
    said = io.StringIO()
    with contextlib.ExitStack() as quiet:
        if ranks.rank:
            nowhere = quiet.enter_context(Path(os.devnull).open("w", encoding="utf-8"))
            quiet.enter_context(contextlib.redirect_stdout(nowhere))
            quiet.enter_context(contextlib.redirect_stderr(said))
        try:
            status = work()
        except BaseException:
            said.write(traceback.format_exc())
            _end(ranks, said.getvalue(), 1)
    if status and not ranks.meet(_MEETING):
        _end(ranks, said.getvalue(), status)
    return status


def _end(ranks: Ranks, report: str, status: int) -> None:
    time.sleep(_TURN * ranks.rank)
    if report:
        print(f"isthmus: rank {ranks.rank} of {ranks.size} failed\n{report}", file=sys.__stderr__)
        sys.__stderr__.flush() if sys.__stderr__ else None
    ranks.abort(status)
