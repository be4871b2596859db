"""Mass-flux convection: its updraught, trigger, closure, memory, and budgets at any moment."""

import numpy as np
import pytest
from column_harness import NCOL, PLANET, Bound, column, heights, moist_enthalpy, now, run, state
from pydantic import ValidationError

from coupler.interface.component import Now
from coupler.interface.grid import HybridLevels
from physics.columns.mass_flux import MassFlux
from physics.columns.mass_flux_plume import ascend, updraught_temperature
from physics.columns.thermo import saturation

LEVELS = HybridLevels.stretched(27, scale_heights=6.0)
L, CP, G = PLANET.latent_heat_vaporization, PLANET.cp_dry, PLANET.gravity
RD, RV = PLANET.gas_constant_dry, PLANET.gas_constant_vapour


def at(seconds: float, dt: float = 1200.0) -> Now:
    moment = now(dt)
    moment.seconds = seconds
    return moment


def moist(humidity: float = 0.8) -> dict[str, np.ndarray]:
    """Warm columns that a moist updraught finds unstable, some more than others."""
    x = state(LEVELS)
    surface = np.linspace(293.0, 303.0, NCOL)
    sigma = x["pfull"] / x["ps"]
    mixed = np.maximum(sigma, 0.93) ** PLANET.kappa  # the lowest 7 % are well mixed
    x["ta"] = np.maximum(surface * mixed * (np.minimum(sigma, 0.93) / 0.93) ** 0.19, 200.0)
    flat = zip(x["ta"].ravel(), x["pfull"].ravel(), strict=True)
    qs = np.array([saturation(t, p, L, RD, RV)[0] for t, p in flat]).reshape(x["ta"].shape)
    x["hus"] = np.minimum(humidity * np.where(sigma > 0.25, sigma**0.4, 0.05) * qs, 0.02)
    heights(x)
    return x


def cloud(
    x: dict[str, np.ndarray], c: int, entrainment: float, conversion: float = 2e-3
) -> tuple[int, float, float, dict[str, np.ndarray]]:
    n = LEVELS.nlev
    names = ("ta", "hus", "pfull", "zg", "zghalf")
    t, q, p, z, zhalf = (np.ascontiguousarray(x[name][:, c]) for name in names)
    mass = np.ascontiguousarray(np.diff(x["phalf"][:, c]) / G)
    out = {name: np.zeros(n) for name in ("h", "q", "rain", "buoyant")}
    top, work, inhibition = ascend(
        t, q, p, z, zhalf, mass, n - 2, entrainment, conversion, 0.0, 1e9,
        G, CP, L, RD, RV, *out.values(),
    )  # fmt: skip
    return top, work, inhibition, out


def test_saturated_air_has_the_temperature_of_its_moist_static_energy() -> None:
    for warm, p, away in ((299.0, 9e4, 8.0), (270.0, 5e4, -9.0), (215.0, 2e4, 10.0)):
        h = CP * warm + 5e4 + L * saturation(warm, p, L, RD, RV)[0]
        t, qs = updraught_temperature(h, 5e4, p, warm + away, CP, L, RD, RV)
        assert t == pytest.approx(warm, abs=1e-6)
        assert qs == pytest.approx(saturation(warm, p, L, RD, RV)[0], rel=1e-6)


