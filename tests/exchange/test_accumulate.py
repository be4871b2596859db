"""Sums and weights for coupling and output means."""

import numpy as np
import pytest

from coupler.exchange.accumulate import Accumulator
from coupler.interface.errors import ExchangeError

SHAPES = {"hfss": (5, 7), "ua": (3, 5, 7)}


def test_a_mean_weighs_each_value_with_the_time_it_held():
    acc = Accumulator({"hfss": (2, 3)})
    acc.add({"hfss": np.full((2, 3), 10.0, np.float32)}, 600.0)
    acc.add({"hfss": np.full((2, 3), 40.0, np.float32)}, 1200.0)
    out = np.empty((2, 3), np.float32)
    acc.mean({"hfss": out})
    assert np.array_equal(out, np.full((2, 3), 30.0))
    assert acc.weight("hfss") == 1800.0


def test_sums_of_float32_fields_are_kept_in_float64():
    acc = Accumulator({"ps": (1, 4)})
    rng = np.random.default_rng(1)
    values = (1e5 + rng.normal(size=(20000, 1, 4))).astype(np.float32)
    single = np.zeros((1, 4), np.float32)
    for value in values:
        acc.add({"ps": value}, 1.0)
        single += value
    out = np.empty((1, 4))
    acc.mean({"ps": out})
    exact = values.astype(np.float64).mean(axis=0)
    assert np.abs(out - exact).max() < 1e-9  # float64 round-off of a sum of 2e9
    assert np.abs(single / 20000 - exact).max() > 1e-2  # what float32 sums would have given


def test_fields_added_at_different_times_have_weights_of_their_own():
    acc = Accumulator(SHAPES)
    acc.add({"hfss": np.ones((5, 7)), "ua": np.ones((3, 5, 7))}, 10.0)
    acc.add({"ua": np.full((3, 5, 7), 4.0)}, 20.0)
    out = {"hfss": np.empty((5, 7)), "ua": np.empty((3, 5, 7))}
    acc.mean(out)
    assert out["hfss"].max() == 1.0
    assert out["ua"].min() == 3.0


def test_a_reset_begins_a_new_window_for_all_or_some_fields():
    acc = Accumulator(SHAPES)
    fields = {name: np.ones(shape) for name, shape in SHAPES.items()}
    acc.add(fields, 5.0)
    acc.reset(["hfss"])
    assert (acc.weight("hfss"), acc.weight("ua")) == (0.0, 5.0)
    acc.reset()
    acc.add({k: 3.0 * v for k, v in fields.items()}, 7.0)
    out = np.empty((3, 5, 7))
    acc.mean({"ua": out})
    assert out.max() == 3.0


def test_a_run_interrupted_inside_a_window_continues_bit_for_bit():
    rng = np.random.default_rng(2)
    steps = [{n: rng.normal(size=s) for n, s in SHAPES.items()} for _ in range(9)]
    whole, first, second = Accumulator(SHAPES), Accumulator(SHAPES), Accumulator(SHAPES)
    for step in steps:
        whole.add(step, 1200.0)
    for step in steps[:4]:
        first.add(step, 1200.0)
    second.restore({name: array.copy() for name, array in first.memory().items()})
    for step in steps[4:]:
        second.add(step, 1200.0)
    a, b = ({n: np.empty(s) for n, s in SHAPES.items()} for _ in range(2))
    whole.mean(a)
    second.mean(b)
    assert all(np.array_equal(a[n], b[n]) for n in SHAPES)


def test_misuse_is_refused_in_one_sentence():
    acc = Accumulator(SHAPES)
    with pytest.raises(ExchangeError, match="unknown field: hfs; did you mean 'hfss'"):
        acc.add({"hfs": np.ones((5, 7))}, 1.0)
    with pytest.raises(ExchangeError, match=r"wrong shape to accumulate: hfss; expected \(5, 7\)"):
        acc.add({"hfss": np.ones((7, 5))}, 1.0)
    for dt in (0.0, -1.0, float("nan")):
        with pytest.raises(ExchangeError, match="expected a positive time"):
            acc.add({"hfss": np.ones((5, 7))}, dt)
    with pytest.raises(ExchangeError, match="no mean of nothing: hfss"):
        acc.mean({"hfss": np.ones((5, 7))})
    with pytest.raises(ExchangeError, match=r"hfss\.sum; expected an array of shape \(5, 7\)"):
        acc.restore({})
    other = Accumulator({"hfss": (5, 8), "ua": (3, 5, 7)})
    with pytest.raises(ExchangeError, match=r"found shape \(5, 8\); restart with the output"):
        acc.restore(other.memory())


