"""Ranks of a job that compute one thing for the others: ``where: {surface: mpi}``.

The last ranks of the job are taken for this, one for each process or model, and the others are the
run. A service builds what it computes from the same case when the run greets it, and ends with the
run, with its status.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coupler.config import Case, validate
from coupler.driver import serving
from coupler.driver.discovery import discover, find_scheme
from coupler.driver.places import over_mpi, request_of
from coupler.exchange import answering
from coupler.exchange.letters import naps
from coupler.interface.component import Model, Tendency
from coupler.interface.errors import ConfigError
from coupler.parallel.mpi import Ranks, Served
from coupler.where import MODELS

_PATIENCE = 10.0
"""Time for a service that still computes to come to an end [s]."""


def share_out(raw: Mapping[str, Any], ranks: Ranks) -> Ranks | Served:
    """What this rank of the job is, given the case as it was read.

    Without ranks enough all stay with the run, which will say so.
    """
    services = over_mpi(raw)
    if not services or len(services) >= ranks.size:
        return ranks
    return ranks.share_out(services)


def serve(served: Served, raw: Mapping[str, Any], base: Path) -> int:
    """Serves until the run ends; returns its status.

    Args:
        served: what and whom.
        raw: the case as it was read.
        base: folder that relative names of the case are relative to.
    """
    # A run that is asked to stop finishes its step, for which it needs us.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    return answering.serve(served.clients, lambda: build(served.name, raw, base))


def build(name: str, raw: Mapping[str, Any], base: Path) -> Tendency | Model:
    """The component of a process or model of the case.

    Raises:
        CouplerError: when there is none.
    """
    case, problems = validate(raw)
    if case is not None:
        problems += discover(case.plugins, base)
    if case is None or problems:
        raise ConfigError(*problems)
    return _model(case, base, name) if name in MODELS else _scheme(case, base, name)


def _scheme(case: Case, base: Path, name: str) -> Tendency:
    make, _, _ = serving.makers(request_of(case, base, name))
    return make()


def _model(case: Case, base: Path, name: str) -> Model:
    choice = getattr(case, name)
    cls = find_scheme(name, choice.scheme, base, choice.parameters)
    model = cls(cls.Parameters.model_validate(choice.parameters))
    if not isinstance(model, Model):
        raise ConfigError.of("not a model", f"{name}={choice.scheme}")
    return model


def dismiss(ranks: Ranks, status: int) -> None:
    """Tells all services how the run ended, and ends the job where one does not want to know."""
    for peer in ranks.services.values():
        peer.tell((answering.END, status))
    until, sleep = time.monotonic() + _PATIENCE, naps()
    while not all(peer.heard() for peer in ranks.services.values()):
        if time.monotonic() > until:
            ranks.abort(status or 1)
        next(sleep)
    for peer in ranks.services.values():
        peer.hear()
