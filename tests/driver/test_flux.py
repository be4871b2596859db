"""The coupler turns interface fluxes into tendencies: sums, policies at the top, heating."""

import numpy as np
import pytest

from coupler.driver.flux import (
    add_scaled,
    add_up,
    dissipative_heating,
    drag_and_heat,
    flux_pair_tendency,
    flux_tendency,
)
from coupler.interface.errors import ContractError

G = 9.80665
NLEV, NCOL = 7, 261  # more columns than one chunk, a partial second one


def column_state(dtype=np.float64, seed=1):
    rng = np.random.default_rng(seed)
    thickness = rng.uniform(20.0, 300.0, (NLEV, NCOL))
    top = rng.uniform(0.0, 5.0, (1, NCOL))
    phalf = np.concatenate([top, top + np.cumsum(thickness, axis=0)])
    flux = 1e-3 * rng.standard_normal((NLEV + 1, NCOL))
    return flux.astype(dtype), phalf.astype(dtype)


def divergence(flux, phalf, top, dump_above=400.0, scale=G):
    out = np.full((NLEV, NCOL), np.nan, flux.dtype)  # every value must be overwritten
    escaped = np.full(NCOL, np.nan, flux.dtype)
    flux_tendency(
        flux, phalf, scale=scale, top=top, dump_above=dump_above, out=out, escaped=escaped
    )
    return out, escaped


def column_sum(tendency, phalf, scale=G):
    return (tendency.astype(float) * np.diff(phalf.astype(float), axis=0)).sum(0) / scale


@pytest.mark.parametrize("top", ["escape", "dump", "zero"])
def test_the_column_sum_is_the_difference_of_the_end_fluxes_under_every_policy(top):
    flux, phalf = column_state()
    out, escaped = divergence(flux, phalf, top)
    # 1e-12: a dozen roundings of terms of the size of the largest flux
    scale = np.abs(flux).max(0)
    assert np.all(np.abs(column_sum(out, phalf) - (flux[-1] - escaped)) <= 1e-12 * scale)


@pytest.mark.parametrize("top", ["dump", "zero"])
def test_only_the_escape_policy_lets_flux_leave(top):
    flux, phalf = column_state()
    assert not divergence(flux, phalf, top)[1].any()
    out, escaped = divergence(flux, phalf, "escape")
    np.testing.assert_array_equal(escaped, flux[0])
    # the control: without the policy the column does not close on the surface flux
    assert np.all(np.abs(column_sum(out, phalf) - flux[-1]) > 1e-9)


def test_dump_gives_one_extra_acceleration_to_the_layers_above_and_none_below():
    flux, phalf = column_state()
    extra = divergence(flux, phalf, "dump")[0] - divergence(flux, phalf, "escape")[0]
    above = 0.5 * (phalf[1:] + phalf[:-1]) < 400.0
    assert above.any() and not above.all()
    mass = np.where(above, np.diff(phalf, axis=0), 0.0).sum(0) / G
    expected = np.where(above, flux[0] / mass, 0.0)
    # the difference of two tendencies of 1e-4 loses some digits
    np.testing.assert_allclose(extra, expected, rtol=1e-10, atol=1e-15)


def test_dump_reaches_the_top_layer_even_when_it_lies_below_the_given_pressure():
    flux, phalf = column_state()
    dumped = divergence(flux, phalf, "dump", dump_above=1e-3)[0]
    # both give all of F_0 to the top layer; the order of operations differs
    np.testing.assert_allclose(dumped, divergence(flux, phalf, "zero")[0], rtol=1e-12, atol=1e-18)


def test_dump_above_everything_spreads_over_the_whole_column_and_no_further():
    flux, phalf = column_state()
    flux[1:] = flux[0]
    out = divergence(flux, phalf, "dump", dump_above=1e9)[0]
    expected = np.broadcast_to(G * flux[0] / (phalf[-1] - phalf[0]), out.shape)
    np.testing.assert_allclose(out, expected, rtol=1e-13)


