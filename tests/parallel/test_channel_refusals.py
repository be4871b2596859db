"""Who and what is turned away from a channel, in one sentence each, by real processes.

The server that all of it is done to lives on and answers at the end.
"""

from __future__ import annotations

import os
import socket
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from channel_tools import (
    NCOL,
    Serving,
    call,
    columns,
    hello,
    inline,
    serving,
)

from coupler.exchange import protocol as p
from coupler.exchange import shared, sockets
from coupler.exchange.channel import Channel
from coupler.interface.errors import ExchangeError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("faults") / "s.sock") as found:
        yield found
        assert found.process.poll() is None  # it survived everything below
        call(found.client(), columns())


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Serving]:
    """A server that a test may kill."""
    with serving(tmp_path / "s.sock") as found:
        yield found


def refused(server: Serving, match: str, **other: Any) -> None:
    greeting = hello(**other)
    static = {n: np.zeros(greeting.ncol) for n in greeting.static}
    with pytest.raises(ExchangeError, match=match):
        Channel.open(sockets.connect(server.path), greeting, static, deadline=20.0)


# -- who may connect, and who is there --------------------------------------------------------


def test_a_socket_without_a_server_is_said_to_be_one(tmp_path: Path) -> None:
    with pytest.raises(ExchangeError, match=r"no server: .*; found no such file; start one with"):
        sockets.connect(tmp_path / "none.sock")
    (tmp_path / "file").write_text("")
    with pytest.raises(ExchangeError, match=r"no server: .*found a file of another kind"):
        sockets.connect(tmp_path / "file")
    with pytest.raises(ExchangeError, match=r"something else lies where the socket should be"):
        sockets.listen(tmp_path / "file")
    with pytest.raises(ExchangeError, match=r"no folder for the socket"):
        sockets.listen(tmp_path / "nowhere" / "s.sock")


def test_a_stale_socket_is_named_by_the_client_and_replaced_by_a_server(own: Serving) -> None:
    with pytest.raises(ExchangeError, match=r"a server is there already"):
        sockets.listen(own.path)
    own.kill()
    assert own.path.exists()
    with pytest.raises(ExchangeError, match=r"a socket that a dead server left behind"):
        sockets.connect(own.path)
    sockets.listen(own.path).close()


