"""``isthmus serve``: a scheme or bundle for any program on this node, and the workers of a run."""

from __future__ import annotations

import ctypes
import hashlib
import json
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError

from coupler.config import problems_of
from coupler.driver.discovery import bundle_path, bundle_process, discover, find_scheme
from coupler.exchange import sockets
from coupler.exchange.channel import SPIN
from coupler.exchange.server import Server
from coupler.interface.component import Component, Tendency
from coupler.interface.errors import ConfigError, CouplerError, nearest
from coupler.interface.registry import SCHEMES

_log = logging.getLogger(__name__)

_PR_SET_PDEATHSIG = 1


@dataclass(frozen=True, kw_only=True)
class Request:
    """What to serve."""

    process: str
    scheme: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    reference: Mapping[str, Any] | None = None
    """Scheme and parameters of an emulator's fallback."""
    plugins: Sequence[str] = ()
    base: str = ""
    spin: float = SPIN


def fingerprint(component: Component, reference: Component | None = None) -> str:
    """A digest of what decides the numbers: scheme, parameters, weights, fallback."""
    parts: list[Any] = []
    for c in (component, reference):
        if c is not None:
            bundle = getattr(c, "bundle", None)
            weights = bundle.spec.sha256 if bundle is not None else None
            parts.append([c.process, c.scheme, c.p.model_dump(), weights])
    text = json.dumps(parts, sort_keys=True, default=repr)
    return hashlib.sha256(text.encode()).hexdigest()


Maker = Callable[[], Tendency]


def _maker(process: str, scheme: str, parameters: Mapping[str, Any], base: Path) -> Maker:
    """What makes instances of a scheme, which share its weights."""
    cls = find_scheme(process, scheme, base, parameters)
    try:
        checked = cls.Parameters.model_validate(dict(parameters))
    except ValidationError as error:
        raise ConfigError(*problems_of(error, cls.Parameters, (process,))) from error
    if not issubclass(cls, Tendency):
        raise ConfigError.of(
            "cannot run in another process",
            f"{process}={scheme}",
            expected="a scheme that gives tendencies or fluxes",
            remedy="leave it inline",
        )
    return lambda: cls(checked)


def makers(request: Request) -> tuple[Maker, str, str]:
    """What makes the scheme with its fallback; its name and fingerprint.

    Raises:
        CouplerError: when there is no such scheme, or it cannot be served.
    """
    base = Path(request.base)
    own = _maker(request.process, request.scheme, request.parameters, base)
    first = own()
    if request.reference is None or not hasattr(first, "fallback"):
        return own, first.scheme, fingerprint(first)
    choice = request.reference
    other = _maker(request.process, choice["scheme"], choice["parameters"], base)

    def make() -> Tendency:
        made: Any = own()
        made.fallback = other()
        return cast(Tendency, made)

    return make, first.scheme, fingerprint(first, other())


def worker(lifeline_fd: int) -> int:
    """A worker of a run: serves what it is told over the lifeline, and ends with it."""
    lifeline = socket.socket(fileno=lifeline_fd)
    try:
        told = json.loads(lifeline.recv(1 << 20) or b"null")
        if told is None:
            return 0  # the run is gone before it said anything
        # A run that is asked to stop finishes its step, for which it needs us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        parent = told.pop("parent")
        if parent:
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            if os.getppid() != parent:
                return 0
        listener = socket.socket(fileno=told.pop("listener"))
        request = Request(**told)
        problems = discover(request.plugins, Path(request.base))
        if problems:
            raise ConfigError(*problems)
        _server(listener, request, lifeline=lifeline).run()
    except CouplerError as error:
        print("; ".join(map(str, error.problems)), file=sys.stderr)
        return 2
    return 0


def _server(
    listener: socket.socket, request: Request, *, lifeline: socket.socket | None = None
) -> Server:
    make, scheme, digest = makers(request)
    return Server(
        listener,
        make,
        process=request.process,
        scheme=scheme,
        fingerprint=digest,
        spin=request.spin,
        lifeline=lifeline,
    )


def serve(
    what: str,
    *,
    path: Path | None,
    parameters: Mapping[str, Any],
    fallback: str | None,
    plugins: Sequence[str],
    spin: float,
    lifeline: int | None = None,
) -> int:
    """Serves a scheme until it is told to stop.

    Args:
        what: ``PROCESS=SCHEME``, a bundle, or a scheme whose name says enough.
        path: of the socket; None for one in the user's runtime folder.
        parameters: of the scheme.
        fallback: scheme that takes over an emulator's columns.
        plugins: Python files with schemes.
        spin: how long to look for the next call before sleeping [s].
        lifeline: descriptor of a connection at whose end this server ends too.

    Raises:
        CouplerError: when there is no such scheme, or no such socket can be made.
    """
    logging.basicConfig(level=logging.INFO, format="isthmus serve: %(message)s", force=True)
    problems = discover(plugins, Path())
    if problems:
        raise ConfigError(*problems)
    process, scheme = named(what)
    request = Request(
        process=process,
        scheme=scheme,
        parameters=parameters,
        reference={"scheme": fallback, "parameters": {}} if fallback else None,
        spin=spin,
    )
    if fallback and not hasattr(makers(request)[0](), "fallback"):
        raise ConfigError.of(
            "a fallback for a scheme that never hands over", what, remedy="leave --fallback out"
        )
    if path is None:
        path = sockets.runtime_folder() / f"{process}-{Path(scheme).name.replace(':', '-')}.sock"
    listener = sockets.listen(path)
    ours = path.stat().st_ino
    end = None if lifeline is None else socket.socket(fileno=lifeline)
    server = _server(listener, request, lifeline=end)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: server.stop())
    print(f"ready: {process}={server.scheme} at {path}", flush=True)
    try:
        server.run()
    finally:
        # Unless somebody took it away and put another there.
        if path.exists() and path.stat().st_ino == ours:
            path.unlink()
    return 0


def named(what: str) -> tuple[str, str]:
    """Process and scheme of what a user names.

    Raises:
        ConfigError: when nothing, or more than one thing, has that name.
    """
    process, equals, scheme = what.partition("=")
    if equals:
        return process, scheme
    folder = None if ".py:" in what else bundle_path(what, Path())
    if folder is not None:
        return bundle_process(folder), what
    found = [p for p, schemes in SCHEMES.items() if what in schemes]
    if len(found) == 1:
        return found[0], what
    every = {s for schemes in SCHEMES.values() for s in schemes}
    raise ConfigError.of(
        "several schemes with this name" if found else "no such scheme or bundle",
        what,
        expected="PROCESS=SCHEME, or a bundle's folder or name",
        remedy="write " + " or ".join(f"{p}={what}" for p in found)
        if found
        else nearest(what, sorted(every)),
    )
