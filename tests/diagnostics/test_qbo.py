"""Period and amplitude of a series of wind, and the observed one over Singapore."""

import numpy as np
import pytest

from coupler.diagnostics.qbo import (
    eastward_crossings,
    fourier_period,
    oscillation,
    read_singapore,
    running_mean,
)
from coupler.interface.errors import DataError

DAYS = np.arange(84 * 360)


def wave(months, amplitude=20.0, mean=0.0):
    return mean + amplitude * np.sin(2 * np.pi * (DAYS + 3.3) / (30.0 * months))


@pytest.mark.parametrize("months", [19.45, 25.66, 28.1, 36.8])
def test_the_period_of_a_sine_is_found_by_both_ways(months):
    found = oscillation(wave(months), 1.0)
    # a mode between two others: a tenth of a percent of leakage
    assert found.period == pytest.approx(months, rel=1e-3)
    assert found.crossing_period == pytest.approx(months, rel=1e-5)
    # five months of mean take a sinc from the amplitude
    expected = 20.0 * np.sinc(5.0 / months)
    assert found.amplitude == pytest.approx(expected, rel=2e-3)
    assert found.deviation == pytest.approx(20.0 / np.sqrt(2.0), rel=0.02)


def test_noise_makes_false_crossings_that_the_running_mean_removes():
    noisy = wave(26.0) + 8.0 * np.random.default_rng(3).standard_normal(DAYS.size)
    rough = oscillation(noisy, 1.0, smooth=False)
    smooth = oscillation(noisy, 1.0)
    assert smooth.crossing_period == pytest.approx(26.0, rel=0.01)
    assert rough.crossing_period < 10.0  # the control


def test_monthly_values_give_the_same_period_as_daily_ones():
    daily, monthly = wave(28.1, mean=-4.0), wave(28.1, mean=-4.0).reshape(-1, 30).mean(axis=1)
    one, other = oscillation(daily, 1.0), oscillation(monthly, 30.0)
    assert other.crossing_period == pytest.approx(one.crossing_period, rel=2e-3)
    assert other.period == pytest.approx(one.period, rel=1e-3)
    assert other.cycles == one.cycles


def test_a_wind_that_does_not_oscillate_has_no_period():
    steady = oscillation(np.full(4000, 7.0), 1.0)
    assert np.isnan(steady.period) and np.isnan(steady.crossing_period)
    assert steady.cycles == 0 and steady.largest == 7.0


def test_crossings_lie_between_the_values_around_zero():
    np.testing.assert_allclose(
        eastward_crossings(np.array([-1.0, 3.0, 2.0, -2.0, 2.0])), [0.25, 3.5]
    )
    np.testing.assert_allclose(running_mean(np.array([1.0, 2.0, 6.0]), 2), [1.5, 4.0])
    assert np.isnan(fourier_period(np.zeros(10), 1.0))


@pytest.mark.parametrize("wind", [np.zeros(20), np.full(400, np.nan), np.zeros((400, 2))])
def test_what_is_no_series_is_refused(wind):
    with pytest.raises(DataError, match="not a series of wind"):
        oscillation(wind, 1.0)


def line(station, month, *winds):
    """As the file has it: five digits, a blank and a count for each wind; blanks for none."""
    fields = "".join(f"{w:>5} {n:>1}" for w, n in winds)
    return f"{station} {month} {fields}".rstrip() + "\n"


TABLE = (
    "Monthly mean zonal wind components u (0.1 m/s)\n\nIIIII YYMM  70hPaN 50hPaN 10hPaN\n"
    + line("91700", "5301", (-60, 0), (40, 0), ("", ""))
    + line("91700", "5302", (-2, 0), (60, ""), (-97, ""))
    + line("48698", "0001", (111, ""), (118, 3), (-161, 2))
    + line("48698", "0002")
)


def test_the_observed_table_is_read_with_its_gaps(tmp_path):
    path = tmp_path / "qbo.dat"
    path.write_text(TABLE)
    time, pressure, wind = read_singapore(path)
    np.testing.assert_allclose(time, [1953 + 1 / 24, 1953 + 3 / 24, 2000 + 1 / 24, 2000 + 3 / 24])
    np.testing.assert_allclose(pressure, [7000.0, 5000.0, 1000.0])
    np.testing.assert_allclose(wind[0], [-6.0, -0.2, 11.1, np.nan], atol=1e-12)
    np.testing.assert_allclose(wind[2], [np.nan, -9.7, -16.1, np.nan], atol=1e-12)


def test_a_missing_or_another_file_is_refused(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_singapore(tmp_path / "none.dat")
    (tmp_path / "other.dat").write_text("1 2 3\n")
    with pytest.raises(DataError, match="not a table of equatorial winds"):
        read_singapore(tmp_path / "other.dat")
