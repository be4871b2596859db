"""A scheme inside another program's process: what the embedded transport of the C library calls.

The same shared memory and messages as with a server; the call is made by the program itself, in the
thread that waits for it.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from coupler.config import parse_value
from coupler.driver.discovery import discover
from coupler.driver.serving import Request, makers, named
from coupler.exchange import groups, sockets
from coupler.exchange import protocol as p
from coupler.interface.errors import ConfigError, ExchangeError
from coupler.parallel import threads


def start(fd: int, what: str, settings: str) -> Callable[[], None]:
    """Builds a scheme for the client at the other end of a socket pair.

    Args:
        fd: our end; the client's greeting lies in it already.
        what: ``PROCESS=SCHEME``, or a bundle.
        settings: parameters of the scheme, ``"stress=0.004 wavelength=2e5"``.

    Returns:
        what computes the call that the client posted.

    Raises:
        CouplerError: when there is no such scheme, or client and scheme do not fit.
    """
    # The rank shares its node with others: one thread, unless ISTHMUS_THREADS says another number.
    threads.prepare()
    problems = discover()
    if problems:
        raise ConfigError(*problems)
    process, scheme = named(what)
    pairs = [word.partition("=") for word in settings.split()]
    parameters = {key: parse_value(value) for key, _, value in pairs}
    request = Request(process=process, scheme=scheme, parameters=parameters, base=str(Path.cwd()))
    make, _, _ = makers(request)
    # The client closes its own descriptor of our end.
    connection = socket.socket(fileno=os.dup(fd))
    found = sockets.receive(connection)
    if found is None or found[0] is not p.Kind.HELLO:
        raise ExchangeError.of("no greeting", what, expected="a HELLO as in docs/channel.md")
    _, payload, fds = found
    try:
        group = groups.Group(make(), [groups.greeting(connection, payload, fds)])
    finally:
        for one in fds:
            os.close(one)

    return group.answer
