"""Alexander and Dunkerton (1999): tabulated drag, conservation, symmetry, reproducibility."""

import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from isothermal import DAY, KM, NCOL, NOW, P_HALF, PLANET, WIND, P, Z, one_of_each, state, weather
from isothermal import Result as Call

from coupler.interface.component import Arrays
from physics.columns import gravity_wave_ad99_kernel as kernel
from physics.columns.gravity_wave_ad99 import (
    AD99Parameters,
    AlexanderDunkerton1999,
    AlexanderDunkertonMiMA,
)

Result = partial(Call, cls=AlexanderDunkerton1999)
HERE = str(Path(__file__).parent)

TABLE = """
10.5  0.033494  0.033494  0
15.5 -0.071630 -0.071630  0
18.5 -0.10035  -0.049625  0.20059
20.5 -0.062810 -0.061144  0.18978
25.5  0.13433  -0.10623  -0.89373
28.5  0.19081  -0.14511  -0.21519
30.5  0.47084  -0.34663   0
35.5  0.73770  -0.46828   0.46828
40.5  0.95370  -0.25566   0
50.5  0.69737  -0.13043   0
60.5 -11.790   22.652     0
65.5 -29.791   24.631     0
70.5 -30.360   12.499     0
75.5 -28.855   23.934     0
79.5 -25.730    5.9460    0
"""
ROWS = np.array([line.split() for line in TABLE.split("\n") if line], dtype=float)


def test_the_tabulated_drag_of_three_columns_is_reproduced():
    result = Result(one_of_each("A", "E", "B"))
    for km, *expected in ROWS:
        found = [result.at(km, column) for column in range(3)]
        # five printed digits; zeros are exact: nothing breaks there
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=0.0, err_msg=f"{km} km")


@pytest.mark.parametrize(("name", "peak", "km"), [("A", 30.72, 68.5), ("E", 34.51, 61.5)])
def test_the_strongest_drag_opposes_the_mesospheric_jet(name, peak, km):
    result = Result(one_of_each(name))
    drag = DAY * result.tend.ua[:, 0]
    strongest = int(np.argmax(np.abs(drag)))
    assert KM[strongest] == km
    assert abs(drag[strongest]) == pytest.approx(peak, rel=2e-4)  # four printed digits
    assert drag[strongest] * WIND[name][strongest] < 0.0


def test_the_strongest_drag_of_the_oscillation_sits_above_it():
    drag = np.abs(DAY * Result(one_of_each("B")).tend.ua[:, 0])
    assert KM[np.argmax(drag)] == 48.5
    assert drag.max() == pytest.approx(1.45, abs=5e-3)  # three printed digits


def test_launched_reflected_and_escaped_fluxes_are_the_tabulated_ones():
    result = Result(one_of_each("A", "E", "B"))
    np.testing.assert_allclose(result.diag.xgwdabs[:3], 3.329735e-3, rtol=1e-6)  # printed digits
    np.testing.assert_allclose(
        result.flux.xgwdparam[0, :3], [-1.163604e-5, 1.047734e-5, 0.0], rtol=1e-6, atol=0.0
    )
    assert np.abs(result.diag.xgwdlaunch).max() < 1e-18  # the sum of a symmetric spectrum
    assert not result.diag.xgwdrefl.any()


def test_nothing_at_all_happens_below_the_source_of_a_symmetric_spectrum():
    result = Result(one_of_each("A", "E", "B"))
    assert not result.flux.xgwdparam[P_HALF > 34000.0].any()
    assert not result.tend.ua[P > 31500.0].any()


def test_the_northward_component_is_treated_like_the_eastward_one():
    winds = one_of_each("A", "E", "B").ua
    alone, swapped = Result(state(ua=winds)), Result(state(va=winds))
    np.testing.assert_array_equal(swapped.tend.va, alone.tend.ua)
    np.testing.assert_array_equal(swapped.diag.ygwdabs, alone.diag.xgwdabs)
    assert not swapped.tend.ua.any()


def test_a_ground_based_grid_launches_a_spurious_net_flux():
    result = Result(one_of_each("A"), grid="ground")
    assert result.at(70.5) == pytest.approx(-30.559, rel=1e-4)
    assert result.at(25.5) == pytest.approx(0.13132, rel=1e-4)
    assert result.diag.xgwdlaunch[0] == pytest.approx(-3.92643e-5, rel=1e-5)