def test_an_updraught_that_takes_nothing_in_keeps_its_moist_static_energy() -> None:
    x, c = moist(), NCOL - 1
    top, work, _, out = cloud(x, c, 0.0, 0.0)
    assert top < 12
    assert np.ptp(out["h"][top:]) < 1e-9 * out["h"][-1]
    assert np.ptp(out["q"][top:]) < 1e-15
    total = 0.0
    for k in range(top, LEVELS.nlev - 2):  # the work once more, by bisection for the temperature
        low, high = 150.0, 330.0
        for _ in range(60):
            t = 0.5 * (low + high)
            energy = CP * t + G * x["zg"][k, c] + L * saturation(t, x["pfull"][k, c], L, RD, RV)[0]
            low, high = (t, high) if energy < out["h"][-1] else (low, t)
        qs = saturation(t, x["pfull"][k, c], L, RD, RV)[0]
        virtual = x["ta"][k, c] * (1.0 + PLANET.virtual_factor * x["hus"][k, c])
        lift = G * (t * (1.0 + PLANET.virtual_factor * qs) / virtual - 1.0)
        if qs < out["q"][-1] and lift > 0.0:
            total += lift * (x["zghalf"][k, c] - x["zghalf"][k + 1, c])
    assert work == pytest.approx(total, rel=1e-6)


def test_an_updraught_that_mixes_rises_less_far_with_less_work() -> None:
    x = moist()
    tops, works = zip(*(cloud(x, NCOL - 1, e)[:2] for e in (0.0, 1e-4, 5e-4)), strict=True)
    assert tops[0] <= tops[1] <= tops[2]
    assert works[0] > 1.1 * works[1] > 1.21 * works[2]


def test_energy_is_kept_and_water_rains_while_rates_are_new_and_while_they_are_held() -> None:
    x = moist()
    b = Bound(MassFlux(), x, LEVELS)
    for seconds in (0.0, 1200.0):
        rates = b(at(seconds))
        active = b.diag["mcb"] > 0.0
        assert active.sum() > 5
        energy, water = moist_enthalpy(rates), rates["hus"]
        size = column(np.abs(water), x)
        assert np.all(np.abs(column(energy, x)) <= 1e-12 * L * size)
        assert np.all(np.abs(column(water, x) + b.diag["prc"]) <= 1e-12 * size)
        # control: without the rain water would not close, and heat alone does not
        assert np.all(b.diag["prc"][active] > 1e-3 * size[active])
        assert np.any(np.abs(column(CP * rates["ta"], x)) > 1e-3 * L * size)
        # the same rates per area in columns that have become heavier
        for name in ("ps", "phalf", "pfull"):
            x[name] *= 1.01


def test_a_triggered_column_goes_on_although_nothing_would_start_it_any_more() -> None:
    x = moist()
    b = Bound(MassFlux(MassFlux.Parameters(lifetime=3600.0)), x, LEVELS)
    first = b(at(0.0))
    active = b.diag["mcb"] > 0.0
    np.testing.assert_array_equal(b.diag["cntime"][active], 3600.0)
    x["ta"][-4:] -= 15.0  # nothing can rise from here
    x["hus"][-4:] *= 0.3
    held = b(at(2400.0))
    np.testing.assert_array_equal(held["ta"], first["ta"])
    np.testing.assert_array_equal(b.diag["cntime"][active], 1200.0)
    after = b(at(3600.0))
    assert not after["ta"].any()
    assert not b.diag["cntime"].any()
    assert not b.diag["prc"].any()


def test_convection_needs_work_to_gain_and_little_to_pay() -> None:
    x = moist()
    free = run(MassFlux(), x, LEVELS)[1]["mcb"] > 0.0
    greedy = run(MassFlux(MassFlux.Parameters(threshold=1e5)), x, LEVELS)[1]
    assert not greedy["mcb"].any()
    x["ta"][-7:-3] += 6.0  # a warm lid
    heights(x)
    assert not (run(MassFlux(), x, LEVELS)[1]["mcb"] > 0.0)[free].any()
    paid = run(MassFlux(MassFlux.Parameters(inhibition=1e4)), x, LEVELS)[1]["mcb"] > 0.0
    assert paid.any()