def test_zero_leaves_all_layers_but_the_top_one_alone():
    flux, phalf = column_state()
    zero, escape = divergence(flux, phalf, "zero")[0], divergence(flux, phalf, "escape")[0]
    np.testing.assert_array_equal(zero[1:], escape[1:])
    assert np.all(zero[0] != escape[0])


@pytest.mark.parametrize("top", ["escape", "dump", "zero"])
def test_single_precision_is_rounded_once(top):
    flux, phalf = column_state(np.float32)
    out, escaped = divergence(flux, phalf, top)
    exact = divergence(flux.astype(float), phalf.astype(float), top)
    np.testing.assert_array_equal(out, exact[0].astype(np.float32))
    np.testing.assert_array_equal(escaped, exact[1].astype(np.float32))


def test_heat_is_flux_divergence_over_heat_capacity():
    flux, phalf = column_state()
    heating = divergence(flux, phalf, "escape", scale=G / 1004.64)[0]
    drag = divergence(flux, phalf, "escape")[0]
    np.testing.assert_allclose(heating * 1004.64, drag, rtol=1e-14)  # two more roundings


def test_a_policy_that_does_not_exist_is_refused():
    flux, phalf = column_state()
    with pytest.raises(
        ContractError, match=r"unknown policy at the top: absorb.*dump, escape, zero"
    ):
        divergence(flux, phalf, "absorb")


@pytest.mark.parametrize("dt", [0.0, 1800.0])
def test_kinetic_energy_that_drag_removes_becomes_heat_over_a_finite_step(dt):
    rng = np.random.default_rng(5)
    ua, va = 30.0 * rng.standard_normal((2, NLEV, NCOL))
    dua, dva = 1e-3 * rng.standard_normal((2, NLEV, NCOL))
    heat = np.full((NLEV, NCOL), np.nan)
    dissipative_heating(ua, va, dua, dva, dt=dt, cp=1004.64, out=heat)
    kinetic = 0.5 * ((ua + dt * dua) ** 2 + (va + dt * dva) ** 2 - ua**2 - va**2)
    # the difference of squares of 1e3 m2 s-2 leaves about 1e-12 m2 s-2
    np.testing.assert_allclose(1004.64 * heat * dt, -kinetic, rtol=1e-9, atol=1e-11)
    # the control: the tangent u du alone misses dt du^2 / 2
    tangent = -(ua * dua + va * dva)
    np.testing.assert_allclose(
        1004.64 * heat - tangent, -0.5 * dt * (dua**2 + dva**2), rtol=1e-8, atol=1e-15
    )


def test_a_scaled_sum_in_single_precision_is_rounded_once():
    rng = np.random.default_rng(6)
    target, increment = rng.standard_normal((2, NLEV, NCOL)).astype(np.float32)
    exact = target.astype(float) + 1800.0 / 7.0 * increment.astype(float)
    add_scaled(target, increment, 1800.0 / 7.0)
    np.testing.assert_array_equal(target, exact.astype(np.float32))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("top", ["escape", "dump", "zero"])
