"""A scheme in another process answers as in this one: bits, batches, dates, memory, no growth."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import misbehaving
import numpy as np
import pytest
from channel_tools import (
    QUICK,
    Serving,
    call,
    columns,
    hello,
    host,
    inline,
    now,
    serving,
)
from jobs import left_over, shared_names, wait_for

from coupler.driver.behind import Behind
from coupler.exchange import groups, sockets
from coupler.exchange.channel import Answer, Channel
from coupler.exchange.remote import Member, Remote
from coupler.interface.component import Arrays, Host
from coupler.interface.errors import ExchangeError
from coupler.interface.grid import HybridLevels


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    with serving(tmp_path_factory.mktemp("channel") / "s.sock") as found:
        yield found


def same(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> None:
    assert got.keys() == want.keys()
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array, err_msg=name)
        assert np.any(array != 0.0), name


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_scheme_elsewhere_gives_the_same_bits(server: Serving, dtype: str) -> None:
    of = host(dtype=dtype)
    here, there = inline(of), server.client(of=of)
    for step in range(3):
        x = columns(of=of, seed=step)
        got = call(there, x, step)
        assert got["ta"].dtype == np.dtype(dtype)
        same(got, call(here, x, step))
    assert there.counts() == {"seen": 3}
    there.close()


def test_what_lies_in_the_shared_memory_is_not_copied(server: Serving) -> None:
    of = host()
    there = server.client(of=of)
    inputs, *answers = there.in_place()
    x, out = Arrays(**inputs), tuple(Arrays(**group) for group in answers)
    for step in range(2):
        given = columns(of=of, seed=step)
        for name, array in given.items():
            inputs[name][...] = array
        there.compute(x, *out, now(step))
        assert there._given[1] == []  # nothing to copy
        got = {n: a for group in out for n, a in group.items()}
        same(got, {**call(here_at(step, of), given, step)})
    there.close()


def here_at(step: int, of: Host) -> misbehaving.Waves:
    """The scheme in this process, after so many calls."""
    scheme = inline(of)
    scheme.memory()["calls"][...] = step
    return scheme


def test_answers_that_could_be_overwritten_are_copied(server: Serving) -> None:
    assert server.client(replace(QUICK, on_failure="hold")).in_place() == ({}, {}, {}, {})


def test_an_optional_input_is_handed_over_where_the_host_has_it(server: Serving) -> None:
    of = host()
    remote = Remote(
        misbehaving.Waves(),
        lambda: sockets.connect(server.path),
        terms=QUICK,
        available=("ua", "ta", "pfull", "lat", "orog"),
        calendar="noleap",
    )
    remote.setup(of)
    x = columns()
    high = Arrays(**dict(x.items()), orog=np.arange(of.ncol, dtype=of.dtype))
    low = call(inline(), x)
    got = call(remote, high)
    np.testing.assert_array_equal(got["xgwdparam"][-1] - low["xgwdparam"][-1], high.orog)


def test_members_of_a_group_lie_end_to_end_and_are_one_batch(server: Serving) -> None:
    sizes = (3, 5, 1)
    whole = host(sum(sizes))
    x = columns(of=whole)
    want = call(inline(whole), x)
    parts: list[dict[str, np.ndarray]] = [{} for _ in sizes]
    problems: list[BaseException] = []

    def member(i: int) -> None:
        try:
            first = sum(sizes[:i])
            cut = slice(first, first + sizes[i])
            own = host(sizes[i])
            static = {n: a[cut].copy() for n, a in whole.static.items()}
            own = Host(**{**vars(own), "static": static})
            remote = server.remote(member=Member(group="three", members=3, member=i))
            remote.setup(own)
            mine = Arrays(**{n: np.ascontiguousarray(a[..., cut]) for n, a in x.items()})
            parts[i] = call(remote, mine)
            assert remote._channel is not None
            assert remote._channel.shared.head.ncol == sum(sizes)
            assert remote._channel.shared.part(i) == (first, sizes[i])
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=member, args=(i,)) for i in (2, 0, 1)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(60.0)
    assert not problems
    joined = {n: np.concatenate([part[n] for part in parts], axis=-1) for n in want}
    same(joined, want)


def test_what_is_posted_is_computed_while_the_host_goes_on(server: Serving) -> None:
    h = hello()
    channel = Channel.open(sockets.connect(server.path), h, {"lat": np.zeros(h.ncol)})
    channel.inputs["ta"][...] = misbehaving.GOOD
    channel.inputs["pfull"][...] = 3.0
    channel.post(now())
    end = time.monotonic() + 20.0
    while not channel.test() and time.monotonic() < end:
        time.sleep(0.001)
    assert channel.test()
    assert channel.wait(0.0) is Answer.DONE
    np.testing.assert_array_equal(channel.tendencies["ta"], misbehaving.GOOD * 600.0 * 7.0 + 3.0)
    began, ended = channel.spans()
    assert began < ended < time.monotonic()
    channel.post(now(1))
    assert channel.wait(20.0) is Answer.DONE
    channel.close()


def test_a_second_post_waits_for_the_first_answer(server: Serving) -> None:
    h = hello()
    channel = Channel.open(sockets.connect(server.path), h, {"lat": np.zeros(h.ncol)})
    os.kill(server.process.pid, 19)  # SIGSTOP: the answer cannot come
    try:
        channel.post(now())
        with pytest.raises(ExchangeError, match="a call before the answer to the last one"):
            channel.post(now(1))
    finally:
        os.kill(server.process.pid, 18)
    assert channel.wait(20.0) is Answer.DONE
    channel.close()


def test_who_looks_twice_before_a_call_still_sees_its_time() -> None:
    """A server about to sleep looks, finds a call, and looks again when it serves it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    made: list[groups.Group] = []

    def serve() -> None:
        found = sockets.receive(theirs)
        assert found is not None
        _, payload, fds = found
        greetings = [groups.greeting(theirs, payload, fds)]
        made.append(groups.Group(misbehaving.Waves(), greetings))
        for fd in fds:
            os.close(fd)

    thread = threading.Thread(target=serve)
    thread.start()
    h = hello()
    channel = Channel.open(ours, h, {"lat": np.zeros(h.ncol)})
    thread.join()
    (group,) = made
    for step, looks in ((0, 1), (1, 2), (2, 3), (3, 1)):
        x = columns(seed=step)
        for name, array in channel.inputs.items():
            np.copyto(array, getattr(x, name))
        channel.post(now(step))
        assert all(group.ready() for _ in range(looks))
        group.call()
        assert channel.wait(5.0) is Answer.DONE
        want = x.ua * np.cos(np.radians(x.lat)) + now(step).date.day
        np.testing.assert_array_equal(channel.fluxes["xgwdparam"][:-1], want)
    channel.close()
    theirs.close()


