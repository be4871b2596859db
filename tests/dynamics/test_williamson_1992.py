"""Shallow water and barotropic vorticity: Williamson et al. (1992), cases 2, 5 and 6.

Numbers to compare with are those of an independent spectral model at the same truncation, diffusion
(del^4 on vorticity and divergence, 5e15 m4/s at T42) and time scheme (Runge-Kutta), printed here
beside each assertion; its errors are against its own run at T213 (case 5) and T170 (case 6).
"""

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from layers import EARTH_1992, del4, error, l2, layer, relative_change, run

from coupler import Simulation
from coupler.config import read_yaml, with_changes
from coupler.driver.assemble import assemble, check
from coupler.interface.errors import ConfigError, UnstableError
from physics.dynamics.shallow_water_initial import LAYER_STATES, rossby_haurwitz_speed

CASES = Path(__file__).resolve().parents[2] / "cases" / "tests"
LAYERS = ("williamson_1992_2_t42", "williamson_1992_5_t42", "williamson_1992_6_t42",
          "galewsky_2004_t85", "rossby_haurwitz_barotropic_t42")  # fmt: skip


# -- case 2: steady flow ----------------------------------------------------------------------


@pytest.mark.parametrize("stepping", ["rk4", "leapfrog"])
@pytest.mark.parametrize(("tilt", "gate"), [(0.0, 1e-11), (np.pi / 4.0, 1e-9)])
def test_steady_flow_stays_to_round_off(stepping, tilt, gate):
    # 5.7e-14 in the reference model after 5 days at T42 with tilt 0.
    core, state = layer(42, 1200.0, "williamson_2", tilt=tilt, stepping=stepping)
    before = core.integrals()
    assert l2(run(core, 5), core.newest()["zg"], state.height) < gate
    change = relative_change(core, before)
    assert max(abs(c) for c in change.values()) < 1e-11


def test_flow_about_an_axis_that_is_not_the_planets_does_not_stay():
    # The control: the flow turns about one axis, the planet about another.
    core, state = layer(21, 1200.0, "williamson_2", tilt=0.1)
    core._coriolis = layer(21, 1200.0, "williamson_2")[0]._coriolis
    assert l2(run(core, 1), core.newest()["zg"], state.height) > 1e-3


def test_initial_extremes_are_those_of_the_formulas():
    _, flow = layer(42, 600.0, "williamson_2")
    assert flow.ua.max() == pytest.approx(38.6107, rel=1e-3)  # the equator is between two rows
    assert flow.height.max() == pytest.approx(2998.1, rel=1e-3)
    _, wave = layer(85, 600.0, "rossby_haurwitz")
    assert wave.height.min() == pytest.approx(8000.2, abs=1.0)
    assert wave.height.max() == pytest.approx(10556.3, abs=0.5)
    assert np.hypot(wave.ua, wave.va).max() == pytest.approx(99.99, abs=0.05)
    _, hill = layer(85, 600.0, "williamson_5")
    assert hill.ground.max() == pytest.approx(2000.0, rel=0.03)


# -- case 5: a mountain -----------------------------------------------------------------------


def test_flow_over_a_mountain_has_the_reference_models_budget():
    core, _ = layer(42, 600.0, "williamson_5", diffusion=del4(42))
    before = core.integrals()
    run(core, 15)
    change = relative_change(core, before)
    assert abs(change["depth"]) < 1e-13
    assert change["energy"] == pytest.approx(-2.1e-5, rel=0.05)  # two printed digits
    assert change["enstrophy"] == pytest.approx(-3.2e-4, rel=0.05)
    # Against the extremes of T213: T42's truncated cone rings, linf(h) is 1.1e-3 at day 15.
    x = core.newest()
    assert x["zg"].min() == pytest.approx(5031.9, abs=6.0)
    assert x["zg"].max() == pytest.approx(5954.0, abs=6.0)
    assert x["rv"].min() == pytest.approx(-3.63e-5, rel=0.05)
    assert x["rv"].max() == pytest.approx(4.85e-5, rel=0.05)