def test_the_closure_uses_up_the_work_in_its_time() -> None:
    x = moist()
    tau, dt = 7200.0, 60.0
    rates, d = run(MassFlux(MassFlux.Parameters(lifetime=0.0, tau=tau)), x, LEVELS, dt=dt)
    y = {name: a.copy() for name, a in x.items()}
    for name in ("ta", "hus"):
        y[name] += dt * rates[name]
    share = []
    for c in np.flatnonzero(d["mcb"] > 0.0):
        source = LEVELS.nlev - 1
        while x["pfull"][source - 1, c] >= x["ps"][c] - 5e3:
            source -= 1
        works = []
        for v in (x, y):
            names = ("ta", "hus", "pfull", "zg", "zghalf")
            arrays = [np.ascontiguousarray(v[name][:, c]) for name in names]
            mass = np.ascontiguousarray(np.diff(v["phalf"][:, c]) / G)
            out = [np.zeros(LEVELS.nlev) for _ in range(4)]
            works.append(
                ascend(*arrays, mass, source, 1e-4, 2e-3, 1500.0, 1e9, G, CP, L, RD, RV, *out)[1]
            )
        share.append((works[0] - works[1]) / works[0] * tau / dt)
    # of first order in the trial exchange of 5 % of a layer; tops move by whole layers
    assert np.median(share) == pytest.approx(1.0, abs=0.3)


def test_no_layer_gives_more_water_than_it_has() -> None:
    x = moist()
    b = Bound(MassFlux(MassFlux.Parameters(lifetime=36000.0)), x, LEVELS)
    b(at(0.0))
    active = b.diag["mcb"] > 0.0
    x["hus"] *= 1e-3  # something else has dried the air meanwhile
    rates = b(at(1200.0, 1200.0))
    assert (x["hus"] + 1200.0 * rates["hus"]).min() > -1e-18
    assert (rates["ta"] != 0.0).any()
    assert not b.diag["cntime"][active].all()  # and there it ends
    size = column(np.abs(rates["hus"]), x)
    assert np.all(np.abs(column(rates["hus"], x) + b.diag["prc"]) <= 1e-12 * size)


def test_what_a_restart_gives_back_is_what_goes_on() -> None:
    x = moist()
    b, fresh = Bound(MassFlux(), x, LEVELS), Bound(MassFlux(), x, LEVELS)
    b(at(0.0))
    fresh.scheme.restore({n: a.copy() for n, a in b.scheme.memory().items()})
    x["ta"] += 0.3
    want, got = b(at(600.0)), fresh(at(600.0))
    np.testing.assert_array_equal(got["ta"], want["ta"])
    assert want["ta"].any()
    # control: without its memory it would begin anew
    assert not np.array_equal(Bound(MassFlux(), x, LEVELS)(at(600.0))["ta"], want["ta"])


def test_a_clock_that_begins_anew_does_not_hold_what_was_triggered_for_ever() -> None:
    x = moist()
    runs = [Bound(MassFlux(MassFlux.Parameters(lifetime=3600.0)), x, LEVELS) for _ in range(2)]
    for b in runs:
        for n in range(100, 102):
            b(at(1200.0 * n))
    active = runs[0].diag["cntime"] > 0.0
    assert active.any()
    # one goes on, the other is a branch: its clock is put back, or behind the first call
    for n, seconds in enumerate((0.0, 1200.0, 2400.0, 3600.0)):
        x["ta"][-3:] += 0.2
        want = runs[0](at(1200.0 * (102 + n)))
        got = runs[1](at(seconds))
        np.testing.assert_array_equal(got["ta"], want["ta"])
        np.testing.assert_array_equal(runs[1].diag["cntime"], runs[0].diag["cntime"])
        assert (runs[1].diag["cntime"][active] == (1200.0, 3600.0, 2400.0, 1200.0)[n]).any()


def test_clouds_that_would_eat_themselves_are_refused() -> None:
    with pytest.raises(ValidationError, match="greater than or equal to 0"):
        MassFlux.Parameters(entrainment=-1e-4)
    with pytest.raises(ValidationError, match="greater than 0"):
        MassFlux.Parameters(tau=0.0)
