"""What a running simulation shows, with a clock under the test's control."""

import io

import cftime
import pytest
from rich.console import Console

from coupler.output.progress import RunProgress, clock_text, speed

DATE = cftime.datetime(1959, 1, 5, 12, calendar="noleap")
DAY = 86400.0


class Clock:
    """A wall clock that goes when told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def a_run(terminal: bool, silent: bool = False):
    text, clock = io.StringIO(), Clock()
    console = Console(file=text, force_terminal=terminal, width=160, color_system=None)
    progress = RunProgress(start=0.0, end=10 * DAY, silent=silent, console=console, wall=clock)
    return progress, text, clock


def test_a_line_every_ten_seconds_where_there_is_no_terminal():
    progress, text, clock = a_run(terminal=False)
    with progress:
        for step in range(1, 101):
            clock.now += 0.5
            progress.update(DATE, step * 0.05 * DAY, 57.3)
    lines = text.getvalue().splitlines()
    assert len(lines) == 5  # 50 s
    # 0.05 days in 0.5 s of wall time are 0.05/365 years in 0.5/86400 days.
    sypd = 0.05 / 365 / (0.5 / 86400)
    assert lines[0].startswith("1959-01-05 12:00  day 1.0 of 10.0  ")
    assert f"{sypd:.1f} SYPD  max wind 57 m/s  1:30 left" in lines[0]
    assert progress.sypd == pytest.approx(sypd)


def test_the_end_is_always_shown():
    progress, text, clock = a_run(terminal=False)
    with progress:
        clock.now += 1.0
        progress.update(DATE, 5 * DAY)
        clock.now += 1.0
        progress.update(DATE, 10 * DAY)
    assert "day 10.0 of 10.0" in text.getvalue()
    assert len(text.getvalue().splitlines()) == 1


def test_a_bar_on_a_terminal():
    progress, text, clock = a_run(terminal=True)
    with progress:
        for day in (-0.5, 0.0):  # steps with compilation
            clock.now += 25.0
            progress.update(DATE, day * DAY)
        clock.now += 30.0
        progress.update(DATE, 2.5 * DAY, lambda: 41.6)
    shown = text.getvalue()
    assert "25%" in shown
    assert "1959-01-05 12:00" in shown
    assert "max wind 42 m/s" in shown
    assert "1:30 left" in shown
    assert "━" in shown


def test_silent_shows_nothing_and_asks_for_nothing():
    progress, text, clock = a_run(terminal=True, silent=True)

    def wind() -> float:
        raise AssertionError("computed for nobody")

    with progress:
        clock.now += 60.0
        progress.update(DATE, 10 * DAY, wind)
    assert text.getvalue() == ""


def test_extremes_are_computed_only_when_they_are_shown():
    progress, _, clock = a_run(terminal=False)
    calls = []
    with progress:
        for step in range(50):
            clock.now += 0.5
            progress.update(DATE, step * 600.0, lambda: calls.append(1) or 1.0)
    assert len(calls) == 2


def test_speed_leaves_out_the_steps_in_which_code_is_compiled():
    progress, text, clock = a_run(terminal=False)
    with progress:
        assert progress.sypd == 0.0
        for step, took in enumerate((60.0, 40.0, 12.0), 1):
            clock.now += took
            progress.update(DATE, step * 600.0)
    assert progress.sypd == pytest.approx(speed(600.0, 12.0))
    first, second, third = text.getvalue().splitlines()
    assert "SYPD" not in first + second
    assert "left" not in first + second
    assert "SYPD" in third
    assert "left" in third


def test_speed_forgets_a_slow_beginning():
    progress, _, clock = a_run(terminal=False)
    with progress:
        progress.update(DATE, 0.0)
        clock.now += 60.0
        progress.update(DATE, 600.0)
        for step in range(2, 100):
            clock.now += 1.0
            progress.update(DATE, step * 600.0)
    assert progress.sypd == pytest.approx(speed(600.0, 1.0), rel=1e-9)


def test_speed_and_durations_in_words():
    assert speed(365 * DAY, DAY) == 1.0
    assert speed(1.0, 0.0) == 0.0
    assert [clock_text(s) for s in (-3.0, 9.4, 61.0, 3725.0)] == ["0:00", "0:09", "1:01", "1:02:05"]
