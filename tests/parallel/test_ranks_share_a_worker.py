"""The ranks of a node share one worker; ranks are threads here, the worker is a real process."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import team
from channel_tools import LEVELS, QUICK, call, columns, host, inline, now, serving
from tiny import DRY, changed, plugin

from coupler.config import Case, validate
from coupler.driver import places
from coupler.driver.discovery import discover
from coupler.driver.places import Elsewhere
from coupler.exchange.remote import Member, Remote
from coupler.interface.component import Array, Arrays, Host
from coupler.interface.registry import SCHEMES

SIZES = (3, 5, 1)


def ranks(work: Callable[[team.Member, slice], Any]) -> list[Any]:
    """Does the work on every rank, given its columns; raises what one of them raised."""
    board = team.Board(len(SIZES))
    results: list[Any] = [None] * len(SIZES)
    problems: list[BaseException] = []

    def one(rank: int) -> None:
        first = sum(SIZES[:rank])
        try:
            results[rank] = work(team.Member(board, rank), slice(first, first + SIZES[rank]))
        except BaseException as error:
            problems.append(error)
            board.barrier.abort()

    threads = [threading.Thread(target=one, args=(r,)) for r in range(len(SIZES))]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120.0)
    if problems:
        raise problems[0]
    return results


def part(of: Host, cut: slice) -> Host:
    """Some columns of a host."""
    own = host(cut.stop - cut.start)
    return replace(own, static={n: a[cut].copy() for n, a in of.static.items()})


def own_columns(x: Arrays, cut: slice) -> Arrays:
    return Arrays(**{n: np.ascontiguousarray(a[..., cut]) for n, a in x.items()})


def joined(parts: list[dict[str, Array]], name: str) -> Array:
    return np.concatenate([p[name] for p in parts], axis=-1)


@pytest.mark.parametrize("nodes", [1, 2])
def test_the_first_rank_of_a_node_starts_the_worker_of_all_its_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    forcing = plugin(tmp_path, f"shared{nodes}", "tend.ta[...] = x.ta * 2.0 + now.step")
    raw = changed(DRY, {**forcing, "where.test_forcing": "worker"})
    case, problems = validate(raw)
    assert isinstance(case, Case)
    assert not problems + discover(case.plugins, tmp_path)
    whole = host(sum(SIZES))
    x = Arrays(ta=columns(of=whole).ta)
    names = {}
    monkeypatch.setattr(places, "_node", lambda: names[threading.get_ident()])
    started: list[int] = []

    def work(rank: team.Member, cut: slice) -> Array:
        names[threading.get_ident()] = "a" if rank.rank < 2 else "ab"[nodes - 1]
        elsewhere = Elsewhere(case, tmp_path, rank)
        started.append(len(elsewhere.workers))
        scheme = elsewhere.place(
            SCHEMES["test_forcing"][f"shared{nodes}"](),
            "test_forcing",
            levels=LEVELS,
            available=["ta"],
            reference=None,
        )
        of = part(whole, cut)
        scheme.setup(of)
        elsewhere.complete()
        tend = Arrays(ta=of.empty("level", "column"), ua=of.empty("level", "column"))
        scheme.compute(own_columns(x, cut), tend, Arrays(), Arrays(), now(3))
        assert isinstance(scheme, Remote)
        assert scheme._channel is not None
        together = sum(SIZES) if nodes == 1 else (sum(SIZES[:2]), SIZES[2])[rank.rank == 2]
        assert scheme._channel.shared.head.ncol == together
        rank.collect(None)  # nobody leaves before all have looked
        elsewhere.close()
        return tend.ta

    parts = ranks(work)
    assert sum(started) == nodes
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), 2.0 * x.ta + 3.0)


def test_memory_is_each_ranks_own_and_counts_are_the_first_ones(tmp_path: Path) -> None:
    """What three ranks remember, put end to end, goes on inline and in the same ranks again."""
    whole = host(sum(SIZES))
    x = columns(of=whole)
    straight = inline(whole)
    want = [call(straight, x, step) for step in range(4)]
    with serving(tmp_path / "s.sock") as server:

        def remote(rank: team.Member, cut: slice, name: str) -> Remote:
            member = Member(group=name, members=len(SIZES), member=rank.rank)
            made = server.remote(QUICK, member=member)
            made.setup(part(whole, cut))
            return made

        def before(rank: team.Member, cut: slice) -> Any:
            scheme = remote(rank, cut, "before")
            found = [call(scheme, own_columns(x, cut), step) for step in range(2)]
            kept = {n: a.copy() for n, a in scheme.memory().items()}
            counts = scheme.counts()
            rank.collect(None)
            scheme.close()
            return found, kept, counts

        results = ranks(before)
        for step in range(2):
            for name in want[0]:
                got = joined([r[0][step] for r in results], name)
                np.testing.assert_array_equal(got, want[step][name])
        assert [r[2] for r in results] == [{"seen": 2}, {"seen": 0}, {"seen": 0}]
        memory = {"calls": joined([r[1] for r in results], "calls")}
        np.testing.assert_array_equal(memory["calls"], np.full(sum(SIZES), 2.0))

        def after(rank: team.Member, cut: slice) -> Any:
            scheme = remote(rank, cut, "after")
            scheme.restore({"calls": memory["calls"][cut]})
            found = [call(scheme, own_columns(x, cut), step) for step in (2, 3)]
            rank.collect(None)
            scheme.close()
            return found

        again = ranks(after)
        alone = inline(whole)
        alone.restore(memory)
        for i, step in enumerate((2, 3)):
            here = call(alone, x, step)
            for name in want[0]:
                np.testing.assert_array_equal(joined([r[i] for r in again], name), want[step][name])
                np.testing.assert_array_equal(here[name], want[step][name])