def test_leapfrog_agrees_with_runge_kutta_over_a_mountain():
    heights = {}
    for stepping in ("rk4", "leapfrog"):
        core, _ = layer(21, 900.0, "williamson_5", stepping=stepping, diffusion=del4(21))
        heights[stepping] = run(core, 5).newest()["zg"]
    # Gravity waves of the start are slowed by the implicit scheme: metres out of 5000.
    assert l2(core, heights["leapfrog"], heights["rk4"]) < 1e-3


@pytest.mark.slow
def test_error_over_a_mountain_is_the_reference_models():
    fine, _ = layer(85, 300.0, "williamson_5", diffusion=del4(85))
    coarse, _ = layer(42, 600.0, "williamson_5", diffusion=del4(42))
    done = 0
    # The truth here is T85, whose own error is half to a seventh of the numbers.
    for day, expected in ((1, 1.4e-5), (5, 5.9e-5), (10, 1.1e-4), (15, 2.0e-4)):
        run(fine, day - done)
        run(coarse, day - done)
        done = day
        assert expected / 1.5 < error(coarse, fine) < 1.5 * expected, day


# -- case 6: Rossby-Haurwitz wave -------------------------------------------------------------


def _other_waves(core):
    """Largest coefficient with m not a multiple of 4, relative to the largest of its field."""
    size = core.transform.to_complex(core.coefficients()).abs()
    size = size / size.amax(dim=(1, 2), keepdim=True)
    others = [m for m in range(core.transform.size_m) if m % 4]
    return float(size[:, others].max())


def test_the_wave_keeps_its_symmetry_and_the_reference_models_extremes():
    core, _ = layer(42, 600.0, "rossby_haurwitz", diffusion=del4(42))
    before = core.integrals()
    run(core, 14)
    x = core.newest()
    # 8188 / 10530 m in the reference model: the printed digits.
    assert x["zg"].min() == pytest.approx(8188.0, abs=1.0)
    assert x["zg"].max() == pytest.approx(10530.0, abs=1.0)
    assert abs(relative_change(core, before)["depth"]) < 1e-13
    assert _other_waves(core) < 1e-10
    assert x["rv"].max() == pytest.approx(-x["rv"].min(), rel=1e-10)


def test_a_wave_that_is_seeded_grows():
    # The control of the symmetry: what is not a multiple of 4 stays as large as it was put in.
    core, _ = layer(21, 1200.0, "rossby_haurwitz", diffusion=del4(21))
    core._now[3, 0, 0, 2] += 1e-8
    assert _other_waves(run(core, 2)) > 1e-5


@pytest.mark.slow
def test_error_of_the_wave_is_the_reference_models():
    fine, _ = layer(85, 300.0, "rossby_haurwitz", diffusion=del4(85))
    coarse, _ = layer(42, 600.0, "rossby_haurwitz", diffusion=del4(42))
    run(fine, 7)
    run(coarse, 7)
    # 9.5e-4 against T170; T85 itself is 1.8e-4 from it, because of its diffusion.
    assert 9.5e-4 / 1.5 < error(coarse, fine) < 1.5 * 9.5e-4


# -- barotropic vorticity ---------------------------------------------------------------------


def _turned(core, state_name, days):
    """The exact solution: the wave part of the initial vorticity, moved east."""
    angle = rossby_haurwitz_speed(EARTH_1992) * 86400.0 * days
    start, _ = layer(core.transform.truncation, core.dt, state_name, divergent=False)
    coefficients = start.transform.to_complex(start.coefficients())
    m = torch.arange(coefficients.shape[1])[None, :, None]
    moved = coefficients * torch.exp(torch.tensor(-1j * angle, dtype=torch.complex128) * m)
    with torch.no_grad():
        return start.transform.synthesis(start.transform.from_complex(moved))[0].numpy()


