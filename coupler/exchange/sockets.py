"""Unix-domain sockets of one user: where they lie, who may connect, and what a stale one is."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
import struct
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from coupler.exchange import protocol as p
from coupler.interface.errors import ExchangeError

_LONGEST_PATH = 100
"""Bytes; the system's limit is 108."""
BACKLOG = 128
NO_SERVER, HUNG_UP = "no server", "the server hung up"
"""What is wrong when there is nobody to talk to."""


def runtime_folder() -> Path:
    """A folder that only this user can enter, for sockets.

    Raises:
        ExchangeError: when somebody else made a folder in its place.
    """
    given = os.environ.get("XDG_RUNTIME_DIR", "")
    base = Path(given) if given and Path(given).is_dir() else Path(tempfile.gettempdir())
    path = base / ("isthmus" if given and base == Path(given) else f"isthmus-{os.getuid()}")
    path.mkdir(mode=0o700, exist_ok=True)
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise ExchangeError.of(
            "a runtime folder that others can change",
            str(path),
            expected=f"a folder of user {os.getuid()} with mode 0700",
            found=f"mode {stat.S_IMODE(found.st_mode):04o}, user {found.st_uid}",
            remedy="remove it, or give another one as XDG_RUNTIME_DIR",
        )
    return path


@contextmanager
def _reachable(path: Path) -> Iterator[str]:
    """An address of a socket file, also where its path is longer than the system takes."""
    if len(os.fsencode(path)) <= _LONGEST_PATH:
        yield str(path)
        return
    folder = os.open(path.parent, os.O_PATH)
    try:
        yield f"/proc/self/fd/{folder}/{path.name}"
    finally:
        os.close(folder)


def listen(path: Path) -> socket.socket:
    """A listening socket at a path; one that a dead server left there is replaced.

    Raises:
        ExchangeError: when a server answers there, or something else is in its place.
    """
    if not path.parent.is_dir():
        raise ExchangeError.of(
            "no folder for the socket", str(path), remedy="make it, or name another --socket"
        )
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        # Of two servers that find the same stale socket, one at a time may replace it.
        fcntl.flock(folder, fcntl.LOCK_EX)
        _make_room(path)
        server = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.fchmod(server.fileno(), 0o600)
        # Bound beside its place and renamed: who sees it can connect.
        beside = path.with_name(f".{path.name}.{os.getpid()}")
        with _reachable(beside) as address:
            server.bind(address)
        server.listen(BACKLOG)
        beside.rename(path)
        return server
    except PermissionError as error:
        raise ExchangeError.of(
            "no permission for a socket", str(path), remedy="name another --socket"
        ) from error
    finally:
        os.close(folder)


def _make_room(path: Path) -> None:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise ExchangeError.of(
            "something else lies where the socket should be",
            str(path),
            expected="nothing, or a socket",
            remedy="remove it, or name another --socket",
        )
    if _answers(path):
        raise ExchangeError.of(
            "a server is there already",
            str(path),
            remedy="use it, stop it, or name another --socket",
        )
    path.unlink()  # a server died without taking it away


def _answers(path: Path) -> bool:
    """Whether somebody listens at a socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as probe, _reachable(path) as address:
        probe.setblocking(False)
        number = probe.connect_ex(address)
    return number != errno.ECONNREFUSED


def connect(path: Path) -> socket.socket:
    """A connection to the server at a path.

    Raises:
        ExchangeError: when there is none, or it belongs to another user.
    """
    try:
        found = path.lstat()
    except OSError as error:
        raise ExchangeError.of(
            NO_SERVER,
            str(path),
            expected="the socket of a running server",
            found="no such file",
            remedy="start one with isthmus serve --socket",
        ) from error
    if not stat.S_ISSOCK(found.st_mode):
        raise ExchangeError.of(
            NO_SERVER, str(path), expected="a socket", found="a file of another kind"
        )
    _refuse_stranger(str(path), found.st_uid)
    client = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    try:
        with _reachable(path) as address:
            client.connect(address)
        _refuse_stranger(str(path), peer(client))
    except OSError as error:
        client.close()
        if error.errno == errno.ECONNREFUSED:
            raise ExchangeError.of(
                NO_SERVER,
                str(path),
                expected="the socket of a running server",
                found="a socket that a dead server left behind",
                remedy="start one with isthmus serve --socket; it takes the place",
            ) from error
        raise ExchangeError.of(
            "cannot connect", str(path), found=error.strerror or str(error)
        ) from error
    except ExchangeError:
        client.close()
        raise
    return client


def peer(connection: socket.socket) -> int:
    """User at the other end."""
    raw = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    return int(struct.unpack("3i", raw)[1])


def _refuse_stranger(name: str, uid: int) -> None:
    if uid != os.getuid():
        raise ExchangeError.of(
            "a socket of another user",
            name,
            expected=f"user {os.getuid()}",
            found=f"user {uid}",
            remedy="start a server of your own",
        )


def send(
    connection: socket.socket, kind: p.Kind, payload: bytes = b"", fds: tuple[int, ...] = ()
) -> None:
    """Sends a message, with descriptors."""
    socket.send_fds(connection, [p.message(kind, payload)], fds)


RING = p.message(p.Kind.RING)


def ring(connection: socket.socket) -> None:
    """Wakes the other side up.

    Raises:
        OSError: when nobody is there, or it has rings enough.
    """
    connection.send(RING)


def rang(connection: socket.socket) -> bool:
    """Takes one ring; False at the end of the connection.

    Raises:
        ExchangeError: for another message, or what is none.
        BlockingIOError: when nothing came.
    """
    data = connection.recv(p.LONGEST)
    if data == RING or not data:
        return bool(data)
    kind, payload = p.opened(data)
    raise ExchangeError.of(
        "a message out of turn",
        "channel",
        expected="one greeting, then rings",
        found=kind.name.lower(),
        remedy=payload.decode(errors="replace") if kind is p.Kind.REFUSED else "",
    )


def receive(connection: socket.socket) -> tuple[p.Kind, bytes, list[int]] | None:
    """The next message with its descriptors; None at the end.

    Raises:
        ExchangeError: for what is no message.
        BlockingIOError: when there is none yet on a connection that does not block.
    """
    data, fds, _, _ = socket.recv_fds(connection, p.LONGEST, 4, socket.MSG_CMSG_CLOEXEC)
    try:
        if not data:
            return None
        kind, payload = p.opened(data)
    except ExchangeError:
        for fd in fds:
            os.close(fd)
        raise
    return kind, payload, fds
