"""What a host gets when something is wrong: a status and a sentence in time, and its policy."""

from __future__ import annotations

import ctypes
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from c_library import (
    ARGUMENT,
    CALLBACK,
    COLUMNS,
    FAILED,
    FALLBACK,
    FIELD,
    GONE,
    HOLD,
    LATE,
    LEVELS,
    NCOL,
    NLEV,
    NO_SERVER,
    NOT_FINITE,
    OK,
    ORDER,
    PENDING,
    REFUSED,
    STOP,
    VERSION,
    ZERO,
    Info,
    Mirrored,
    Server,
    Session,
    environment,
    until,
)
from served import INFINITE, RAISE, SLOW

from coupler.exchange import protocol as p

PROMPT = 2.0
"""Longest time to a status [s]."""


@pytest.fixture
def open_session(library: Any, server: Path) -> Iterator[Session]:
    s = Session(library, server)
    yield s
    s.close()


# -- declarations -----------------------------------------------------------------------------

GOOD = np.zeros((NCOL, NLEV), order="F")


@pytest.mark.parametrize(
    ("name", "units", "array", "layout", "said"),
    [
        ("uaa", "m s-1", GOOD, 0, "unknown field: uaa of test_bridge=mirror; it has input ua [m"),
        ("flux ua", "Pa", GOOD, 0, "unknown field: flux ua of test_bridge=mirror"),
        ("ua", "km h-1", GOOD, 0, "another unit: ua; expected 'm s-1'; found 'km h-1'"),
        (
            "ua",
            "m s-1",
            np.zeros((NCOL, NLEV + 1)),
            0,
            "another shape: ua; expected (15, 7) or (7, 15), columns and levels, or (lon, lat, 7) "
            "or (7, lon, lat); found (15, 8)",
        ),
        ("ua", "m s-1", GOOD, LEVELS, "found (15, 7), levels first"),
        ("ua", "m s-1", GOOD.T, COLUMNS, "found (7, 15), columns first"),
        ("ps", "Pa", GOOD, 0, "another shape: ps; expected (15) or (lon, lat)"),
        ("ua", "m s-1", np.zeros((NCOL, NLEV), np.int32), 0, "another kind: ua; expected an array"),
        ("", "m s-1", GOOD, 0, "not the name of a field: ''"),
        ("u" * 49, "m s-1", GOOD, 0, "not the name of a field: 'uuu"),
        ("ua", "m" * 30, GOOD, 0, "a unit that is too long"),
    ],
)
def test_a_wrong_field_is_refused_with_both_sides(
    open_session: Session, name: str, units: str, array: Any, layout: int, said: str
) -> None:
    status = open_session.declare(name, units, array, layout)
    assert status in (-FIELD, -ARGUMENT)
    assert said in open_session.error


def test_axes_that_could_be_either_have_to_be_named(library: Any, server: Path) -> None:
    s = Session(library, server, ncol=NLEV)
    square = np.zeros((NLEV, NLEV))
    assert s.declare("ua", "m s-1", square) == -FIELD
    assert "could be columns or levels: ua (7, 7)" in s.error
    assert s.declare("ua", "m s-1", square, LEVELS) == OK
    s.close()


def test_all_fields_of_a_scheme_can_be_listed(open_session: Session) -> None:
    found, info = {}, Info()
    open_session.declare("ua", "m s-1", GOOD)
    lib, handle = open_session.lib, open_session.handle
    while lib.isthmus_field(handle, len(found), ctypes.byref(info)) == OK:
        found[info.role.decode(), info.name.decode()] = (info.rows, info.declared)
    assert found["input", "ua"] == (NLEV, 1)
    assert found["flux", "xgwdparam"] == (NLEV + 1, 0)
    assert found["diagnostic", "prc"] == (1, 0)
    assert len(found) == 7
    assert "no field 7" in open_session.error


