"""Alexander and Dunkerton (1999): what latitude does to the source, and what is refused."""

import numpy as np
import pytest
from isothermal import NLAT, NLON, PLANET, Result, host_of, one_of_each, weather
from pydantic import ValidationError

from coupler.interface.component import Host
from coupler.interface.errors import ConfigError, ContractError, UnstableError
from physics.columns.gravity_wave_ad99 import AD99Parameters, AlexanderDunkerton1999


def test_launched_stress_follows_latitude():
    p = AD99Parameters(stress=0.004, stress_equator=0.001, stress_extra_north=0.002)
    lat = np.array([-70.0, -15.0, -12.5, -10.0, 0.0, 10.0, 12.5, 15.0, 89.9])
    expected = [0.004, 0.004, 0.0025, 0.001, 0.001, 0.001, 0.0025, 0.005, 0.006]
    # at 15 S the tail of the northern extra, (1 + tanh(-3)) / 2, is 0.25 %
    np.testing.assert_allclose(p.stress_at(lat), expected, rtol=2e-3)
    south = AD99Parameters(stress_extra_south=0.002).stress_at(lat)
    north = AD99Parameters(stress_extra_north=0.002).stress_at(-lat)
    np.testing.assert_array_equal(south, north)


def test_the_stress_of_a_column_is_that_of_its_latitude():
    x, host = weather()
    result = Result(x, AlexanderDunkerton1999, host=host, stress=0.004, stress_equator=0.0)
    tropical = np.abs(host.static["lat"]) < 10.0
    assert tropical.any() and not tropical.all()
    assert not result.flux.xgwdparam[:, tropical].any()
    assert np.all(np.abs(result.flux.xgwdparam[:, ~tropical]).max(0) > 0.0)


def test_tropical_columns_may_have_a_spectrum_of_their_own_width():
    x, host = weather()
    wide, narrow = (
        Result(x, AlexanderDunkerton1999, host=host),
        Result(x, AlexanderDunkerton1999, host=host, wide_half_width_tropics=15.0),
    )
    tropical = np.abs(host.static["lat"]) < 10.0
    same = (wide.flux.xgwdparam == narrow.flux.xgwdparam).all(0)
    np.testing.assert_array_equal(same, ~tropical)


def test_the_source_sinks_towards_the_poles_with_cos_lat():
    component = AlexanderDunkerton1999(AD99Parameters(source_level="cos_lat"))
    component.setup(host_of())
    source = component._columns[0].reshape(NLAT, NLON)
    # 8 layers lie below 315 hPa: int(81 - 8 cos(lat) - 1/2) counted from 1
    np.testing.assert_array_equal(source[:, 0], [75, 71, 75])


BAD = {
    "ua": (np.nan, UnstableError, "ua = nan"),
    "va": (np.inf, UnstableError, "va = inf"),
    "ta": (-3.0, UnstableError, "ta = -3"),
    "pfull": (2e5, ContractError, "layers out of order"),
    "zg": (-5e3, ContractError, "layers out of order"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_state_without_meaning_is_refused_with_its_place(name):
    value, error, text = BAD[name]
    x = one_of_each("A")
    getattr(x, name)[23, 7] = value
    level = 24 if error is ContractError else 23  # out of order shows at the layer below
    with pytest.raises(error, match=f"{text}.*level {level}, column 7") as caught:
        Result(x, AlexanderDunkerton1999)
    assert "gravity_wave.ad99" in str(caught.value)


@pytest.mark.parametrize("pressure", [2.0, 1.2e5])
def test_a_source_outside_of_the_column_is_refused_at_setup(pressure):
    component = AlexanderDunkerton1999(AD99Parameters(source_pressure=pressure))
    with pytest.raises(ConfigError, match=r"gravity_wave\.ad99\.source_pressure.*launch the waves"):
        if pressure == 2.0:
            component.setup(host_of(p_half=np.linspace(10.0, 1e5, 12)))
        else:
            component.setup(host_of())


def test_a_host_without_latitudes_is_refused():
    host = host_of()
    bare = Host(grid=host.grid, levels=host.levels, planet=PLANET, dtype=host.dtype, seed=0)
    with pytest.raises(ContractError, match=r"missing static field.*lat"):
        AlexanderDunkerton1999().setup(bare)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"wavelength": "300 hPa"}, "wrong unit"),
        ({"phase_speed_step": 120.0}, "phase_speed_step must not exceed"),
        ({"wide_amplitude": 0.0}, "must not both be zero"),
        ({"transition_south": 15.0}, "transition_south must lie"),
        ({"transition_north": 5.0}, "transition_north must lie"),
        ({"stress": -1.0}, "greater than or equal to 0"),
        ({"grid": "sky"}, "'intrinsic' or 'ground'"),
        ({"half_width": 3.0}, "Extra inputs"),
    ],
)
def test_impossible_parameters_are_refused(options, text):
    with pytest.raises(ValidationError, match=text):
        AD99Parameters(**options)


def test_parameters_may_carry_units():
    assert AD99Parameters(source_pressure="315 hPa", wavelength="300 km") == AD99Parameters()
