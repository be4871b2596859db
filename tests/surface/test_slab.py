"""The slab surface: heat budget, tiles, prescribed sea, restart, refusals."""

from collections.abc import Mapping

import cftime
import numpy as np
import pytest
from pydantic import ValidationError

from coupler.interface.component import Arrays, Now, Site
from coupler.interface.constants import Planet
from coupler.interface.errors import ConfigError, DataError
from physics.surface.climatology import interpolate, month_weights
from physics.surface.slab import Slab

SHAPE = (7, 11)
FLUXES = ("rsds", "rsus", "rlds", "rlus", "hfss", "hfls")


def slab(
    boundary: Mapping[str, np.ndarray] | None = None,
    *,
    dtype: str = "float64",
    date: cftime.datetime | None = None,
    **choice: object,
) -> Slab:
    model = Slab(Slab.Parameters(nlat=SHAPE[0], nlon=SHAPE[1], **choice))
    model.setup(
        Site(planet=Planet(), dtype=np.dtype(dtype), seed=0, boundary=boundary or {}, date=date)
    )
    return model


def fluxes(seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    return Arrays(**{name: rng.uniform(0.0, 400.0, SHAPE) for name in FLUXES})


def net(x: Arrays) -> np.ndarray:
    return x.rsds - x.rsus + x.rlds - x.rlus - x.hfss - x.hfls


def at(date: cftime.datetime) -> Now:
    return Now(date=date, step=0, seconds=0.0, dt=1200.0)


NOW = at(cftime.datetime(2001, 3, 9))


def some_land() -> np.ndarray:
    land = np.random.default_rng(4).uniform(0.0, 1.0, SHAPE)
    land[0], land[-1] = 0.0, 1.0
    return land


def test_heat_stored_is_heat_received_cell_by_cell() -> None:
    model = slab({"sftlf": some_land()})
    before, received = model.heat(), np.zeros(SHAPE)
    wrong = np.zeros(SHAPE)
    for seed in range(30):
        x = fluxes(seed)
        received += model.dt * net(x)
        wrong += model.dt * (net(x) + 2.0 * x.hfls)  # control: one sign mistaken
        model.step(x, NOW)
    gain = model.heat() - before
    # heat is 1e9 to 3e9 J/m2 in float64: differences are good to 30 times its round-off
    np.testing.assert_allclose(gain, received, atol=30 * 2.3e-16 * 3e9)
    assert np.all(np.abs(gain - wrong) > 1e6)


def test_a_sea_cell_warms_by_the_flux_over_its_heat_capacity() -> None:
    model = slab()
    before = model.fields()["ts"].copy()
    x = Arrays(
        **{n: np.full(SHAPE, v) for n, v in zip(FLUXES, (300, 93, 350, 420, 20, 90), strict=True)}
    )
    model.step(x, NOW)
    # Frierson et al. (2006): C = 1e7 J m-2 K-1
    expected = (300 - 93 + 350 - 420 - 20 - 90) * 10800.0 / 1e7
    np.testing.assert_allclose(model.fields()["ts"] - before, expected, rtol=1e-11)
    np.testing.assert_allclose(model.fields()["hfds"], 27.0)


def test_land_reacts_faster_and_mixed_cells_lie_between() -> None:
    land = np.zeros(SHAPE)
    land[:, 1::3], land[:, 2::3] = 0.5, 1.0
    model = slab({"sftlf": land})
    before = model.fields()["ts"].copy()
    x = Arrays(**{n: np.full(SHAPE, 250.0 if n == "rsds" else 0.0) for n in FLUXES})
    for _ in range(8):
        model.step(x, NOW)
    rise = model.fields()["ts"] - before
    assert np.all(rise[:, 2] > rise[:, 1])
    assert np.all(rise[:, 1] > rise[:, 0])
    np.testing.assert_allclose(rise[:, 2], 8 * 250.0 * 10800.0 / 2e6, rtol=1e-10)


def test_properties_are_area_weighted_and_net_insolation_is_friersons() -> None:
    land = some_land()
    model = slab({"sftlf": land}, sea_albedo=0.1, land_albedo=0.3, land_wetness=0.25)
    f = model.fields()
    np.testing.assert_allclose(f["albs"], 0.1 * (1 - land) + 0.3 * land, rtol=1e-14)
    np.testing.assert_allclose(f["wetness"], (1 - land) + 0.25 * land, rtol=1e-14)
    np.testing.assert_array_equal(f["sftlf"], land)
    default = slab().fields()
    np.testing.assert_allclose(1360.0 * (1 - default["albs"]), 938.4, rtol=1e-14)
    assert (default["wetness"] == 1.0).all()


@pytest.mark.parametrize("fraction", [0.02, 0.5, 1.0])
@pytest.mark.parametrize("feedback", [5.0, 30.0, 95.0])
def test_land_under_a_reacting_atmosphere_goes_to_its_equilibrium_without_overshoot(
    fraction: float, feedback: float
) -> None:
    # fluxes that react to the cell's ts, as an atmosphere's do, with the strength in question;
    # also land that is a sliver of a cell with prescribed sea must not run away
    model = slab(
        {"sftlf": np.full(SHAPE, fraction), "tos": np.full(SHAPE, 290.0)}, sea="prescribed"
    )
    x = Arrays(**{n: np.zeros(SHAPE) for n in FLUXES})
    last = np.inf
    for _ in range(600):
        x.rlds[...] = feedback * (280.0 - model.fields()["ts"])
        model.step(x, NOW)
        soil = model.memory()["soil"]
        assert np.ptp(soil) < 1e-9
        distance = abs(float(soil[0, 0] - last))
        last = float(soil[0, 0])
    assert distance < 1e-6
    # F = lambda (T_land - T_s) at rest: T_land = T_sea - F-weighted pull, never beyond by more
    # than the ratio of the feedbacks
    assert 290.0 - 10.0 * max(1.0, feedback / 30.0) - 1e-5 <= last <= 290.0


def test_a_step_too_long_for_the_heat_capacity_is_refused_with_the_longest_allowed() -> None:
    with pytest.raises(ValidationError, match=r"step too long for the land.*at most 2000 s"):
        Slab.Parameters(land_depth=0.1)
    with pytest.raises(ValidationError, match="step too long for the sea"):
        Slab.Parameters(depth="20 cm")  # type: ignore[arg-type]
    assert Slab.Parameters(land_depth=0.1, dt="30 min").dt == 1800.0  # type: ignore[arg-type]
    assert Slab.Parameters(depth=0.2, sea="prescribed").depth == 0.2


def climatology() -> np.ndarray:
    month = np.arange(12)[:, None, None]
    lat = np.linspace(-1, 1, SHAPE[0])[None, :, None]
    return 285.0 + 8.0 * lat * np.cos(2 * np.pi * (month - 7) / 12) + np.zeros((12, *SHAPE))


def test_prescribed_sea_follows_the_climatology_and_land_its_budget() -> None:
    land = np.zeros(SHAPE)
    land[:, 3] = 1.0
    tos = climatology()
    start = cftime.datetime(2001, 7, 16, 12)
    model = slab({"sftlf": land, "tos": tos}, sea="prescribed", date=start)
    np.testing.assert_allclose(model.fields()["ts"][:, 0], tos[6, :, 0], rtol=1e-14)
    model.step(fluxes(1), at(cftime.datetime(2001, 8, 16, 12)))
    np.testing.assert_allclose(model.fields()["ts"][:, 0], tos[7, :, 0], rtol=1e-14)
    rise = net(fluxes(1))[:, 3] * 10800.0 / 2e6
    soil = tos[6, :, 3] + rise
    np.testing.assert_allclose(model.fields()["ts"][:, 3], soil, rtol=1e-13)


@pytest.mark.parametrize("sea", ["slab", "prescribed"])
def test_what_is_stored_is_what_was_received_and_came_from_elsewhere(sea: str) -> None:
    start = cftime.datetime(2001, 7, 16, 12)
    model = slab({"sftlf": some_land(), "tos": climatology()}, sea=sea, date=start)
    for seed in range(3):
        x, before = fluxes(seed), model.stores()["energy"].copy()
        model.step(x, at(cftime.datetime(2001, 7, 17 + seed)))
        gain = model.stores()["energy"] - before
        given = model.dt * (net(x) + model.sources()["energy"])
        np.testing.assert_allclose(gain, given, atol=30 * 2.3e-16 * 3e9)
        # control: what a prescribed sea takes is not nothing
        assert (np.abs(gain - model.dt * net(x)).max() > 1e5) == (sea == "prescribed")


def test_slab_sea_may_start_from_a_climatology() -> None:
    tos = climatology()
    date = cftime.datetime(2001, 2, 15)
    model = slab({"tos": tos}, date=date)
    np.testing.assert_allclose(model.fields()["ts"], tos[1], rtol=1e-14)
    assert np.abs(slab({"tos": tos}).fields()["ts"] - tos.mean(axis=0)).max() < 1e-12


def test_without_data_it_starts_with_the_profile_of_its_parameters() -> None:
    model = slab(t_equator=300.0, t_contrast=50.0)
    ts, lat = model.fields()["ts"], model.grid.lat
    np.testing.assert_allclose(
        ts, np.repeat((300 - 50 * np.sin(np.radians(lat)) ** 2)[:, None], 11, 1)
    )


def test_sea_temperature_missing_under_land_is_no_matter_and_under_sea_is_refused() -> None:
    land = np.zeros(SHAPE)
    land[2, 4] = 1.0
    tos = climatology()
    tos[:, 2, 4] = np.nan
    model = slab({"sftlf": land, "tos": tos}, sea="prescribed")
    # land starts from the zonal mean of the sea
    assert model.fields()["ts"][2, 4] == pytest.approx(model.fields()["ts"][2, 0])
    model.step(fluxes(0), NOW)
    assert np.isfinite(model.fields()["ts"]).all()
    tos[5, 1, 1] = np.nan
    with pytest.raises(
        DataError, match=r"sea without a temperature: tos; .* found 1 others.*month 6"
    ):
        slab({"sftlf": land, "tos": tos}, sea="prescribed")


def test_a_planet_of_land_needs_no_sea_temperature() -> None:
    nothing = np.full((12, *SHAPE), np.nan)
    model = slab({"sftlf": np.ones(SHAPE), "tos": nothing}, sea="prescribed", t_equator=288.0)
    model.step(fluxes(0), NOW)
    assert np.isfinite(model.fields()["ts"]).all()


def test_data_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"prescribed sea without data: surface\.tos"):
        slab(sea="prescribed")
    with pytest.raises(DataError, match="climatology does not fit: tos"):
        slab({"tos": np.full((11, *SHAPE), 290.0)})
    with pytest.raises(DataError, match=r"land fraction does not fit: sftlf.*to 100"):
        slab({"sftlf": np.full(SHAPE, 100.0)})
    with pytest.raises(DataError, match="land fraction does not fit"):
        slab({"sftlf": np.full(SHAPE, np.nan)})