def test_a_missing_input_and_upside_down_levels_are_said_at_the_first_call(
    library: Any, tmp_path: Path, open_session: Session
) -> None:
    assert open_session.run() == -FIELD
    assert "an input that was not declared: ua [m s-1]" in open_session.error
    with_pressure = Server(tmp_path / "s.sock", "gravity_wave=ad99")
    s = Session(library, with_pressure.socket, nlev=9, lat=np.linspace(-60.0, 60.0, NCOL))
    half = np.repeat(np.linspace(1e5, 10.0, 10)[None], NCOL, axis=0)
    full = 0.5 * (half[:, 1:] + half[:, :-1])
    for name, units, array in (
        ("ua", "m s-1", np.zeros((NCOL, 9))),
        ("va", "m s-1", np.zeros((NCOL, 9))),
        ("ta", "K", np.full((NCOL, 9), 250.0)),
        ("pfull", "Pa", full),
        ("phalf", "Pa", half),
        ("zg", "m", 7e3 * np.log(1e5 / full)),
    ):
        assert s.declare(name, units, array, upward=name != "pfull") == OK, s.error
    assert s.run() == -FIELD
    assert "levels in another order: pfull; expected the top first; found 94445 Pa" in s.error
    assert s.declare("pfull", "Pa", full, upward=True) == OK
    assert s.run() == OK, s.error
    s.close()
    with_pressure.close()


# -- order and options ------------------------------------------------------------------------


def test_calls_out_of_order_get_a_sentence(library: Any, server: Path) -> None:
    m = Mirrored(library, server)
    s = m.session
    assert s.wait() == -ORDER
    assert s.error == "a wait without a post"
    assert s.test() == -ORDER
    assert s.post() == OK
    assert s.post() == -ORDER
    assert "a post before the answer to the last one" in s.error
    assert s.declare("ua", "m s-1", m.ua) == -ORDER
    assert s.wait() == OK
    second = s.lib.isthmus_open(ctypes.byref(s.handle), ctypes.byref(s.options))
    assert second == -ORDER
    assert "a second open" in s.error
    assert s.run() == OK, "the first one stays as it is"
    old = s.handle.value
    assert s.close() == OK
    for handle, said in ((0, "a call before open"), (old, "a call after close"), (-5, "after")):
        assert library.isthmus_run(handle) == -ORDER
        assert said in library.isthmus_last_error(handle).decode()
    assert s.close() == -ORDER


@pytest.mark.parametrize(
    ("options", "status", "said"),
    [
        ({"ncol": 0}, ARGUMENT, "found ncol = 0, nlev = 7"),
        ({"row": 4}, ARGUMENT, "rows that do not divide the columns: 15 columns in rows of 4"),
        ({"kind": 2}, ARGUMENT, "kind 2 of 4 or 8"),
        ({"policy": 9}, ARGUMENT, "policy 9"),
        ({"deadline": 0.0}, ARGUMENT, "deadline 0 s"),
        ({"members": 2}, ARGUMENT, "2 members without the name of their group"),
        ({"members": 2, "member": 2, "group": "g"}, ARGUMENT, "member 2 of 2"),
        ({"b": np.linspace(1.0, 0.0, NLEV + 1)}, FIELD, "levels out of order: expected pressure"),
        ({"launch": 1}, ARGUMENT, "nothing to start: expected a scheme"),
        ({"transport": 2, "scheme": "x", "members": 2, "group": "g"}, ARGUMENT, "serves one rank"),
        ({"scheme": "test_bridge=other"}, REFUSED, "the server has another scheme"),
        ({"launch": 1, "scheme": "x=y", "command": "no-such", "socket": "SELF"}, NO_SERVER, "PATH"),
        ({"socket": "SELF"}, NO_SERVER, "no server: "),
    ],
)
def test_wrong_options_are_refused_in_time(
    library: Any, server: Path, tmp_path: Path, options: dict[str, Any], status: int, said: str
) -> None:
    where = tmp_path / "none.sock" if options.pop("socket", "") else server
    began = time.monotonic()
    s = Session(library, where, **options)
    assert time.monotonic() - began < PROMPT
    assert s.status == -status, s.error
    assert said in s.error
    assert s.handle.value == 0


def test_sockets_that_are_none_are_refused(library: Any, tmp_path: Path) -> None:
    stale, file = tmp_path / "stale.sock", tmp_path / "file"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dead:
        dead.bind(str(stale))
    file.write_text("")
    assert "a socket that a dead server left behind" in Session(library, stale).error
    assert "found a file of another kind" in Session(library, file).error


def test_another_version_of_the_protocol_is_said(library: Any, tmp_path: Path) -> None:
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(str(tmp_path / "s.sock"))
    listener.listen(1)
    answers = [
        (p.message(p.Kind.REFUSED, b"no", version=p.VERSION + 3), "expected version 1; found ver"),
        (b"HTTP/1.1 400 Bad Request", "not the channel protocol"),
        (p.message(p.Kind.RING), "a message out of turn"),
    ]

    def answer() -> None:
        for reply, _ in answers:
            client, _ = listener.accept()
            client.recv(65536)
            client.send(reply)
            client.close()

    thread = threading.Thread(target=answer)
    thread.start()
    for _, said in answers:
        s = Session(library, tmp_path / "s.sock")
        assert s.status == -VERSION
        assert said in s.error
    thread.join()
    listener.close()