def test_column_sums_made_on_the_way_are_those_of_what_is_stored(dtype, top):
    flux, phalf = column_state(dtype)
    out, escaped, sums = np.empty((NLEV, NCOL), dtype), np.empty(NCOL), np.full((2, NCOL), np.nan)
    policy = {"scale": G, "top": top, "dump_above": 400.0}
    flux_tendency(flux, phalf, out=out, escaped=escaped, sums=sums, **policy)
    force = out.astype(float) * np.diff(phalf.astype(float), axis=0)
    # a few additions of float64, in another order
    np.testing.assert_allclose(sums[0], force.sum(0), rtol=0, atol=1e-13 * np.abs(force).max())
    np.testing.assert_allclose(sums[1], np.abs(force).sum(0), rtol=1e-13)
    np.testing.assert_array_equal(out, divergence(flux, phalf, top)[0])


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize(("one", "two"), [("dump", "dump"), ("escape", "zero"), ("zero", "dump")])
def test_drag_and_its_heat_in_one_pass_have_the_bits_of_each_by_itself(dtype, one, two):
    (x, phalf), (y, _) = column_state(dtype), column_state(dtype, seed=2)
    ua, va = (30.0 * np.random.default_rng(8).standard_normal((2, NLEV, NCOL))).astype(dtype)
    want, gone, sums = [], [], np.full((2, 2, NCOL), np.nan)
    for flux, top, own in ((x, one, sums[0]), (y, two, sums[1])):
        out, escaped = np.full((NLEV, NCOL), np.nan, dtype), np.full(NCOL, np.nan)
        flux_tendency(
            flux, phalf, scale=G, top=top, dump_above=400.0, out=out, escaped=escaped, sums=own
        )
        want.append(out)
        gone.append(escaped)
    want.append(np.full((NLEV, NCOL), np.nan, dtype))
    dissipative_heating(ua, va, *want[:2], dt=900.0, cp=1004.64, out=want[2])

    def at_once(dt):
        out = tuple(np.full((NLEV, NCOL), np.nan, dtype) for _ in range(3))
        ends = tuple(np.full((2, NCOL), np.nan))
        own = tuple(np.full((2, 2, NCOL), np.nan))
        drag_and_heat(
            (x, y),
            phalf,
            gravity=G,
            cp=1004.64,
            tops=((one, 400.0), (two, 400.0)),
            winds=(ua, va),
            dt=dt,
            out=out,
            escaped=ends,
            push=tuple(np.empty((2, NCOL))),
            sums=own,
        )
        return out, ends, own

    out, ends, own = at_once(900.0)
    np.testing.assert_array_equal(out, want)
    np.testing.assert_array_equal(ends, gone)
    np.testing.assert_array_equal(own, sums)
    # the control: over another time another part of the drag heats
    assert (at_once(1800.0)[0][2] != want[2]).any()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_two_fluxes_in_one_pass_give_the_sum_of_their_tendencies(dtype):
    (flux, phalf), (other, _) = column_state(dtype), column_state(dtype, seed=2)
    out, gone = np.full((NLEV, NCOL), np.nan, dtype), (np.empty(NCOL), np.empty(NCOL))
    flux_pair_tendency(flux, other, phalf, scale=G, out=out, escaped=gone)
    one, left = divergence(flux, phalf, "escape")
    two, right = divergence(other, phalf, "escape")
    # the sum of two rounded numbers
    tolerance = 3 * np.finfo(dtype).eps * (np.abs(one) + np.abs(two))
    assert np.all(np.abs(out - (one + two)) <= tolerance)
    np.testing.assert_array_equal(gone, (left, right))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("count", [1, 2, 3, 4, 5])
def test_rates_are_added_in_their_order_as_far_down_as_they_reach(dtype, count):
    rates = tuple(np.random.default_rng(count).standard_normal((count, NLEV, NCOL)).astype(dtype))
    reach = np.array([NLEV, 2, NLEV, 0, 3][:count])
    want = np.zeros((NLEV, NCOL), dtype)
    for rate, levels in zip(rates, reach, strict=True):
        want[:levels] += rate[:levels]
    out = np.full((NLEV, NCOL), np.nan, dtype)
    assert add_up(rates, reach, 1e3, out) == 0
    np.testing.assert_array_equal(out, want)
    rates[0][1, 5], rates[0][0, 7] = np.nan, -2e3
    assert add_up(rates, reach, 1e3, out) == 2


def test_nothing_that_reaches_a_level_is_zero_there():
    out = np.full((NLEV, NCOL), np.nan)
    rates = (np.ones((NLEV, NCOL)),)
    assert add_up(rates, np.array([2]), 1e3, out) == 0
    np.testing.assert_array_equal(out, np.arange(NLEV)[:, None] + np.zeros(NCOL) < 2)