def test_a_spectrum_centred_on_the_ground_gives_the_tabulated_drag():
    result = Result(one_of_each("A"), grid="ground", frame="ground")
    assert result.diag.xgwdlaunch[0] == pytest.approx(-5.27527e-4, rel=1e-5)
    assert result.at(70.5) == pytest.approx(-32.284, rel=1e-4)
    assert result.at(25.5) == pytest.approx(-0.12908, rel=1e-4)


def test_the_mima_variant_reproduces_the_drag_and_the_momentum_error_of_mima():
    result = Result(one_of_each("A"), cls=AlexanderDunkertonMiMA)
    assert result.column["ua"][0] == pytest.approx(-2.5993e-4, rel=1e-4)
    # four printed digits
    for km, drag in ((70.5, -30.61), (60.5, -19.16), (28.5, 0.1034)):
        assert result.at(km) == pytest.approx(drag, rel=5e-4)
    # what these waves really bring into the column above the source
    assert result.diag.xgwdlaunch[0] == pytest.approx(-3.926e-5, rel=2e-4)


OPTIONS = [
    {},
    {"grid": "ground"},
    {"grid": "ground", "frame": "ground"},
    {"deposition": "split"},
    {"source_level": "cos_lat"},
    {"narrow_amplitude": 1.1, "frame": "ground"},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("of", ["ua", "va"])
def test_every_column_closes_to_round_off_and_would_not_without_its_boundaries(options, of):
    x, host = weather()
    result = Result(x, host=host, **options)
    # the contract: 1e-12 of the absolute column sum, in float64
    assert np.all(np.abs(result.column[of]) <= 1e-12 * result.absolute[of])
    assert not result.escaped[of].any()
    # control 1: without the policy at the top some columns lose what escapes
    open_top = Result(x, host=host, top="escape", **options)
    assert np.abs(open_top.column[of] / open_top.absolute[of]).max() > 1e-4
    # control 2: without the reaction below the source the launched flux is a gain
    name = {"ua": "xgwd", "va": "ygwd"}[of]
    launched = getattr(result.diag, name + "launch") - getattr(result.diag, name + "refl")
    flux = getattr(result.flux, name + "param")
    np.testing.assert_allclose(_at_source(flux, x, host, options), launched, atol=1e-16)
    if options.get("grid") == "ground":
        assert np.abs(launched).max() > 1e-6


def _at_source(flux, x, host, options):
    """The flux at the launch interface, found as the lowest one above the straight part."""
    component = AlexanderDunkerton1999(AD99Parameters(**options))
    component.setup(host)
    source = component._columns[0]
    found = np.empty(flux.shape[1])
    for i in range(flux.shape[1]):
        s = source[i] if source[i] >= 0 else int(np.flatnonzero(x.pfull[:, i] > 31500.0)[0])
        found[i] = flux[s, i]
        fraction = (x.phalf[-1, i] - x.phalf[s:, i]) / (x.phalf[-1, i] - x.phalf[s, i])
        np.testing.assert_allclose(flux[s:, i], found[i] * fraction, atol=1e-18)
    return found


def test_the_mima_variant_is_the_control_that_does_not_close():
    x, host = weather()
    result = Result(x, cls=AlexanderDunkertonMiMA, host=host)
    assert np.abs(result.column["ua"] / result.absolute["ua"]).max() > 1e-2


def test_single_precision_closes_to_the_rounding_of_its_tendencies():
    x, host = weather(dtype=np.float32)
    result = Result(x, host=host)
    # one rounding (6e-8) per flux; thin layers turn it into up to a hundred times that
    assert np.all(np.abs(result.column["ua"]) <= 1e-5 * result.absolute["ua"])


def test_no_wind_gives_no_drag():
    assert not Result(state()).tend.ua.any()


def test_uniform_wind_gives_no_drag_at_any_level_on_the_intrinsic_grid():
    x = one_of_each("uniform")
    assert not Result(x).tend.ua.any()
    # the control: a grid fixed to the ground is lopsided
    assert np.abs(Result(x, grid="ground").tend.ua[:, 0]).max() > 1e-7


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_reversed_wind_gives_exactly_the_reversed_drag(options):
    x, host = weather()
    back = Arrays(**dict(x.items()) | {"ua": -x.ua, "va": -x.va})
    there, again = Result(x, host=host, **options), Result(back, host=host, **options)
    if options.get("grid") == "ground" or options.get("frame") == "ground":
        # families are summed in another order for the normalization
        np.testing.assert_allclose(again.tend.ua, -there.tend.ua, rtol=1e-9, atol=1e-15)
    else:
        np.testing.assert_array_equal(again.tend.ua, -there.tend.ua)


def test_doubled_stress_doubles_the_drag_without_moving_it():
    x = one_of_each("A", "E", "B")
    once, twice = Result(x), Result(x, stress=0.0086, stress_equator=0.0086)
    np.testing.assert_array_equal(twice.tend.ua, 2.0 * once.tend.ua)


def test_amplitude_moves_breaking_but_not_the_launched_stress():
    x = one_of_each("A")
    weak, strong = Result(x, wide_amplitude=0.04), Result(x, wide_amplitude=0.4)

    def centre(result):
        drag = np.abs(result.tend.ua[:, 0]) * np.diff(P_HALF)
        return (drag * Z).sum() / drag.sum()

    assert centre(weak) > centre(strong) + 2e3


def test_drag_in_a_shear_zone_pulls_the_flow_towards_the_winds_above():
    drag = DAY * Result(one_of_each("B")).tend.ua[:, 0]
    rising = (KM > 18) & (KM < 21.5)  # the wind climbs from 0 to 20 m/s
    assert np.all(drag[rising] > 0.0)


def test_split_deposition_shares_momentum_between_two_layers():
    x = one_of_each("B")
    whole, half = Result(x), Result(x, deposition="split")
    deposit = -np.diff(whole.flux.xgwdparam[:, 0])
    source = int(np.flatnonzero(P > 31500.0)[0])
    expected = 0.5 * deposit
    expected[1:] += 0.5 * deposit[:-1]
    found = -np.diff(half.flux.xgwdparam[:, 0])
    np.testing.assert_allclose(found[:source], expected[:source], atol=1e-16)
    assert np.abs(found - deposit).max() > 1e-6


def waves_one_by_one(x, i, u, settings):
    """The definition, wave by wave, for one column: deposits per level, reflected, escaped."""
    g, r, cp = PLANET.gravity, PLANET.gas_constant_dry, PLANET.cp_dry
    t, p, z = x.ta[:, i], x.pfull[:, i], x.zg[:, i]
    s = int(np.flatnonzero(p > settings.source_pressure)[0])
    wavenumber = 2 * np.pi / settings.wavelength
    rho = p / (r * t)
    dtdz = np.gradient(t)  # only its ends matter below: replaced level by level
    for k in range(t.size):
        a, b = max(k - 1, 0), min(k + 1, t.size - 1)
        dtdz[k] = (t[a] - t[b]) / (z[a] - z[b])
    n = np.sqrt(np.maximum(g / t * (dtdz + g / cp), settings.buoyancy_floor))
    alpha = (g / (r * t) + dtdz / t) / 2
    limit = n * wavenumber / np.sqrt(wavenumber**2 + alpha**2)
    c = settings.speeds()
    if settings.grid == "intrinsic":
        c = c + u[s]
    ci0 = c - u[s]
    ct = ci0 if settings.frame == "intrinsic" else c
    b = settings.wide_amplitude * np.exp(-np.log(2) * (ct / settings.wide_half_width) ** 2)
    b += settings.narrow_amplitude * np.exp(-np.log(2) * (ct / settings.narrow_half_width) ** 2)
    b = np.where(np.abs(ci0) < 1e-9, 0.0, np.sign(ci0) * b)
    flux = settings.stress * b / np.abs(b).sum()
    deposit, reflected, escaped = np.zeros(t.size), 0.0, 0.0
    for j in range(c.size):
        for k in range(s, -1, -1):
            ci = c[j] - u[k]
            towards = ci * ci0[j] > 0.0
            if b[j] == 0.0:
                break
            if towards and wavenumber * abs(ci) >= limit[k]:
                reflected += flux[j] if k < s else 0.0
                break
            if not towards or 2 * rho[s] / rho[k] * n[k] * b[j] / (wavenumber * ci**3) >= 1.0:
                deposit[k] += flux[j] if k < s else 0.0
                break
        else:
            escaped += flux[j]
    return deposit[:s], reflected, escaped, s


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"grid": "ground"},
        {"frame": "ground"},
        {"grid": "ground", "frame": "ground"},
        {"narrow_amplitude": 1.1, "phase_speed_step": 3.7},
        {"wavelength": 3.0e4},
    ],
    ids=str,
)
def test_random_columns_agree_with_the_definition_wave_by_wave(options):
    x, host = weather(seed=7)
    result = Result(x, host=host, **options)
    settings = AD99Parameters(**options)
    reflections = 0
    for i in range(NCOL):
        deposit, reflected, escaped, s = waves_one_by_one(x, i, x.va[:, i], settings)
        flux = result.flux.ygwdparam[:, i]
        # sums of up to 167 terms of 1e-4 Pa in another order
        np.testing.assert_allclose(np.diff(flux)[:s], deposit, atol=1e-16)
        assert result.diag.ygwdrefl[i] == pytest.approx(reflected, abs=1e-16)
        assert flux[0] == pytest.approx(escaped, abs=1e-16)
        reflections += reflected != 0.0
    assert reflections > 0