def test_another_user_is_turned_away_on_both_sides(
    server: Serving, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a second user where we may become one (root in a container), else by another identity."""
    if os.getuid() == 0:
        lines = (
            "import os, socket, sys",
            "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
            "os.setuid(65534)",
            "s.bind(sys.argv[1]); s.listen(); print('there', flush=True); sys.stdin.read()",
        )
        folder = Path("/tmp") / f"isthmus-test-{os.getpid()}"
        folder.mkdir(mode=0o777)
        folder.chmod(0o777)
        stranger = subprocess.Popen(
            [sys.executable, "-c", "\n".join(lines), str(folder / "s.sock")],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert stranger.stdout is not None
        assert stranger.stdout.readline() == "there\n"
        try:
            with pytest.raises(
                ExchangeError, match=r"a socket of another user: .*found user 65534"
            ):
                sockets.connect(folder / "s.sock")
        finally:
            stranger.communicate()
            (folder / "s.sock").unlink()
            folder.rmdir()
    me = os.getuid()
    monkeypatch.setattr(os, "getuid", lambda: me + 1)
    with pytest.raises(ExchangeError, match=r"a socket of another user"):
        sockets.connect(server.path)


def test_a_client_of_another_user_is_turned_away_by_the_server(server: Serving) -> None:
    if os.getuid() != 0:
        # Nobody else can even reach it: the socket has mode 0600.
        assert server.path.stat().st_mode & 0o777 == 0o600
        return
    lines = (
        "import os, socket, sys",
        "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)",
        "os.setuid(65534)",
        "s.connect(sys.argv[1])",
        "print(s.recv(1000)[16:].decode())",
    )
    # Let in as far as the file system goes, which is further than it is by default.
    for folder in (server.path, *server.path.parents):
        if str(folder).startswith("/tmp/") or folder == server.path:
            folder.chmod(0o777)
    said = subprocess.run(
        [sys.executable, "-c", "\n".join(lines), str(server.path)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert said.stdout.startswith("a client of another user: gravity_wave; expected user 0"), said


def test_a_runtime_folder_that_others_can_change_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    assert sockets.runtime_folder() == tmp_path / "isthmus"
    assert (tmp_path / "isthmus").stat().st_mode & 0o777 == 0o700
    (tmp_path / "isthmus").chmod(0o777)
    with pytest.raises(ExchangeError, match=r"a runtime folder that others can change.*mode 0777"):
        sockets.runtime_folder()
    (tmp_path / "isthmus").rmdir()
    (tmp_path / "isthmus").symlink_to("/tmp")
    with pytest.raises(ExchangeError, match=r"a runtime folder that others can change"):
        sockets.runtime_folder()


# -- what is said -----------------------------------------------------------------------------


def answer(connection: socket.socket) -> str:
    """The refusal on a connection, which is closed after it."""
    connection.settimeout(20.0)
    data = connection.recv(p.LONGEST)
    assert p.opened(data)[0] is p.Kind.REFUSED
    assert connection.recv(16) == b""
    connection.close()
    return data[p.HEADER.size :].decode()


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "not the channel protocol: channel; expected a message as in "),
        (b"\0", "found 1 bytes"),
        (p.HEADER.pack(p.MAGIC, 1, 77, 0, 0), "found a message of kind 77"),
        (p.HEADER.pack(p.MAGIC, 1, 1, 9, 0), "found 0 bytes of payload where 9 were announced"),
        (
            p.message(p.Kind.HELLO, hello().pack(), version=2),
            "another version of the channel protocol: channel; expected version 1; found version 2",
        ),
        (p.message(p.Kind.HELLO, b"hi"), "a greeting that makes no sense"),
        (p.message(p.Kind.HELLO, hello().pack() + b"x"), "where the counts give"),
        (p.message(p.Kind.HELLO, b"\xff" * 320), "a greeting that makes no sense"),
        (p.message(p.Kind.RING), "a message out of turn: gravity_wave; expected one greeting"),
        (p.message(p.Kind.WELCOME), "a message out of turn"),
        (p.message(p.Kind.HELLO, hello().pack()), "static fields without their file: lat"),
    ],
)
def test_a_client_that_talks_nonsense_is_told_so(
    server: Serving, data: bytes, sentence: str
) -> None:
    connection = sockets.connect(server.path)
    connection.send(data)
    assert sentence in answer(connection)


def test_a_server_that_talks_nonsense_is_not_believed(tmp_path: Path) -> None:
    def lie(*data: bytes) -> None:
        with listener.accept()[0] as client:
            client.recv(p.LONGEST)
            for d in data:
                client.send(d)
            time.sleep(0.1)

    lies = {
        "the server hung up: channel; found end of the connection": (),
        "expected a welcome with one file; found welcome with 0": (p.message(p.Kind.WELCOME),),
        "not the channel protocol": (b"hello there, friend",),
        "found version 9": (p.message(p.Kind.WELCOME, version=9),),
    }
    listener = sockets.listen(tmp_path / "s.sock")
    for match, data in lies.items():
        thread = threading.Thread(target=lie, args=data)
        thread.start()
        with pytest.raises(ExchangeError, match=match):
            Channel.open(sockets.connect(tmp_path / "s.sock"), hello(static=()), {})
        thread.join()
    with pytest.raises(ExchangeError, match=r"no answer to the greeting: .*within 0.2 s"):
        Channel.open(sockets.connect(tmp_path / "s.sock"), hello(static=()), {}, deadline=0.2)
    listener.close()


def test_a_client_that_says_nothing_or_too_much_disturbs_nobody(server: Serving) -> None:
    silent = sockets.connect(server.path)
    talker = server.client()
    channel = talker._channel
    assert channel is not None
    for _ in range(500):
        try:
            sockets.send(channel._socket, p.Kind.RING)
        except BlockingIOError:  # it has other things to do
            break
    np.testing.assert_array_equal(
        call(server.client(), columns())["ta"], call(inline(), columns())["ta"]
    )
    call(talker, columns())
    silent.close()


def test_shared_memory_that_is_not_a_channels_is_refused() -> None:
    bare = os.memfd_create("bare", os.MFD_ALLOW_SEALING)
    os.ftruncate(bare, 8192)
    with pytest.raises(ExchangeError, match=r"shared memory that is not a channel's.*seals 0x0"):
        shared.Shared(bare)
    good = shared.create([], [3], nlev=2, real=4, process="a", scheme="b")
    with pytest.raises(PermissionError):  # nobody takes pages away under the other
        os.ftruncate(good, 0)
    os.pwrite(good, struct.pack("<I", 2), 8)
    with pytest.raises(ExchangeError, match=r"not a channel's.*expected a sealed file, version 1"):
        shared.Shared(good)
    for fd in (bare, good):
        os.close(fd)


# -- what does not fit ------------------------------------------------------------------------

OFFERS = hello().offers


def offers(name: str, **other: Any) -> tuple[p.Offer, ...]:
    return tuple(replace(o, **other) if o.name == name else o for o in OFFERS)


def test_other_fields_than_the_servers_are_refused_with_both_sides(server: Serving) -> None:
    refused(
        server,
        r"a field that the client declares otherwise: pfull of gravity_wave=made_up; "
        r"expected input pfull \[hPa\] on levels; found input pfull \[Pa\] on levels",
        offers=offers("pfull", units="Pa"),
    )
    refused(
        server,
        r"expected flux xgwdparam \[Pa\] on interfaces; found flux xgwdparam \[Pa\] on levels",
        offers=offers("xgwdparam", dims=p.Dims.LEVEL),
    )
    refused(
        server,
        r"a field that the client does not have: ua of gravity_wave=made_up; expected input ua",
        offers=tuple(o for o in OFFERS if o.name != "ua"),
    )
    refused(
        server,
        r"a field that the scheme does not have: uaa of gravity_wave=made_up; .*'ua'",
        offers=(*OFFERS, replace(OFFERS[0], name="uaa")),
    )


def test_another_scheme_or_other_parameters_are_refused(server: Serving) -> None:
    refused(server, "the server has another process: .*expected radiation", process="radiation")
    refused(server, "the server has another scheme: .*expected ad99 .*found made_up", scheme="ad99")
    refused(server, "the server has another parameters or weights", fingerprint="0" * 64)


def test_columns_that_make_no_sense_are_refused(server: Serving) -> None:
    refused(server, "a greeting that makes no sense: .*0 columns", ncol=0, static=())
    refused(server, "7 columns in rows of 4", row=4)
    refused(server, "reals of 2 bytes", dtype=np.dtype("f2"))
    refused(server, "member 3 of 2", members=2, member=3)
    refused(server, "impossible levels|not increasing downward", a=[0.0] * 6, b=[0.5] * 6)
    refused(server, "unknown constant: planet.gravty; did you mean 'gravity'", planet={"gravty": 9})
    refused(server, "no memory for a channel: .*134217728 columns", ncol=2**27, static=())


def test_a_static_file_of_another_size_is_refused(server: Serving) -> None:
    connection = sockets.connect(server.path)
    short = shared.static_file([np.zeros(NCOL - 1)])
    sockets.send(connection, p.Kind.HELLO, hello().pack(), (short,))
    os.close(short)
    assert "a file of static fields of another size: lat; expected 56 bytes; found 48" in answer(
        connection
    )


def test_no_memory_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any) -> None:
        raise OSError(12, "Cannot allocate memory")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(ExchangeError, match=r"no memory for a channel: a=b; .*Cannot allocate"):
        shared.create([], [3], nlev=2, real=4, process="a", scheme="b")


# -- groups -----------------------------------------------------------------------------------


def joining(server: Serving, **other: Any) -> socket.socket:
    connection = sockets.connect(server.path)
    greeting = hello(group="g", static=(), **other)
    sockets.send(connection, p.Kind.HELLO, greeting.pack())
    return connection


def test_a_member_that_differs_is_refused_and_the_others_still_wait(server: Serving) -> None:
    first = joining(server, members=2, member=0)
    said = answer(joining(server, members=2, member=0))
    assert "a member that is there already: member 0" in said
    said = answer(joining(server, members=2, member=1, seed=4))
    assert said == (
        "a member that differs from its group: seed of member 1 of 'g'; expected 0; found 4"
    )
    # The scheme of this test wants latitudes; the group is complete and that is what is missing.
    second = joining(server, members=2, member=1)
    for connection in (first, second):
        assert "KeyError: 'lat'" in answer(connection)


def test_members_that_do_not_come_or_leave_are_named_to_the_others(server: Serving) -> None:
    first, second = (joining(server, members=3, member=i) for i in (0, 2))
    said = answer(first)
    assert said == (
        "members of a group that did not come: g; expected 3 within 2 s; found no member 1"
    )
    assert answer(second) == said
    first, second = (joining(server, members=3, member=i) for i in (0, 2))
    time.sleep(0.2)
    first.close()
    assert answer(second) == "a member left before its group was complete: g"