@pytest.mark.parametrize("sea", ["slab", "prescribed"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_restart_equals_the_uninterrupted_run_bit_for_bit(sea: str, dtype: str) -> None:
    boundary = {"sftlf": some_land(), "tos": climatology()}
    date = cftime.datetime(2001, 1, 1)
    straight = slab(boundary, dtype=dtype, sea=sea, date=date)
    for i in range(6):
        straight.step(fluxes(i), at(cftime.datetime(2001, 1, 20 + i)))
    first = slab(boundary, dtype=dtype, sea=sea, date=date)
    for i in range(3):
        first.step(fluxes(i), at(cftime.datetime(2001, 1, 20 + i)))
    saved = {name: a.copy() for name, a in first.memory().items()}
    second = slab(boundary, dtype=dtype, sea=sea, date=cftime.datetime(2001, 1, 23))
    second.restore(saved)
    for name, array in second.fields().items():
        np.testing.assert_array_equal(array, first.fields()[name], err_msg=name)
    for i in range(3, 6):
        second.step(fluxes(i), at(cftime.datetime(2001, 1, 20 + i)))
    for name, array in second.fields().items():
        np.testing.assert_array_equal(array, straight.fields()[name], err_msg=name)


def test_provided_arrays_are_the_same_objects_at_every_step() -> None:
    model = slab(dtype="float32")
    before = dict(model.fields())
    model.step(fluxes(0), NOW)
    for name, array in model.fields().items():
        assert array is before[name]
        assert array.dtype == np.float32
    assert set(before) == {f.name for f in Slab.provides}


@pytest.mark.parametrize(
    "calendar", ["standard", "noleap", "360_day", "all_leap", "proleptic_gregorian", "julian"]
)
def test_climatology_is_exact_at_mid_month_and_continuous_through_the_year(calendar: str) -> None:
    for month in range(1, 13):
        start = cftime.datetime(2004, month, 1, calendar=calendar)
        middle = start + (start.replace(day=start.daysinmonth) - start + (ONE_DAY)) / 2
        earlier, later, weight = month_weights(middle)
        value = earlier * (1 - weight) + later * weight
        assert value % 12 == pytest.approx(month - 1, abs=1e-12)
    values = np.cos(2 * np.pi * np.arange(12) / 12)[:, None, None] * np.ones((12, *SHAPE))
    out, last = np.zeros(SHAPE), None
    date = cftime.datetime(2003, 12, 1, calendar=calendar)
    for _ in range(430):
        interpolate(values, date, out)
        # the cosine's slope is at most 2 pi/12 a month of 28 days or more
        assert last is None or abs(out[0, 0] - last) < 2 * np.pi / 12 / 28
        last = out[0, 0]
        date = date + ONE_DAY


ONE_DAY = cftime.datetime(2001, 1, 2) - cftime.datetime(2001, 1, 1)


def test_the_first_month_of_the_first_year_needs_no_year_before() -> None:
    earlier, later, weight = month_weights(cftime.datetime(1, 1, 1, calendar="standard"))
    assert (earlier, later) == (11, 0)
    assert weight == pytest.approx(0.5)