def test_the_ordered_march_equals_the_one_that_tests_every_wave():
    rng = np.random.default_rng(11)
    n, nlev = 41, 23
    speed = np.linspace(1.3, 99.0, n)
    amplitude = 0.4 * np.exp(-np.log(2) * (speed / 35.0) ** 2)
    share = rng.uniform(0.0, 1.0, n)
    u = 25.0 * rng.standard_normal(nlev)
    fac = np.geomspace(5e5, 600.0, nlev) * rng.uniform(0.5, 2.0, nlev)
    lim = rng.uniform(70.0, 250.0, nlev)
    results = []
    for ordered in (True, False):
        deposit = np.zeros(nlev)
        sums = kernel.march(
            1.0, u, nlev - 1, fac, lim, speed, amplitude, share, n,
            ordered, False, np.zeros(n, np.int64), deposit,
        )  # fmt: skip
        results.append(np.concatenate([deposit, sums]))
    # the same terms in another order
    np.testing.assert_allclose(results[0], results[1], rtol=1e-13)
    assert np.count_nonzero(results[0][:-3]) > 3 and results[0][-2] > 0.0


@pytest.mark.parametrize("options", [{}, {"frame": "ground", "grid": "ground"}], ids=str)
def test_the_order_of_columns_changes_no_bit(options):
    x, host = weather()
    order = np.random.default_rng(4).permutation(NCOL)
    shuffled = Arrays(**{n: np.ascontiguousarray(a[:, order]) for n, a in x.items()})
    there, here = Result(x, host=host, **options), Result(shuffled, host=host, **options)
    np.testing.assert_array_equal(here.flux.xgwdparam, there.flux.xgwdparam[:, order])
    np.testing.assert_array_equal(here.diag.ygwdabs, there.diag.ygwdabs[order])


