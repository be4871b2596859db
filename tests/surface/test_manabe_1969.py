"""The bucket: Manabe (1969), limits of wet and dry, snow, and what it keeps."""

from __future__ import annotations

from typing import Any

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from coupler.interface.component import Arrays, Now, Site
from coupler.interface.constants import Planet
from physics.surface.bucket import Bucket
from physics.surface.parts import FUSION
from physics.surface.snow import snow_share

Array = np.ndarray[Any, Any]
SHAPE = (3, 4)
RECEIVED = ["hfds_land", "hfds_snow", "evspsbl_land", "evspsbl_snow", "pr", "tas"]


def now() -> Now:
    return Now(date=cftime.datetime(2001, 1, 1, calendar="noleap"), step=0, seconds=0.0, dt=3600.0)


def land(**parameters: Any) -> Bucket:
    bucket = Bucket(Bucket.Parameters(nlat=3, nlon=4, **parameters))
    fraction = np.linspace(0.0, 1.0, 12).reshape(SHAPE)
    bucket.setup(
        Site(planet=Planet(), dtype=np.dtype(np.float64), seed=0, boundary={"sftlf": fraction})
    )
    return bucket


def step(bucket: Bucket, n: int = 1, **fluxes: float) -> None:
    given = {name: np.full(SHAPE, fluxes.get(name, 0.0)) for name in RECEIVED}
    given["tas"] = np.full(SHAPE, fluxes.get("tas", 290.0))
    for _ in range(n):
        bucket.step(Arrays(**given), now())


def test_evaporation_is_that_of_water_above_three_quarters_of_fifteen_centimetres() -> None:
    bucket = land(first_wetness=1.0)
    wet = bucket.fields()["wetness_land"]
    assert (wet == 1.0).all()
    seen = {}
    for share in (0.9, 0.75, 0.5, 0.3, 0.0):
        bucket.restore(bucket.memory() | {"water": np.full(SHAPE, 150.0 * share)})
        seen[share] = float(wet[0, 0])
    assert seen == {0.9: 1.0, 0.75: 1.0, 0.5: 0.5 / 0.75, 0.3: pytest.approx(0.4), 0.0: 0.0}


def test_a_full_bucket_passes_on_what_it_gets_and_a_dry_one_nothing() -> None:
    bucket = land(first_wetness=1.0)
    bucket.restore(bucket.memory() | {"snow": np.zeros(SHAPE), "ground": np.full(SHAPE, 290.0)})
    step(bucket, pr=1e-4, evspsbl_land=4e-5)
    share = np.linspace(0.0, 1.0, 12).reshape(SHAPE)
    np.testing.assert_allclose(bucket.fields()["mrro"], 6e-5 * share, rtol=1e-9)
    bucket.restore(bucket.memory() | {"water": np.full(SHAPE, 10.0)})
    step(bucket, pr=1e-4)
    assert (bucket.fields()["mrro"] == 0.0).all()


def test_steady_rain_and_potential_evaporation_find_the_balance_of_budyko() -> None:
    """P = beta E_p below the wet limit: w = 0.75 w_max P/E_p; above it P - E_p runs off."""
    for rain, potential in ((2e-5, 5e-5), (5e-5, 2e-5)):
        bucket = land(dt=14400.0)
        bucket.restore(bucket.memory() | {"snow": np.zeros(SHAPE), "ground": np.full(SHAPE, 290.0)})
        for _ in range(1600):
            beta = float(bucket.fields()["wetness_land"][0, 0])
            step(bucket, pr=rain, evspsbl_land=beta * potential)
        water = float(bucket.fields()["mrso"][2, 3])
        off = float(bucket.fields()["mrro"][2, 3])
        if rain < potential:
            assert water == pytest.approx(0.75 * 150.0 * rain / potential, rel=1e-3)
            assert off == 0.0
        else:
            assert water == pytest.approx(150.0)
            assert off == pytest.approx(rain - potential, rel=1e-6)


def test_snow_melts_with_the_heat_above_melting_and_holds_the_ground_there() -> None:
    bucket = land()
    start = {"snow": np.full(SHAPE, 50.0), "ground": np.full(SHAPE, 273.15)}
    bucket.restore(bucket.memory() | start)
    step(bucket, hfds_land=100.0, hfds_snow=100.0)
    left = 50.0 - 100.0 * 3600.0 / FUSION
    np.testing.assert_allclose(bucket.memory()["snow"], left, rtol=1e-12)
    np.testing.assert_allclose(bucket.memory()["ground"], 273.15, atol=1e-12)


def test_rain_turns_to_snow_around_freezing() -> None:
    assert [snow_share(t) for t in (250.0, 272.15, 274.15, 276.15, 290.0)] == [1, 1, 0.5, 0, 0]


@pytest.mark.parametrize("wrong", [0.0, 1e-3])
def test_land_loses_no_water_and_no_energy(wrong: float) -> None:
    bucket = land(most_snow=60.0)
    rng = np.random.default_rng(2)
    state = {
        "snow": rng.choice([0.0, 5.0, 59.9], SHAPE),
        "ground": rng.uniform(262.0, 285.0, SHAPE),
        "water": rng.choice([0.0, 100.0, 150.0], SHAPE),
    }
    bucket.restore(bucket.memory() | state)
    part = {n: a.copy() for n, a in bucket.parts(Arrays()).items()}
    before = {n: a.copy() for n, a in bucket.stores().items()}
    given = {n: rng.uniform(-1e-4, 1e-3, SHAPE) for n in RECEIVED}
    given |= {"pr": rng.uniform(0.0, 1e-3, SHAPE), "tas": rng.uniform(268.0, 280.0, SHAPE)}
    given |= {n: rng.uniform(-300.0, 700.0, SHAPE) for n in ("hfds_land", "hfds_snow")}
    bucket.step(Arrays(**given), now())
    after, dt = bucket.stores(), bucket.dt
    water = given["pr"] * part["pr"] - bucket.fields()["mrro"]
    energy = np.zeros(SHAPE)
    for tile in ("land", "snow"):
        water = water - given[f"evspsbl_{tile}"] * part[f"evspsbl_{tile}"]
        energy = energy + given[f"hfds_{tile}"] * part[f"hfds_{tile}"] * (1.0 + wrong)
    # a few roundings of 200 kg m-2 and 2e8 J m-2
    lost = np.abs(after["energy"] - before["energy"] - dt * energy).max()
    assert (lost < 1e-6) == (wrong == 0.0)
    assert np.abs(after["water"] - before["water"] - dt * water).max() < 1e-12 * 300.0


def test_a_step_that_is_too_long_for_the_ground_is_refused() -> None:
    with pytest.raises(ValidationError, match="step too long for the ground"):
        Bucket.Parameters(depth=0.05)