@pytest.mark.parametrize("dtype", ["f4", "f8"])
def test_a_live_field_is_added_in_one_pass_with_the_bits_of_two(dtype: str) -> None:
    """Arrays that change between calls, and one whose elements do not lie together."""
    random, shape = np.random.default_rng(5), (3, 5, 7)
    live, wide = np.zeros(shape, dtype), np.zeros((3, 5, 14), dtype)
    acc, wanted = Accumulator({"ua": shape, "va": shape}), np.zeros(shape)
    for dt in (900.0, 0.1, 7.3):
        live[...] = random.standard_normal(shape)
        wide[..., ::2] = live
        acc.add({"ua": live, "va": wide[..., ::2]}, dt)
        wanted += np.multiply(live, dt, dtype=np.float64)
    sums = acc.memory()
    assert sums["ua.sum"].tobytes() == wanted.tobytes() == sums["va.sum"].tobytes()
    acc.restore({name: np.zeros_like(a) for name, a in sums.items()})
    acc.add({"ua": live}, 2.0)
    np.testing.assert_array_equal(acc.memory()["ua.sum"], 2.0 * live.astype("f8"))


def of_ice(ice):
    """Sums of a temperature weighted with the fraction of ice, and of one of the whole cell."""
    return Accumulator(
        {"ts_ice": (1, 4), "ts": (1, 4), "sft_ice": (1, 4)}, {"ts_ice": ("sft_ice", ice)}
    )


def test_a_mean_over_a_part_of_a_cell_counts_steps_by_what_there_was_of_it():
    ice, ts = np.zeros((1, 4), np.float32), np.zeros((1, 4))
    acc = of_ice(ice)
    acc.follow({"ts_ice": ts, "ts": ts, "sft_ice": ice})
    steps = (
        (600.0, [0.2, 1.0, 0.0, 0.25], [250.0, 250.0, 300.0, 240.0]),
        (1200.0, [0.8, 1.0, 0.0, 0.0], [270.0, 270.0, 300.0, 999.0]),
    )
    for dt, fraction, value in steps:
        ice[...], ts[...] = fraction, value
        acc.add_live(dt)
    out = {n: np.empty((1, 4)) for n in ("ts_ice", "ts", "sft_ice")}
    acc.mean(out)
    first = (250.0 * 0.2 * 600.0 + 270.0 * 0.8 * 1200.0) / (0.2 * 600.0 + 0.8 * 1200.0)
    # 0.2 and 0.8 are float32 here
    np.testing.assert_allclose(out["ts_ice"], [[first, 790.0 / 3.0, np.nan, 240.0]], rtol=1e-7)
    # The control: all steps alike, as for the whole cell.
    np.testing.assert_allclose(out["ts"], [[790.0 / 3.0, 790.0 / 3.0, 300.0, 746.0]])
    np.testing.assert_allclose(out["sft_ice"], [[0.6, 1.0, 0.0, 0.25 / 3.0]], rtol=1e-7)


def test_sums_that_are_weighted_go_on_bit_for_bit_and_those_of_before_are_refused():
    rng = np.random.default_rng(3)
    ice, ts = np.zeros((1, 4)), np.zeros((1, 4), np.float32)
    whole, first, second = of_ice(ice), of_ice(ice), of_ice(ice)
    sums = {"whole": whole, "parts": first}
    for acc in (whole, first, second):
        acc.follow({"ts_ice": ts, "ts": ts, "sft_ice": ice})
    for step in range(9):
        if step == 4:
            second.restore({n: a.copy() for n, a in first.memory().items()})
            sums["parts"] = second
        ice[...], ts[...] = rng.random((2, 1, 4))
        for acc in sums.values():
            acc.add_live(700.0)
    one, two = np.empty((1, 4)), np.empty((1, 4))
    whole.mean({"ts_ice": one})
    second.mean({"ts_ice": two})
    assert np.array_equal(one, two)
    before = {n.replace("weighted", "sum"): a for n, a in first.memory().items()}
    with pytest.raises(
        ExchangeError, match=r"ts_ice\.weighted; .*; found none; go on with the version.*branch: F"
    ):
        second.restore(before)
