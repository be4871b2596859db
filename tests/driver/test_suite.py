"""The suite: schemes act in order, on what the ones before them left, in four modes."""

from __future__ import annotations

from dataclasses import dataclass

import cftime
import numpy as np
import pytest

from coupler.config import Ramp
from coupler.driver.bound import Bound
from coupler.driver.suite import Process, Suite
from coupler.interface.component import (
    Arrays,
    Diagnostic,
    Host,
    Now,
    Tendency,
    flux_of,
    gives,
    reads,
    tendencies_of,
)
from coupler.interface.constants import Planet
from coupler.interface.errors import UnstableError
from coupler.interface.grid import Grid, HybridLevels

K, NLAT, NLON = 5, 6, 10


class Warm(Tendency):
    """1 K per 100 s, everywhere."""

    process, scheme = "radiation", "warm"
    tendencies = tendencies_of("ta")
    rate = 0.01

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[...] = self.rate


class Warmer(Warm):
    scheme = "warmer"
    rate = 0.03


class Halve(Tendency):
    """Takes half of the temperature it sees away within the step."""

    process, scheme = "convection", "halve"
    inputs = reads("ta")
    tendencies = tendencies_of("ta")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[...] = -0.5 * x.ta / now.dt


class Waves(Tendency):
    """A momentum flux that is largest in the middle."""

    process, scheme = "gravity_wave", "waves"
    inputs = reads("ua")
    fluxes = (flux_of("ua", "xgwdparam", top="dump"),)

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        k = np.arange(K + 1)[:, None]
        flux.xgwdparam[...] = np.sin(np.pi * k / K) * (1.0 + 0.01 * np.arange(NLAT * NLON))
        flux.xgwdparam[-1] = 0.0


class Hectopascal(Tendency):
    """Reads pressure in a unit of its own."""

    process, scheme = "radiation", "hectopascal"
    inputs = reads("", pfull="hPa")
    tendencies = tendencies_of("ta")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[...] = x.pfull


class Counter(Diagnostic):
    """Reads only."""

    process, scheme = "count", "counter"
    inputs = reads("ta")
    diagnostics = gives("tas")

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        diag.tas[...] = x.ta[-1]


@dataclass
class Made:
    suite: Suite
    columns: dict[str, np.ndarray]

    def now(self, step: int = 0, dt: float = 100.0) -> Now:
        return Now(date=cftime.datetime(2000, 1, 1), step=step, seconds=step * dt, dt=dt)

    def add(
        self,
        *components: Tendency | Diagnostic,
        weights: tuple[float | Ramp, ...] = (1.0,),
        every: int = 1,
        span: float = 0.0,
    ) -> Process:
        suite = self.suite
        bounds = [Bound(c, c.scheme, every, suite.pool, suite.host, span=span) for c in components]
        for bound, weight in zip(bounds, weights, strict=True):
            if weight == 1.0:
                suite.pool.update(bound.diag.items())
        process = Process(name=components[0].process, schemes=bounds, weights=list(weights))
        suite.add(process)
        return process


@pytest.fixture(params=["float64", "float32"])
def made(request: pytest.FixtureRequest) -> Made:
    dtype = np.dtype(request.param)
    levels = HybridLevels.sigma(K)
    grid = Grid.gaussian(NLAT, NLON)
    rng = np.random.default_rng(3)
    ps = (1.0e5 + 1e3 * rng.standard_normal(grid.shape)).astype(dtype)
    phalf = levels.half_pressure(ps).astype(dtype)
    shape = (K, *grid.shape)
    columns = {
        "ua": rng.standard_normal(shape).astype(dtype),
        "va": rng.standard_normal(shape).astype(dtype),
        "ta": np.full(shape, 200.0, dtype),
        "hus": np.zeros(shape, dtype),
        "ps": ps,
        "phalf": phalf,
        "pfull": (0.5 * (phalf[1:] + phalf[:-1])).astype(dtype),
    }
    host = Host(grid=grid, levels=levels, planet=Planet(), dtype=dtype, seed=0)
    return Made(Suite(host, columns), columns)


def test_without_schemes_the_tendency_is_exactly_zero(made: Made) -> None:
    total = made.suite.run(made.now())
    assert all(not a.any() for a in total.values())


def test_a_constant_heating_is_passed_on_and_the_start_is_untouched(made: Made) -> None:
    made.add(Warm())
    before = made.columns["ta"].copy()
    total = made.suite.run(made.now())
    np.testing.assert_allclose(total["ta"], 0.01, rtol=1e-7)
    np.testing.assert_array_equal(made.columns["ta"], before)
    assert not total["ua"].any()