def test_a_lag_of_one_call_is_the_same_here_and_there(server: Serving) -> None:
    of = host()
    here, there = Behind(misbehaving.Waves()), Behind(server.remote())
    here.setup(of)
    there.setup(of)
    plain = inline(of)
    seen = []
    for step in range(4):
        x = columns(seed=step)
        same(call(there, x, step), call(here, x, step))
        seen.append(call(plain, x, step))
    # And it is a lag: the answer to step 3 is that to the inputs of step 2.
    last = call(there, columns(seed=4), 4)
    np.testing.assert_array_equal(last["xgwdparam"][:-1], seen[3]["xgwdparam"][:-1])


@pytest.mark.parametrize("lag", [0, 1])
def test_a_restart_goes_on_in_the_other_transport_bit_by_bit(server: Serving, lag: int) -> None:
    of = host()

    def new(elsewhere: bool) -> Remote | misbehaving.Waves | Behind:
        scheme = server.remote() if elsewhere else misbehaving.Waves()
        late = Behind(scheme) if lag else scheme
        late.setup(of)
        return late

    straight = new(False)
    want = [call(straight, columns(seed=s), s) for s in range(6)]
    for first, then in ((True, False), (False, True), (True, True)):
        begun = new(first)
        for s in range(3):
            call(begun, columns(seed=s), s)
        kept = {n: a.copy() for n, a in begun.memory().items()}
        again = new(then)
        again.restore(kept)
        for s in range(3, 6):
            same(call(again, columns(seed=s), s), want[s])


def test_a_thousand_calls_leave_nothing_behind(server: Serving) -> None:
    """The long version, with a million, is in benchmarks/channel.py."""
    h = hello()
    channel = Channel.open(sockets.connect(server.path), h, {"lat": np.zeros(h.ncol)}, spin=1e-3)
    x = now()

    def calls(n: int) -> tuple[int, int]:
        for _ in range(n):
            channel.post(x)
            assert channel.wait(20.0) is Answer.DONE
        return resident(os.getpid()), resident(server.process.pid)

    before = calls(1000)
    after = calls(1000)
    # One page for each call would be 4 MB.
    assert after[0] - before[0] < 1 << 20
    assert after[1] - before[1] < 1 << 20
    channel.close()


def resident(pid: int) -> int:
    """Resident memory of a process [byte]."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_clients_that_come_and_go_leave_nothing_in_the_server(server: Serving) -> None:
    def open_files() -> int:
        return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))

    def maps() -> int:
        text = Path(f"/proc/{server.process.pid}/maps").read_text()
        return text.count("/memfd:isthmus")

    def settled() -> tuple[int, int]:
        end = time.monotonic() + 20.0
        while maps() and time.monotonic() < end:
            time.sleep(0.02)
        return open_files(), maps()

    shm = shared_names()
    server.client().close()
    before = settled()
    clients = [server.client() for _ in range(5)]
    assert maps() == 5
    for client in clients:
        call(client, columns())
        client.close()
    assert settled() == before == (before[0], 0)
    wait_for(lambda: not left_over(shm), 20.0)


def test_a_server_that_does_not_spin_answers_all_the_same(tmp_path: Path) -> None:
    with serving(tmp_path / "sleepy.sock", spin=0.0) as sleepy:
        remote = sleepy.client()
        here = inline()
        for step in range(50):
            x = columns(seed=step)
            same(call(remote, x, step), call(here, x, step))
        assert sleepy.stop() == 0
        assert not sleepy.path.exists()


def test_a_path_longer_than_the_system_takes_is_reached_all_the_same(tmp_path: Path) -> None:
    folder = tmp_path / ("very_long_name_" * 8)
    folder.mkdir()
    with serving(folder / "s.sock") as far:
        same(call(far.client(), columns()), call(inline(), columns()))


def test_a_scheme_sees_columns_in_the_rows_of_the_host() -> None:
    made = groups._host(hello(row=7), [14, 7], [{"lat": np.arange(n) // 7} for n in (14, 7)])
    assert made.grid.shape == (3, 7)
    assert made.grid.lat.tolist() == [0.0, 1.0, 0.0]
    assert groups._host(hello(), [3], [{"lat": np.zeros(3)}]).grid.shape == (1, 3)


def test_levels_of_the_host_reach_the_scheme(server: Serving) -> None:
    with pytest.raises(ExchangeError, match=r"^no taste for levels: made_up; found 13$"):
        server.client(of=host(levels=HybridLevels.sigma(13)))
