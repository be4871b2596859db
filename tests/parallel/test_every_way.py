"""Twenty steps of the earth and of the aquaplanet, with waves computed and learned, in every way.

Every number of ranks with every transport, held against one rank with everything in one process.
The four models share the ways among them; the long version takes all ways for each. Ranks are
threads, but for those that answer by messages and those of ``test_mpi_jobs``; workers are
processes.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from fields_of_runs import differing
from tiny import changed
from ways import ALL, Way, go

from coupler.config import read_yaml

CASES = Path(__file__).resolve().parents[2] / "cases"
STEPS = 20
# Output every 10 or 6 steps, the surface every 4 or 6, so that something is under way at the end.
PLANETS: dict[str, dict[str, Any]] = {
    "earth_t31": {
        "days": STEPS * 900.0 / 86400.0,
        "output.interval": "150 min",
        "surface.dt": "1 h",
    },
    "aquaplanet_t21": {
        "atmosphere.dt": "20 min",
        "days": STEPS * 1200.0 / 86400.0,
        "output.interval": "2 h",
        "surface.dt": "2 h",
    },
}
MODELS = [(planet, waves) for planet in PLANETS for waves in ("ad99", "gw_column")]
OTHERS = [way for way in ALL if way != Way(1, "inline")]


def differs(folder: Path, planet: str, waves: str, ways: list[Way]) -> dict[str, list[str]]:
    """What differs between each way and one rank in one process."""
    raw = changed(read_yaml(CASES / f"{planet}.yaml"), PLANETS[planet])
    how = {"swap": {"gravity_wave": waves}} if waves != "ad99" else {}
    alone = go(folder / "alone", raw, Way(1, "inline"), **how)
    return {str(way): differing(alone, go(folder / str(way), raw, way, **how)) for way in ways}


@pytest.mark.parametrize(("planet", "waves"), MODELS)
def test_a_model_writes_the_same_bits_in_its_share_of_all_ways(
    tmp_path: Path, data: Path, planet: str, waves: str
) -> None:
    ways = OTHERS[MODELS.index((planet, waves)) :: len(MODELS)]
    found = differs(tmp_path, planet, waves, ways)
    assert found == {str(way): [] for way in ways}


@pytest.mark.slow
@pytest.mark.parametrize(("planet", "waves"), MODELS)
def test_a_model_writes_the_same_bits_in_every_way(
    tmp_path: Path, data: Path, planet: str, waves: str
) -> None:
    assert differs(tmp_path, planet, waves, OTHERS) == {str(way): [] for way in OTHERS}