def test_a_server_that_says_nothing_is_given_up(library: Any, tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(str(tmp_path / "s.sock"))
        listener.listen(1)
        s = Session(library, tmp_path / "s.sock", startup=0.3)
    assert s.status == -LATE
    assert "no answer to the greeting within 0.3 s" in s.error


# -- policies ---------------------------------------------------------------------------------


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Server]:
    running = Server(tmp_path / "own.sock")
    yield running
    running.close()


def test_an_error_of_the_scheme_a_nan_and_a_late_answer_follow_the_policy(
    library: Any, server: Path
) -> None:
    m = Mirrored(library, server, policy=STOP, deadline=0.3)
    before = m.outputs()
    good = m.ps.copy()
    for value, status, said in (
        (RAISE, FAILED, "found ValueError: no such physics"),
        (INFINITE, NOT_FINITE, "an answer that is not finite: tendency ua"),
        (SLOW, LATE, "no answer in time; expected one within 0.3 s"),
    ):
        m.ps[0] = value
        assert m.session.run() == -status
        assert said in m.session.error
        np.testing.assert_array_equal(m.outputs(), before)
    m.ps[:] = good
    assert m.session.run() == -LATE
    assert "the answer to an earlier call is still due" in m.session.error
    assert until(lambda: m.session.run() == OK)
    assert m.is_answer()
    m.session.close()


def test_zero_hold_and_callback_let_the_host_go_on(library: Any, server: Path) -> None:
    m = Mirrored(library, server, policy=ZERO)
    assert m.session.run() == OK
    m.ps[0] = RAISE
    assert m.session.run() == FAILED
    assert not m.outputs().any()
    m.session.close()

    m = Mirrored(library, server, policy=HOLD)
    assert m.session.run() == OK
    kept = m.outputs()
    m.ua[...], m.ps[0], m.dua[...] = 1.0, INFINITE, 4.0
    assert m.session.run() == NOT_FINITE
    np.testing.assert_array_equal(m.outputs(), kept)
    m.session.close()

    m = Mirrored(library, server, policy=CALLBACK)
    reasons: list[int] = []

    @FALLBACK
    def fallback(reason: int, _: Any) -> None:
        reasons.append(reason)
        m.dua[...] = -1.0

    m.ps[0] = RAISE
    assert m.session.run() == -ORDER
    assert "register one" in m.session.error
    assert library.isthmus_register_callback(m.session.handle, fallback, None) == OK
    assert m.session.run() == FAILED
    assert reasons == [FAILED]
    assert (m.dua == -1.0).all()
    m.session.close()


def test_a_killed_server_is_noticed_at_once_and_a_new_one_used_again(
    library: Any, own_server: Server
) -> None:
    m = Mirrored(library, own_server.socket, policy=ZERO)
    memory = m.session.alloc("ta", "K", 8)
    memory[...] = m.ta.T
    assert m.session.run() == OK
    assert m.session.run() == OK
    m.ps[0] = SLOW
    assert m.session.post() == OK
    time.sleep(0.1)
    assert m.session.test() == PENDING
    own_server.kill()
    began = time.monotonic()
    assert m.session.wait() == GONE
    assert time.monotonic() - began < PROMPT
    assert not m.dua.any()
    assert m.session.run() == GONE
    m.ps[0] = 2.0
    again = Server(own_server.socket)
    assert until(lambda: m.session.run() == OK)
    assert m.is_answer()
    # What the scheme remembers came along: two calls before, this one, and those in between.
    assert (m.prc >= 3.0).all()
    again.close()
    m.session.close()


def test_a_server_that_comes_late_is_used_when_it_is_there(library: Any, tmp_path: Path) -> None:
    m = Mirrored(library, tmp_path / "late.sock", policy=ZERO)
    assert m.session.status == NO_SERVER
    assert m.session.run() == NO_SERVER
    assert not m.dua.any()
    assert "no server: " in m.session.error
    running = Server(tmp_path / "late.sock")
    assert until(lambda: m.session.run() == OK)
    assert m.is_answer()
    m.session.close()
    running.close()