def test_a_scheme_sees_what_the_ones_before_it_left(made: Made) -> None:
    made.add(Warm())
    made.add(Halve())
    total = made.suite.run(made.now())
    # 200 K + 1 K, then halved: -99.5 K in 100 s.
    np.testing.assert_allclose(total["ta"] * 100.0, -99.5, rtol=1e-6)


def test_a_result_is_kept_and_applied_between_calls(made: Made) -> None:
    process = made.add(Halve(), every=3)
    made.suite.run(made.now(0))
    first = process.schemes[0].rate["ta"].copy()
    made.columns["ta"][...] = 100.0
    total = made.suite.run(made.now(1))
    np.testing.assert_array_equal(total["ta"], first)
    total = made.suite.run(made.now(3))
    np.testing.assert_allclose(total["ta"], 0.5 * first, rtol=1e-6)


def test_a_scheme_that_adjusts_rarely_adjusts_once_and_not_in_each_step(made: Made) -> None:
    made.add(Halve(), every=5, span=500.0)
    total = made.columns["ta"].astype(np.float64)
    for step in range(5):
        now = made.now(step)
        rate = made.suite.run(now)["ta"].reshape(total.shape)
        total += 100.0 * rate
        assert now.dt == 100.0, "the other schemes' step is left as it was"
    # Half of 200 K within the interval, not half of it in every one of five steps.
    np.testing.assert_allclose(total, 100.0, rtol=1e-6)


def test_diagnostics_arrive_zeroed_like_all_outputs(made: Made) -> None:
    class Sums(Counter):
        scheme = "sums"

        def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
            diag.tas += 1.0

    made.add(Sums())
    for step in range(3):
        made.suite.run(made.now(step))
    np.testing.assert_array_equal(made.suite.outputs()["tas"][1], 1.0)


class Broken(Tendency):
    """Gives NaN at one point of the heating."""

    process, scheme = "radiation", "broken"
    tendencies = tendencies_of("ua ta")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[3, 27] = np.nan


class Fussy(Tendency):
    """Complains of temperatures that are not finite."""

    process, scheme = "gravity_wave", "fussy"
    inputs = reads("ta")
    tendencies = tendencies_of("ua")

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        if not np.isfinite(x.ta).all():
            raise UnstableError.of("fussy was given nonsense", "ta")


@pytest.mark.parametrize("followers", [(), (Halve(), Fussy())])
def test_the_scheme_that_gave_nan_is_named_with_its_point_and_not_one_after_it(
    made: Made, followers: tuple[Tendency, ...]
) -> None:
    made.add(Warm())
    made.add(Broken())
    for follower in followers:
        made.add(follower)
    where = r"ta of radiation=broken; .*nan at level 3, lat -13\.8, lon 252\.0, step 4, date 2000"
    with pytest.raises(UnstableError, match=where):
        made.suite.run(made.now(4))


def test_a_complaint_about_a_state_that_came_so_is_passed_on(made: Made) -> None:
    made.columns["ta"][2, 1, 1] = np.inf
    made.add(Fussy())
    with pytest.raises(UnstableError, match="fussy was given nonsense"):
        made.suite.run(made.now())


def test_a_shadow_that_gives_nan_stops_nothing(made: Made) -> None:
    made.add(Broken(), Warm(), weights=(0.0, 1.0))
    total = made.suite.run(made.now())
    np.testing.assert_allclose(total["ta"], 0.01, rtol=1e-7)


def test_a_shadow_is_recorded_under_its_own_name_and_not_applied(made: Made) -> None:
    made.add(Warmer(), Warm(), weights=(0.0, 1.0))
    total = made.suite.run(made.now())
    np.testing.assert_allclose(total["ta"], 0.01, rtol=1e-7)
    out = made.suite.outputs()
    np.testing.assert_allclose(out["tntr"][1], 0.01, rtol=1e-7)
    np.testing.assert_allclose(out["tntr_warmer"][1], 0.03, rtol=1e-7)


def test_a_blend_weights_both_and_its_ramp_follows_time(made: Made) -> None:
    made.add(Warmer(), Warm(), weights=(Ramp(over=1000.0), Ramp(start=1.0, end=0.0, over=1000.0)))
    for step, want in ((0, 0.01), (5, 0.02), (10, 0.03), (20, 0.03)):
        total = made.suite.run(made.now(step))
        np.testing.assert_allclose(total["ta"], want, rtol=1e-6)
    np.testing.assert_allclose(made.suite.outputs()["tntr"][1], 0.03, rtol=1e-6)