def test_the_number_of_threads_changes_no_bit():
    """In processes of their own: numba's pool has its size from the start, whatever the cores."""
    code = (
        "from test_alexander_dunkerton_1999 import Result, weather\n"
        "import hashlib, numba\n"
        "x, host = weather()\n"
        "flux = Result(x, host=host).flux\n"
        "print(numba.get_num_threads())\n"
        "print(hashlib.sha256(flux.xgwdparam.tobytes() + flux.ygwdparam.tobytes()).hexdigest())\n"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ
            | {"NUMBA_NUM_THREADS": threads, "PYTHONPATH": os.pathsep.join([HERE, *sys.path])},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.split()
        for threads in ("1", "2")
    ]
    assert [threads for threads, _ in said] == ["1", "2"]
    assert said[0][1] == said[1][1]


def test_a_second_call_gives_the_same_and_leaves_its_inputs_alone():
    x, host = weather()
    copy = {n: a.copy() for n, a in x.items()}
    component = AlexanderDunkerton1999()
    component.setup(host)
    found = []
    for _ in range(2):
        flux = Arrays(**{f.name: np.zeros((30, NCOL)) for f in component.fluxes})
        diag = Arrays(**{f.name: np.zeros(NCOL) for f in component.diagnostics})
        component.compute(x, Arrays(), flux, diag, NOW)
        found.append(flux.xgwdparam)
    np.testing.assert_array_equal(*found)
    for name, before in copy.items():
        np.testing.assert_array_equal(getattr(x, name), before)


def test_single_precision_input_gives_nearly_the_double_precision_drag():
    names = ("A", "E", "B")
    single, double = Result(one_of_each(*names, dtype=np.float32)), Result(one_of_each(*names))
    assert single.tend.ua.dtype == np.float32
    # a rounded wind may move a wave by one layer, 1/83 of one family's flux
    tolerance = 0.03 * np.abs(double.tend.ua).max(0)
    assert np.all(np.abs(single.tend.ua - double.tend.ua) <= tolerance)
