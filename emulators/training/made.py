"""Where a bundle that is trained here comes from."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from coupler.interface.source import commit, software
from emulators.schema import Data, Provenance, Source


def provenance(fingerprint: str, sources: Sequence[Source], seed: int, recipe: Data) -> Provenance:
    """With what a bundle is made now: data, recipe, and the code, versions and time of this run.

    Args:
        fingerprint: of the data.
        sources: of the data.
        seed: of weights and order.
        recipe: what was asked for; it says what was given, without defaults.
    """
    return Provenance(
        fingerprint=fingerprint,
        sources=list(sources),
        seed=seed,
        commit=commit() or "unknown",
        date=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        recipe=recipe.model_dump(mode="json", exclude_unset=True),
        software=software("torch", "numpy"),
    )
