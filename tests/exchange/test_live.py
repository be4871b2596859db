"""Sums of live arrays in one pass: the same numbers as one by one, and a look at each."""

from __future__ import annotations

import numpy as np
import pytest

from coupler.exchange.accumulate import Accumulator
from coupler.interface.errors import ExchangeError

SHAPES = {"ua": (3, 5), "ta": (3, 5), "ps": (5,), "mask": (2, 3)}
STEPS = ((0, 600.0), (1, 1800.0), (2, 7.0))


def arrays(seed: int = 1) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    found = {n: rng.standard_normal(s).astype(np.float32) for n, s in SHAPES.items()}
    found["ps"] = found["ps"].astype(np.float64)
    found["mask"] = rng.integers(0, 2, (3, 2)).T  # neither a float nor in C order
    return found


def change(live: dict[str, np.ndarray], step: int) -> None:
    for array in live.values():
        array[...] = np.random.default_rng(step).uniform(-9.0, 9.0, array.shape)


def test_what_is_followed_gives_the_bits_of_what_is_added_by_itself() -> None:
    live = arrays()
    followed, added = Accumulator(SHAPES), Accumulator(SHAPES)
    followed.follow(live)
    for step, dt in STEPS:
        change(live, step)
        followed.add_live(dt)
        added.add(live, dt)
    for name, want in added.memory().items():
        np.testing.assert_array_equal(followed.memory()[name], want)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -300.0])
def test_fields_with_a_number_out_of_range_are_not_called_sound(bad: float) -> None:
    live = arrays()
    change(live, 3)
    sums = Accumulator(SHAPES)
    sums.follow(live, {"ua": (-10.0, 10.0), "ps": (-np.inf, np.inf)})
    assert sums.add_live(1.0) == {"ua", "ps"}
    live["ua"][2, 4] = bad
    assert sums.add_live(1.0) == {"ps"}
    live["ps"][0] = np.nan
    assert sums.add_live(1.0) == set()


def test_steady_values_are_added_for_as_long_as_they_were_there() -> None:
    live = arrays()
    sums = Accumulator(SHAPES)
    steady = {n: live[n] for n in ("ua", "ps")}
    before_change = sums.follow(steady, steady=True)
    sums.follow({"ta": live["ta"]})
    want = {n: np.zeros(SHAPES[n]) for n in steady}
    for step, _ in STEPS:
        before_change()
        change(live, step)
        for _ in range(4):
            sums.add_live(600.0)
        for name in want:
            want[name] += 2400.0 * live[name].astype(float)
    means = {n: np.zeros(SHAPES[n]) for n in (*want, "ta")}
    sums.mean(means)
    for name, total in want.items():
        np.testing.assert_allclose(means[name], total / 7200.0, rtol=1e-14, atol=1e-15)
    assert sums.weight("ua") == sums.weight("ta") == 7200.0


def test_a_restart_while_steady_values_wait_changes_no_bit() -> None:
    live = arrays()
    whole, first, second = Accumulator(SHAPES), Accumulator(SHAPES), Accumulator(SHAPES)
    followers = [s.follow({"ua": live["ua"]}, steady=True) for s in (whole, first, second)]
    for sums in (whole, first):
        sums.add_live(0.1)
        sums.add_live(0.7)
    second.restore({n: a.copy() for n, a in first.memory().items()})
    for sums in (whole, second):
        sums.add_live(0.3)
    for tell in (followers[0], followers[2]):
        tell()
    for name, want in whole.memory().items():
        np.testing.assert_array_equal(second.memory()[name], want)
    older = {n: a for n, a in whole.memory().items() if not n.endswith("waiting")}
    first.restore(older)  # of a version that added at every step
    assert first.memory()["ua.waiting"] == 0.0


def test_arrays_of_another_shape_or_name_cannot_be_followed() -> None:
    with pytest.raises(ExchangeError, match=r"wrong shape to accumulate: ua; expected \(3, 5\)"):
        Accumulator(SHAPES).follow({"ua": np.zeros((5, 3))})
    with pytest.raises(ExchangeError, match=r"unknown field: ub; .*ua"):
        Accumulator(SHAPES).follow({"ub": np.zeros((3, 5))})
