"""Where the time of a run goes: every moment in one account, coupling told apart."""

import json
from pathlib import Path

from tiny import DRY, changed, plugin

from coupler import Simulation
from coupler.driver import spent
from coupler.driver.spent import DYNAMICS, FILES, LOOP, MEANS, START, Spent


def counted() -> dict[str, float]:
    times = iter([0.0, 1.0, 5.0, 7.5, 8.0, 10.0, 50.0])
    account = Spent(lambda: next(times))
    for name in (DYNAMICS, "radiation=grey", MEANS, FILES):
        account.to(name)
    account.leave()
    return account.seconds({"radiation=grey": 2.0})


def test_every_moment_belongs_to_one_account_and_waiting_is_taken_out() -> None:
    assert counted() == {
        DYNAMICS: 4.0,
        "radiation=grey": 0.5,
        MEANS: 0.5,
        FILES: 2.0,
        "waiting for radiation=grey": 2.0,
    }


def test_what_is_counted_outside_or_forgotten_is_not_told() -> None:
    account = Spent()
    account.to(LOOP)
    account.leave()
    assert set(account.seconds()) == {LOOP}
    account.reset()
    assert account.seconds() == {}
    assert spent.table(account.seconds(), 1) == []


def test_the_share_of_coupling_leaves_files_and_waiting_out() -> None:
    assert spent.overhead(counted()) == 0.5 / 5.0
    kinds = {name: spent.kind(name) for name in counted()}
    assert kinds[MEANS] == "coupling"
    assert kinds["radiation=grey"] == "component"
    assert kinds["waiting for radiation=grey"] == "waiting"


def test_the_closing_table_has_a_line_for_each_and_their_sum() -> None:
    lines = spent.table(counted(), 2)
    assert len(lines) == len(counted()) + 2
    assert "2000.000" in next(line for line in lines if line.startswith(DYNAMICS))
    assert "4500.000; coupling: 10.0%" in lines[-1]


def test_the_start_has_a_line_of_its_own_and_no_part_in_the_mean() -> None:
    times = iter([0.0, 1.0, 31.0, 31.0, 32.0, 36.0])
    account = Spent(lambda: next(times))
    account.to(DYNAMICS)
    account.to(FILES)
    account.started()
    account.to(LOOP)
    account.leave()
    found = account.seconds()
    assert found == {START: 30.0, LOOP: 4.0, FILES: 1.0}
    assert spent.kind(START) == "start"
    assert spent.overhead(found) == 1.0
    *rows, whole, began = spent.table(found, 2)
    assert not any(START in line for line in rows)
    assert whole.split()[:2] == ["all", "2500.000;"]
    assert began == f"{START}: 30.0 s, in none of the above"
    assert spent.table({START: 30.0}, 0) == [began]


SLEEP, COMPILE = 0.4, 4
"""How long the first call takes [s], and the step in which a function is compiled."""
BODY = f"""
        import time
        import numba
        if now.step == 0:
            time.sleep({SLEEP})
        if now.step == {COMPILE}:
            numba.njit(lambda x: np.sin(x) + 1.0)(1.0)
"""


def test_what_compiles_in_any_step_is_no_part_of_the_mean_of_a_step(tmp_path: Path) -> None:
    raw = changed(DRY, plugin(tmp_path, "compiles", BODY))
    simulation = Simulation.from_case(raw, out=tmp_path / "run", timeline=True)
    simulation.run(days=6 / 24, quiet=True)
    told = json.loads((tmp_path / "run" / "run.json").read_text())["seconds"]
    assert told == {name: round(s, 4) for name, s in simulation.seconds().items()}
    events = json.loads((tmp_path / "run" / "timeline.json").read_text())["traceEvents"]
    (first,) = (e for e in events if e["name"] == START)
    last = first["ts"] + first["dur"]
    calls = [e for e in events if e["name"] == "test_forcing=compiles" and e["ts"] > last]
    assert len(calls) == 5
    begin = calls[COMPILE - 1]["ts"]
    end = begin + calls[COMPILE - 1]["dur"]
    compiles = [e["dur"] for e in events if e["name"] == "compile" and begin < e["ts"] < end]
    called, compiled = 1e-6 * sum(e["dur"] for e in calls), 1e-6 * sum(compiles)
    assert 1e-6 * first["dur"] > SLEEP
    assert 0.02 < compiled < called  # no machine compiles faster
    # What the calls took beside compiling, within the resolution of either clock.
    assert abs(told["test_forcing=compiles"] - (called - compiled)) < 0.05 * called + 1e-3
    assert told[START] > SLEEP + 0.99 * compiled
    lines = simulation.closing_lines()
    assert sum(line.startswith(START) for line in lines) == 1