def _column_momentum(made: Made, rate: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    dp = np.diff(made.columns["phalf"].reshape(K + 1, -1).astype(np.float64), axis=0)
    force = rate.astype(np.float64) * dp / Planet().gravity
    return force.sum(axis=0), np.abs(force).sum(axis=0)


def test_momentum_of_a_flux_closes_in_each_column_and_a_plain_tendency_would_not(
    made: Made,
) -> None:
    made.add(Waves())
    total = made.suite.run(made.now())
    net, size = _column_momentum(made, total["ua"])
    # One rounding of each layer's rate when it is stored in the state's precision.
    tolerance = 1e-12 if total["ua"].dtype == np.float64 else 2e-7
    assert np.abs(net / size).max() < tolerance
    net, size = _column_momentum(made, total["ua"] + 1e-3 * np.abs(total["ua"]).max())
    assert np.abs(net / size).min() > 100 * tolerance, "the check must see a leak"


def test_drag_heats_by_the_kinetic_energy_it_takes(made: Made) -> None:
    made.add(Waves())
    dt = 100.0
    u = made.columns["ua"].reshape(K, -1).astype(np.float64)
    total = made.suite.run(made.now(dt=dt))
    du = total["ua"].astype(np.float64)
    lost = 0.5 * u**2 - 0.5 * (u + dt * du) ** 2
    gained = Planet().cp_dry * dt * total["ta"].astype(np.float64)
    scale = np.abs(lost).max()
    tolerance = 1e-12 if total["ta"].dtype == np.float64 else 1e-5
    np.testing.assert_allclose(gained, lost, atol=tolerance * scale, rtol=0)


class Backward(Waves):
    """The opposite flux, half as large again."""

    scheme = "backward"

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        super().compute(x, tend, flux, diag, now)
        flux.xgwdparam *= -1.5


def test_a_blend_heats_by_the_kinetic_energy_that_the_common_drag_takes(made: Made) -> None:
    process = made.add(Waves(), Backward(), weights=(0.25, 0.75))
    dt = 100.0
    u = made.columns["ua"].reshape(K, -1).astype(np.float64)
    total = made.suite.run(made.now(dt=dt))
    lost = 0.5 * u**2 - 0.5 * (u + dt * total["ua"].astype(np.float64)) ** 2
    gained = Planet().cp_dry * dt * total["ta"].astype(np.float64)
    tolerance = (1e-12 if total["ta"].dtype == np.float64 else 1e-5) * np.abs(lost).max()
    np.testing.assert_allclose(gained, lost, atol=tolerance, rtol=0)
    # the control: each scheme's own heat, weighted, is that of other winds
    own = sum(w * b.rate["ta"] for w, b in zip((0.25, 0.75), process.schemes, strict=True))
    assert np.abs(Planet().cp_dry * dt * own - lost).max() > 100 * tolerance


def test_an_input_in_another_unit_is_converted_and_an_equal_one_is_the_same_memory(
    made: Made,
) -> None:
    process = made.add(Hectopascal())
    made.suite.run(made.now())
    pfull = made.columns["pfull"].reshape(K, -1)
    np.testing.assert_allclose(process.schemes[0].rate["ta"], pfull / 100.0, rtol=1e-6)
    assert np.shares_memory(made.add(Halve()).schemes[0].x.ta, made.suite.state["ta"])


def test_a_diagnostic_reads_the_state_after_the_schemes_before_it(made: Made) -> None:
    made.add(Warm())
    made.add(Counter())
    total = made.suite.run(made.now())
    np.testing.assert_allclose(made.suite.outputs()["tas"][1], 201.0, rtol=1e-6)
    assert not total["ua"].any()


def test_what_is_counted_beside_the_first_scheme_has_a_name_of_its_own(made: Made) -> None:
    class Counts(Warm):
        def counts(self) -> dict[str, int]:
            return {"columns": round(1e3 * self.rate)}

    class Beside(Counts):
        scheme, rate = "beside", 0.03

    made.add(Counts(), Beside(), weights=(1.0, 0.0))
    assert made.suite.counts() == {
        "radiation": {"columns": 10},
        "radiation.beside": {"columns": 30},
    }


def test_memory_brings_a_suite_back_between_calls(made: Made) -> None:
    made.add(Halve(), every=3)
    made.add(Waves(), every=2)
    made.suite.run(made.now(0))
    kept = {n: a.copy() for n, a in made.suite.memory().items()}
    want = {n: a.copy() for n, a in made.suite.run(made.now(1)).items()}
    for a in made.suite.memory().values():
        a.fill(7.0)
    made.suite.restore(kept)
    got = made.suite.run(made.now(1))
    for name, array in want.items():
        np.testing.assert_array_equal(got[name], array)


def test_between_calls_held_fluxes_close_on_the_layers_of_the_present_step(made: Made) -> None:
    process = made.add(Waves(), every=3)
    bound = process.schemes[0]
    made.suite.run(made.now(0))
    first = bound.rate["ua"].copy()
    made.columns["phalf"] *= 1.01  # the surface pressure rose
    made.suite.run(made.now(1))
    mass = np.diff(made.suite.phalf.astype(float), axis=0) / Planet().gravity
    flux = bound.flux.xgwdparam.astype(float)
    absolute = np.abs(bound.rate["ua"] * mass).sum(0)
    # round-off of the type
    tolerance = 1e-12 if first.dtype == np.float64 else 1e-6
    expected = flux[-1]  # policy dump: nothing leaves at the top
    residual = (bound.rate["ua"] * mass).sum(0) - expected
    assert np.all(np.abs(residual) <= tolerance * absolute)
    # the control: the tendency of the last call is another one
    assert np.abs(first - bound.rate["ua"]).max() > 5e-3 * np.abs(first).max()


class Look(Diagnostic):
    """Keeps what it saw."""

    process, scheme = "look", "look"
    inputs = reads("ta")
    diagnostics = gives("tas")

    def compute(self, x: Arrays, diag: Arrays, now: Now) -> None:
        self.saw = x.ta.copy()


def test_a_scheme_that_is_called_rarely_sees_all_that_was_done_before_it(made: Made) -> None:
    look = Look()
    made.add(Warm())
    made.add(Warmer())
    made.add(look, every=3)
    made.add(Warm())
    for step in range(5):
        made.columns["ta"][...] = 200.0 + step
        made.suite.run(made.now(step))
        # 1 K and 3 K of the schemes before it, in the last step in which it was called
        np.testing.assert_allclose(look.saw, 204.0 + step // 3 * 3, rtol=1e-6)
    np.testing.assert_allclose(made.suite.after()["ta"], 209.0, rtol=1e-6)
    np.testing.assert_array_equal(made.columns["ta"], 204.0)


class Lid(Tendency):
    """Doubles the temperature of the two uppermost levels within 100 s."""

    process, scheme = "sponge", "lid"
    inputs = reads("ta")
    tendencies = tendencies_of("ta")

    def setup(self, host: Host) -> None:
        self.reach = 2

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[: self.reach] += x.ta[: self.reach] / now.dt


def test_a_scheme_that_reaches_down_some_levels_leaves_the_others_to_the_next(made: Made) -> None:
    look = Look()
    for component in (Warm(), Lid(), Warm(), look):
        if isinstance(component, Lid):
            component.setup(made.suite.host)
        made.add(component)
    for step in range(2):
        total = made.suite.run(made.now(step))
        np.testing.assert_allclose(look.saw[:2], 403.0, rtol=1e-6)  # 201 K doubled, and 1 K
        np.testing.assert_allclose(look.saw[2:], 202.0, rtol=1e-6)
        np.testing.assert_allclose(total["ta"].reshape(K, -1)[2:], 0.02, rtol=1e-6)
        np.testing.assert_allclose(total["ta"].reshape(K, -1)[:2], 2.03, rtol=1e-6)


class Ground(Look):
    """Looks at the two lowest levels."""

    scheme = "ground"
    lowest = 2


def test_a_diagnostic_of_the_lowest_levels_leaves_the_others_to_the_next(made: Made) -> None:
    ground, look = Ground(), Look()
    for component in (Warm(), Warmer(), ground, Halve(), look):
        made.add(component)
    for step in range(2):
        made.suite.run(made.now(step))
        np.testing.assert_allclose(ground.saw[-2:], 204.0, rtol=1e-6)  # 1 K and 3 K
        # The control: nobody had asked for the levels above, which hold anything.
        with np.errstate(all="ignore"):
            assert not (np.abs(ground.saw[:-2] - 204.0) < 1.0).any()
        np.testing.assert_allclose(look.saw, 102.0, rtol=1e-6)


def test_where_the_time_went_is_told_by_scheme(made: Made) -> None:
    clock = iter(range(1000))
    spent = made.suite._spent
    spent.clock = lambda: float(next(clock))
    spent.to("loop")
    made.add(Warm())
    made.suite.run(made.now())
    spent.leave()
    seconds = spent.seconds()
    # Every look at this clock takes a second: to the scheme, from it, to its budget, from it, away.
    assert seconds["radiation=warm"] == seconds["budgets"] == 1.0
    assert seconds["loop"] == 3.0