def test_the_non_divergent_wave_moves_with_its_speed():
    assert np.degrees(rossby_haurwitz_speed(EARTH_1992)) * 86400.0 == pytest.approx(
        12.195, abs=1e-3
    )
    errors = []
    for dt in (3600.0, 1800.0):
        core, _ = layer(21, dt, "rossby_haurwitz", divergent=False)
        before = core.integrals()
        run(core, 7)
        errors.append(l2(core, core.newest()["rv"], _turned(core, "rossby_haurwitz", 7)))
        assert abs(relative_change(core, before)["energy"]) < 1e-5  # time truncation alone
    # Only the time scheme errs, with its fourth order: 16 between step and half a step.
    assert errors[0] / errors[1] == pytest.approx(16.0, rel=0.1)
    assert errors[1] < 1e-6


def test_the_leapfrog_wave_is_second_order_with_the_filter_nearly_so():
    errors = []
    for dt in (1800.0, 900.0):
        core, _ = layer(21, dt, "rossby_haurwitz", divergent=False, stepping="leapfrog")
        run(core, 3)
        errors.append(l2(core, core.newest()["rv"], _turned(core, "rossby_haurwitz", 3)))
    assert 2.0 < errors[0] / errors[1] < 4.5
    assert errors[1] < 5e-3


# -- driver and refusals ----------------------------------------------------------------------


def _raw(name, **changes):
    raw, problems = with_changes(read_yaml(CASES / f"{name}.yaml"), set=changes)
    assert not problems
    return raw


@pytest.mark.parametrize("name", LAYERS)
def test_each_case_by_name_is_the_papers(name):
    model = assemble(_raw(name), CASES)
    core, atmosphere = model.atmosphere.core, model.atmosphere
    assert (core.planet.radius, core.planet.gravity) == (6.37122e6, 9.80616)
    assert name.endswith(f"t{core.transform.truncation}")
    assert core.transform.dtype == torch.float64
    assert atmosphere.p.initial in LAYER_STATES
    assert not model.advice  # the step is not too long


def test_a_run_of_the_steady_case_through_the_driver_stays(tmp_path):
    out = Simulation.from_case(
        CASES / "williamson_1992_2_t42.yaml",
        set={"atmosphere.truncation": 21, "atmosphere.tilt": 45, "days": 2},
        out=tmp_path / "run",
    )
    out.run(quiet=True)
    with out.dataset() as data:
        assert data["ua"].dims == ("time", "lat", "lon")
        height = data["zg"].values
        assert np.abs(height[1] - height[0]).max() < 1e-3  # files are in single precision
    with out.dataset("budgets") as data:
        assert float(np.ptp(data["depth"].values)) < 1e-10


PLUGIN = """
from coupler.interface.component import Params, Tendency, reads, tendencies_of
from coupler.interface.registry import scheme


@scheme("boundary_layer", "layer_drag")
class Drag(Tendency):
    inputs = reads("ua va")
    tendencies = tendencies_of("ua va")

    def compute(self, x, tend, flux, diag, now):
        tend.ua[...] = -x.ua / 86400.0
        tend.va[...] = -x.va / 86400.0
"""


@pytest.mark.parametrize(
    ("stepping", "interval"), [("rk4", "20 min"), ("rk4", "40 min"), ("leapfrog", "20 min")]
)
def test_a_scheme_that_pushes_the_wind_acts_on_a_layer(stepping, interval, tmp_path):
    plugin = tmp_path / "drag.py"
    plugin.write_text(PLUGIN)
    run_ = Simulation.from_case(
        _raw(
            "rossby_haurwitz_barotropic_t42",
            **{
                "atmosphere.truncation": 15, "atmosphere.stepping": stepping, "days": 2,
                "physics": {"boundary_layer": {"scheme": "layer_drag", "interval": interval}},
            },
        ),
        plugins=[plugin],
        out=tmp_path / "run",
    )  # fmt: skip
    before = run_.model.atmosphere.core.integrals()["energy"]
    run_.run(quiet=True)
    left = run_.model.atmosphere.core.integrals()["energy"] / before
    # Drag is held over 20 min, or 40 min in leapfrog: (1 - span k)^n falls below exp(-k t) by
    # span k/2 of the exponent 4, that is by 2.8 and 5.7 percent.
    assert left == pytest.approx(np.exp(-4.0), rel=0.07)


