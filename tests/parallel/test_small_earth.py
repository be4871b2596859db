"""All models beside the atmosphere: the same bits on any number of ranks and after a restart."""

from pathlib import Path

from fields_of_runs import differing
from small_earth import small_earth
from team import on_ranks

from coupler import Simulation


def run(out: Path, raw: dict, ranks: int, days: float, **how) -> Path:
    def work(parallel):
        Simulation.from_case(raw, out=out, parallel=parallel, **how).run(days, quiet=True)

    on_ranks(ranks, work)
    return out


def test_ranks_and_a_restart_between_two_exchanges_change_no_bit(tmp_path: Path) -> None:
    # A restart at every fifth step: rivers step every fourth, the sea every second.
    restart = {"interval": "150 min", "keep": 1}
    raw = small_earth(tmp_path, restart=restart, correctors="all")
    alone = run(tmp_path / "alone", raw, 1, 0.3125)
    run(tmp_path / "parts", raw, 3, 5 / 48)
    parts = run(tmp_path / "parts", raw, 2, 10 / 48, resume=True)
    assert differing(alone, parts) == []
