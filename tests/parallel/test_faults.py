"""What can go wrong between two processes: one sentence each, no hang, and the server lives on.

All of it with real processes. Deadlines are short where a fault has to show, and a hundred times
what is needed where it must not.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import misbehaving
import numpy as np
import pytest
from channel_tools import (
    NCOL,
    QUICK,
    ROOT,
    Serving,
    call,
    columns,
    hello,
    host,
    inline,
    now,
    serving,
)

from coupler.exchange import sockets
from coupler.exchange.channel import Channel
from coupler.exchange.remote import Terms
from coupler.interface.errors import CouplerError, ExchangeError, UnstableError

SOON = Terms(deadline=0.4, greeting=30.0)
HOLD = replace(QUICK, on_failure="hold")
REFERENCE = replace(QUICK, on_failure="reference")


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


def calm(speed: float = 11.0) -> misbehaving.Waves:
    """The reference: the same scheme with another speed."""
    return misbehaving.Waves(misbehaving.Waves.Parameters(speed=speed))


# -- the server goes, or does not answer ------------------------------------------------------


def test_a_server_that_is_killed_between_calls_is_missed_at_once(own: Serving) -> None:
    remote = own.client()
    call(remote, columns())
    own.process.send_signal(signal.SIGKILL)
    own.process.wait()
    began = time.monotonic()
    with pytest.raises(ExchangeError, match=r"^the worker died: gravity_wave=made_up; found"):
        call(remote, columns(), 1)
    assert time.monotonic() - began < QUICK.deadline / 2  # by the end of its socket


def test_a_server_that_dies_in_a_call_is_missed_at_once(own: Serving) -> None:
    remote = own.client()
    began = time.monotonic()
    with pytest.raises(ExchangeError, match=r"the worker died"):
        call(remote, columns(misbehaving.DIE))
    assert time.monotonic() - began < QUICK.deadline / 2


def test_a_server_that_is_late_is_named_after_the_deadline(own: Serving) -> None:
    remote = own.client(SOON)
    began = time.monotonic()
    with pytest.raises(
        ExchangeError,
        match=r"no answer from the worker in time: gravity_wave=made_up; "
        r"expected one within 0.4 s; found none; it is alive and computing",
    ):
        call(remote, columns(misbehaving.SLEEP))
    assert SOON.deadline <= time.monotonic() - began < misbehaving.LONG / 2


def test_a_server_that_is_stopped_shows_no_sign_of_life(own: Serving) -> None:
    remote = own.client(replace(SOON, deadline=2.5))
    own.process.send_signal(signal.SIGSTOP)
    with pytest.raises(ExchangeError, match=r"found none; its last sign of life is \d\.\d s old"):
        call(remote, columns())
    own.process.send_signal(signal.SIGCONT)


def test_a_late_answer_is_dropped_and_the_server_used_again(
    own: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    remote = own.client(replace(SOON, on_failure="reference"), reference=calm())
    wanted = inline()
    plain = calm()
    plain.setup(host())
    x = columns()
    np.testing.assert_array_equal(call(remote, x)["ta"], call(wanted, x)["ta"])
    own.process.send_signal(signal.SIGSTOP)
    with caplog.at_level(logging.WARNING):
        for step in (1, 2):  # the second one does not even wait
            began = time.monotonic()
            x = columns(seed=step)
            got = call(remote, x, step)
            np.testing.assert_array_equal(got["ta"], call(plain, x, step)["ta"])
            assert got["calls_seen"][0] == step  # also what the reference says beside its drag
    assert time.monotonic() - began < SOON.deadline
    assert len(caplog.records) == 1
    assert "the reference takes its place: no answer from the worker in time" in caplog.text
    own.process.send_signal(signal.SIGCONT)
    assert remote._channel is not None
    assert remote._channel.wait(20.0)
    x = columns(seed=3)
    np.testing.assert_array_equal(call(remote, x, 3)["ta"], call(wanted, x, 3)["ta"])
    assert remote.counts() == {"seen": 3, "worker_late": 2, "worker_replaced": 2}


def test_the_last_answer_is_held_when_the_server_is_gone(own: Serving) -> None:
    remote = own.client(HOLD)
    good = call(remote, columns())
    own.kill()
    for step in (1, 2):
        got = call(remote, columns(seed=step), step)
        for name, array in good.items():
            np.testing.assert_array_equal(got[name], array)
    assert remote.counts()["worker_gone"] == 2


def test_a_server_that_comes_back_goes_on_with_what_the_scheme_remembers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coupler.exchange.remote._RETRY", 0.0)
    wanted = inline()
    with serving(tmp_path / "s.sock") as first:
        remote = first.client(REFERENCE, reference=calm())
        for step in range(3):
            x = columns(seed=step)
            np.testing.assert_array_equal(
                call(remote, x, step)["xgwdparam"], call(wanted, x, step)["xgwdparam"]
            )
    call(remote, columns(), 3)
    assert remote.counts()["worker_gone"] == 1
    with serving(tmp_path / "s.sock"):  # in the place of the socket that the dead one left
        x = columns(seed=4)
        got = call(remote, x, 4)
        assert got["calls_seen"][0] == 4.0  # three before, one now
        np.testing.assert_array_equal(got["xgwdparam"], call(wanted, x, 4)["xgwdparam"])
        assert remote.counts()["worker_gone"] == 1


# -- the scheme misbehaves --------------------------------------------------------------------


def test_what_the_scheme_raises_is_raised_in_the_host(server: Serving) -> None:
    remote = server.client()
    with pytest.raises(UnstableError, match=r"^too windy: ua; found 400; go inside$"):
        call(remote, columns(misbehaving.UNSTABLE))
    with pytest.raises(
        ExchangeError,
        match=r"^the scheme broke off in its worker: gravity_wave=made_up; found ValueError: no "
        r"waves today \(misbehaving.py, line \d+\)$",
    ):
        call(remote, columns(misbehaving.BREAK_OFF), 1)
    assert call(remote, columns(), 2)["calls_seen"][0] == 3.0  # and it can be called again


def test_a_nan_is_handed_over_as_inline_unless_something_takes_its_place(server: Serving) -> None:
    x = columns(misbehaving.NAN)
    assert np.isnan(call(server.client(), x)["ta"][0, 0])
    held = server.client(HOLD)
    good = call(held, columns())
    np.testing.assert_array_equal(call(held, x, 1)["ta"], good["ta"])
    assert held.counts() == {"seen": 2, "worker_not_finite": 1, "worker_replaced": 1}
    # The reference of this test gives one too, and nothing hides it: the suite will say so.
    taken = server.client(REFERENCE, reference=calm())
    assert np.isnan(call(taken, x)["ta"][0, 0])
    assert taken.counts()["worker_not_finite"] == 1


def test_a_reference_that_gives_something_else_is_refused(server: Serving) -> None:
    class Other(misbehaving.Waves):
        tendencies = ("ta", "hus")

    with pytest.raises(CouplerError, match=r"reference returns something else"):
        server.client(REFERENCE, reference=Other())

    class Hecto(misbehaving.Waves):
        inputs = tuple(
            replace(i, units="Pa" if i.name == "pfull" else i.units) for i in calm().inputs
        )

    with pytest.raises(CouplerError, match=r"in another unit.*pfull.*expected hPa; found Pa"):
        server.client(REFERENCE, reference=Hecto())


# -- groups -----------------------------------------------------------------------------------


def test_a_member_that_is_gone_is_not_waited_for(server: Serving) -> None:
    channels: list[Channel] = []

    def join(i: int) -> None:
        greeting = hello(group="pair", members=2, member=i)
        channels.append(
            Channel.open(sockets.connect(server.path), greeting, {"lat": np.zeros(NCOL)})
        )

    threads = [threading.Thread(target=join, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(20.0)
    stays, goes = channels
    stays.post(now())
    assert stays.wait(0.2).name == "LATE"  # alone it is not called
    goes.close()
    assert stays.wait(20.0).name == "DONE"
    stays.post(now(1))
    assert stays.wait(20.0).name == "DONE"
    stays.close()


def test_members_at_different_steps_are_told_so(server: Serving) -> None:
    said: list[str] = []

    def member(i: int) -> None:
        greeting = hello(group="apart", members=2, member=i)
        channel = Channel.open(sockets.connect(server.path), greeting, {"lat": np.zeros(NCOL)})
        channel.post(now(step=i))
        assert channel.wait(20.0).name == "FAILED"
        said.append(str(channel.error()))
        channel.close()

    threads = [threading.Thread(target=member, args=(i,)) for i in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(30.0)
    assert len(said) == 2
    assert said[0] == said[1]
    assert "members of a group at different times" in said[0]
    assert "call 1, step 0, call 1, step 1" in said[0]


# -- nobody is left over ----------------------------------------------------------------------

ORPHAN = """
import os, sys, time
from coupler.driver.workers import Worker
from coupler.exchange import sockets
worker = Worker("gravity_wave=ad99", {"process": "gravity_wave", "scheme": "ad99"})
print(worker.process.pid, worker.path, flush=True)
connection = sockets.connect(worker.path)  # also while it still loads
worker.connected()
print(worker.path.exists(), flush=True)
time.sleep(100)
"""


def test_a_worker_goes_with_the_process_that_started_it(tmp_path: Path) -> None:
    run = subprocess.Popen(
        [sys.executable, "-c", ORPHAN],
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT), "XDG_RUNTIME_DIR": str(tmp_path)},
    )
    assert run.stdout is not None
    pid = int(run.stdout.readline().split()[0])
    assert run.stdout.readline() == "False\n"  # its socket has no name any more
    assert Path(f"/proc/{pid}").exists()
    run.kill()
    run.wait()
    run.stdout.close()
    end = time.monotonic() + 20.0
    while _runs(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not _runs(pid)
    assert not list((tmp_path / "isthmus").iterdir())


def _runs(pid: int) -> bool:
    """Whether a process is there and no zombie (its new parent may be slow to see to it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_parameters_are_part_of_what_must_agree() -> None:
    from coupler.driver.serving import fingerprint

    assert fingerprint(calm(1.0)) != fingerprint(calm(2.0))
    assert fingerprint(calm(1.0)) == fingerprint(calm(1.0))
    assert fingerprint(calm(), calm(1.0)) != fingerprint(calm())