def test_schemes_that_need_what_a_layer_has_not_are_refused_by_name():
    raw = _raw("williamson_1992_2_t42", physics={"radiation": "held_suarez"})
    told = [str(p) for p in check(raw, CASES)]
    assert any("an input that nobody provides: ta of radiation=held_suarez" in t for t in told)
    assert any(
        "a tendency of a field that the atmosphere does not have: ta of radiation" in t
        for t in told
    )


def test_fluxes_through_a_layer_are_refused():
    raw = _raw("williamson_1992_2_t42", physics={"gravity_wave": "ad99"})
    told = " ".join(str(p) for p in check(raw, CASES))
    assert "a flux through an atmosphere without pressure: xgwdparam of gravity_wave=ad99" in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"atmosphere.initial": "galewski"}, "unknown initial state.*did you mean 'galewsky'"),
        ({"atmosphere.truncation": "T4"}, "impossible truncation"),
        ({"atmosphere.stepping": "euler"}, "'leapfrog' or 'rk4'"),
        ({"atmosphere.initial": "galewsky", "atmosphere.tilt": 5}, "no tilted axis goes with"),
    ],
)
def test_bad_parameters_are_refused(changes, sentence):
    with pytest.raises(ConfigError, match=sentence):
        assemble(_raw("williamson_1992_2_t42", **changes), CASES)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"atmosphere.dt": 3600.0}, "stepping rk4 and speeds up to"),
        ({"atmosphere.dt": 7200.0, "atmosphere.stepping": "leapfrog"}, "winds up to 100 m/s"),
    ],
)
def test_a_step_too_long_is_warned_of_and_a_blow_up_is_named(changes, why):
    model = assemble(_raw("williamson_1992_6_t42", **changes), CASES)
    (advice,) = model.advice
    assert "step probably too long" in str(advice) and why in str(advice)
    with (
        pytest.raises(UnstableError, match="the state is no longer finite: ua"),
        np.errstate(all="ignore"),
    ):
        for _ in range(2000):
            model.atmosphere.advance({})


@pytest.mark.parametrize(
    ("scheme", "stepping", "limit"),
    [
        ("shallow_water", "leapfrog", "1"),
        ("shallow_water", "rk4", "2.83"),
        ("barotropic_vorticity", "rk4", "2.83"),
    ],
)
def test_a_layer_that_blows_up_names_the_courant_number(scheme, stepping, limit, tmp_path):
    case = {
        "title": "fast", "days": 400,
        "atmosphere": {
            "scheme": scheme, "truncation": 10, "dt": 86400 / 3, "stepping": stepping,
            "diffusion": 0.0,
        },
        "output": {"interval": 1.0},
    }  # fmt: skip
    with pytest.raises(UnstableError) as caught:
        Simulation.from_case(case, out=tmp_path / "run").run(quiet=True)
    (said,) = (str(p) for p in caught.value.problems if p.what.startswith("Courant number"))
    found = re.search(
        r"below (\S+); found (\d+\.\d\d): (\d+) m/s(?: and waves of (\d+) m/s)?", said
    )
    assert found is not None and found[1] == limit, said
    assert (found[4] is not None) == (scheme == "shallow_water" and stepping == "rk4")
    speed = float(found[3]) + float(found[4] or 0.0)
    assert float(found[2]) == pytest.approx(speed * 28800.0 * 10.0 / 6.371e6, rel=0.03)
    assert float(found[2]) > float(limit)
