"""Targets of an answer that is held: means over the time until the next call.

A scheme that is dear is called rarely, and what it gives is held until it is called again. The best
thing to hold is not what is right at the call but the mean over all of that time, which can be made
of a recording with more calls.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from torch import Tensor

from coupler.interface.errors import DataError
from emulators.training.data import Columns


def calls_within(recording: Columns, seconds: float) -> int:
    """How many calls there are in some time.

    Raises:
        DataError: when calls are not evenly spaced, by a whole part of it.
    """
    apart = 86400.0 * np.diff(recording.days)
    many = round(seconds / apart[0]) if apart.size else 0
    # Half a second: a calendar's microseconds are rounded.
    if many < 1 or np.abs(apart - seconds / many).max() > 0.5:
        raise DataError.of(
            "calls that do not divide the time for which an answer is held",
            recording.source.file,
            expected=f"every call a whole part of {seconds:g} s after the one before",
            found=f"{apart.min():g} to {apart.max():g} s" if apart.size else "a single call",
            remedy="record with another interval of the process, or give another interval",
        )
    return many


def held(recording: Columns, seconds: float, names: Sequence[str]) -> Columns:
    """The same calls, `names` replaced by their means over the time for which they are held.

    The last calls are left out: not all of their time is recorded.

    Args:
        recording: the same columns at every call.
        seconds: from one call to the next.
        names: of the fluxes.

    Raises:
        DataError: for other columns at every call, calls that do not divide `seconds`, or fewer
            than it takes.
    """
    if not recording.fixed:
        raise DataError.of(
            "other columns at every call, of which no mean over time can be made",
            recording.source.file,
            expected="the same ones",
            remedy="say `columns: all` of the recording",
        )
    many = calls_within(recording, seconds)
    times, each = recording.times - many + 1, recording.n // recording.times
    if times < 1:
        raise DataError.of(
            "a recording shorter than the time for which an answer is held",
            recording.source.file,
            expected=f"at least {many} calls",
            found=str(recording.times),
            remedy="record more days",
        )

    def meant(values: Tensor) -> Tensor:
        runs = values.reshape(-1, recording.times, each).unfold(1, many, 1)
        return runs.mean(dim=-1).flatten(1)

    fields = {
        n: meant(v) if n in names else v[..., : times * each] for n, v in recording.fields.items()
    }
    return replace(
        recording,
        fields=fields,
        times=times,
        days=recording.days[:times],
        source=recording.source.model_copy(update={"times": times}),
    )