def test_one_column_of_levels_is_filled_with_zero_where_no_server_ever_was(
    library: Any, tmp_path: Path
) -> None:
    # Without a server nobody knows that these are levels: one column has an array of rank 1.
    s = Session(library, tmp_path / "none.sock", policy=ZERO, ncol=1)
    whole = np.full(NLEV + 2, 5.0)
    assert s.declare("tendency ua", "m s-2", whole[1:-1]) == NO_SERVER
    assert s.run() == NO_SERVER
    np.testing.assert_array_equal(whole, [5.0, *[0.0] * NLEV, 5.0])
    s.close()


def test_ranks_take_up_a_new_server_at_one_step(library: Any, own_server: Server) -> None:
    # Three ranks in lockstep, as halo exchanges keep them: a barrier after each step.
    n = 3
    barrier, stop = threading.Barrier(n), threading.Event()
    log: list[list[int]] = [[] for _ in range(n)]
    wrong: list[int] = []

    def rank(i: int) -> None:
        group = {"group": "three", "members": n, "member": i, "ncol": 4 + i, "policy": HOLD}
        m = Mirrored(library, own_server.socket, **group)
        ends = False
        while not ends:
            time.sleep(0.003 * i)
            log[i].append(m.session.run())
            if log[i][-1] == OK and not m.is_answer():
                wrong.append(i)
            barrier.wait()
            ends = stop.is_set()  # between two barriers, so that all see the same
            barrier.wait()
        m.session.close()

    threads = [threading.Thread(target=rank, args=(i,)) for i in range(n)]
    for t in threads:
        t.start()
    try:
        assert until(lambda: len(log[0]) > 5)
        own_server.kill()
        assert until(lambda: all(GONE in own for own in log))
        again = Server(own_server.socket)
        assert until(lambda: all(own[-1] == OK for own in log))
        time.sleep(0.2)
    finally:
        stop.set()
        for t in threads:
            t.join(20.0)
    again.close()
    assert not wrong
    resumed = [max(k for k, status in enumerate(own) if status != OK) for own in log]
    assert len(set(resumed)) == 1, "all ranks at one and the same step"
    assert {OK, GONE} == set(log[0] + log[1] + log[2])


def test_sessions_of_many_threads_do_not_disturb_each_other(library: Any, server: Path) -> None:
    shared = Mirrored(library, server)
    wrong: list[str] = []

    def work(seed: int) -> None:
        own = Mirrored(library, server)
        own.ua += seed
        for _ in range(40):
            if own.session.run() != OK or not own.is_answer():
                wrong.append(own.session.error)
            if shared.session.run() != OK:
                wrong.append(shared.session.error)
        own.session.close()

    threads = [threading.Thread(target=work, args=(i,)) for i in range(5)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
    assert shared.is_answer()
    shared.session.close()


@pytest.mark.parametrize("calls", [20_000, pytest.param(1_000_000, marks=pytest.mark.slow)])
def test_calls_without_end_take_no_memory(library: Any, own_server: Server, calls: int) -> None:
    def resident() -> list[int]:
        files = [f"/proc/{pid}/statm" for pid in (os.getpid(), own_server.process.pid)]
        pages = [int(Path(f).read_text().split()[1]) for f in files]
        return [n * os.sysconf("SC_PAGESIZE") for n in pages]

    m = Mirrored(library, own_server.socket)
    for _ in range(2000):
        m.session.run()
    before = resident()
    for _ in range(calls):
        assert m.session.run() == OK
    for now, then in zip(resident(), before, strict=True):
        assert now - then < 256 * 1024, "thirteen bytes a call would be seen"
    m.session.close()


def test_a_launched_server_ends_with_its_session(
    library: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_COMMAND", environment()["ISTHMUS_COMMAND"])
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    path = tmp_path / "launched.sock"
    s = Session(
        library, path, launch=1, scheme="gravity_wave=ad99", settings="stress=0.002",
        lat=np.zeros(NCOL), startup=300.0,
    )  # fmt: skip
    assert s.status == OK, s.error
    assert path.exists()
    assert s.close() == OK
    assert not path.exists()
    wrong = Session(library, path, launch=1, scheme="gravity_wave=ad98")
    assert wrong.status == -NO_SERVER
    assert "the server did not start" in wrong.error
    assert "it ended with status 2" in wrong.error


def test_every_status_has_a_word(library: Any) -> None:
    words = [library.isthmus_status_name(-i).decode() for i in range(13)]
    assert len(set(words)) == 13
    assert library.isthmus_status_name(PENDING) == b"pending"
    assert library.isthmus_status_name(55) == b"unknown"
