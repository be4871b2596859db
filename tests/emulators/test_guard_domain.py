"""Distances from the training columns, the share that ends belief, and the limit of the drag."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from map_bundles import map_host, map_spec, some_inputs
from scipy.spatial import distance as scipy_distance
from synthetic_columns import NAMES, call, columns, host, tensors

from coupler.driver.flux import flux_tendency
from coupler.interface.errors import ContractError, DataError, UnstableError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle
from emulators.component import EmulatorParameters, EmulatorTendency, emulator_class
from emulators.domain import Domain, fit_domain, level_channels
from emulators.guard import COUNTS, Guard, limited
from emulators.schema import BundleSpec, GuardRule
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

N = 47


@pytest.fixture
def c(levels: HybridLevels) -> dict[str, Any]:
    """Columns well within the domain."""
    made = columns(N, levels, 61)
    mean = np.repeat(made["ta"].mean(axis=1, keepdims=True), N, axis=1)
    return made | {"ua": 0.4 * made["ua"], "va": 0.4 * made["va"], "ta": mean}


def with_rule(folder: Path, to: Path, **rule: Any) -> type[EmulatorTendency]:
    """The bundle of `folder` with another guard."""
    shutil.copytree(folder, to)
    content = yaml.safe_load((to / "bundle.yaml").read_text())
    content["guard"] |= rule
    (to / "bundle.yaml").write_text(yaml.safe_dump(content))
    return emulator_class(to)


def made(cls: type[EmulatorTendency], levels, c, *, fallback: bool = True, dtype="float32"):
    component = cls(EmulatorParameters())
    component.fallback = AlexanderDunkerton1999() if fallback else None
    where = host(levels, c["lat"], dtype)
    component.setup(where)
    return component, where


def counts(component: EmulatorTendency) -> dict[str, int]:
    return dict(zip(COUNTS, component.memory()["guard_counts"].tolist(), strict=True))


def test_with_all_axes_it_is_the_mahalanobis_distance_of_scipy(spec: BundleSpec, levels) -> None:
    train = tensors(columns(701, levels, 62))
    domain = fit_domain(spec, train, kept=1.0)
    some = tensors(columns(5, levels, 63))
    parts = [
        (torch.cat([train[k.name], some[k.name]], dim=1).double() - torch.tensor(k.mean)[:, None])
        / torch.tensor(k.scale)[:, None]
        for k in level_channels(spec)
    ]
    z = torch.cat(parts).numpy()
    inverse = np.linalg.inv(np.cov(z[:, :701], bias=True))
    mean = z[:, :701].mean(axis=1)
    want = [scipy_distance.mahalanobis(x, mean, inverse) for x in z[:, 701:].T]
    got = Domain(spec, domain, 5).distance(some) * float(domain["unit"])
    # float32 of 39 numbers; the smallest eigenvalue is some 1e-3 of the largest.
    np.testing.assert_allclose(got, want, rtol=2e-3)


def test_one_training_column_in_a_thousand_is_beyond_one(spec: BundleSpec, levels) -> None:
    train = tensors(columns(4003, levels, 64))
    domain = fit_domain(spec, train)
    d = Domain(spec, domain, 4003).distance(train)
    assert int((d > 1.0).sum()) in range(3, 7)
    assert domain["axes"].shape[0] < domain["axes"].shape[1] == 3 * levels.nlev
    later = Domain(spec, domain, 501).distance(tensors(columns(501, levels, 65)))
    assert float((later > 1.0).float().mean()) < 0.02


def test_a_column_within_all_ranges_but_like_none_is_far(folder, levels, c, tmp_path) -> None:
    channel = emulator_class(folder).bundle.spec.input("ta")
    low, high = np.array(channel.minimum), np.array(channel.maximum)
    zigzag = np.where(np.arange(levels.nlev) % 2 == 0, low, high)
    c["ta"][:, 7] = 0.9 * zigzag + 0.05 * (low + high)
    plain, where = made(emulator_class(folder), levels, c)
    assert not call(plain, c, where)[1].guard_gravity_wave.any()
    assert counts(plain)["outside"] == 0
    cls = with_rule(folder, tmp_path / "b", mahalanobis_margin=1.5, mahalanobis_wide_margin=3.0)
    component, where = made(cls, levels, c)
    assert np.flatnonzero(call(component, c, where)[1].guard_gravity_wave).tolist() == [7]
    assert counts(component)["far"] == 1


def test_the_z_score_is_the_largest_normalized_value(folder, levels, c, tmp_path) -> None:
    spec = emulator_class(folder).bundle.spec
    channel = spec.input("ta")
    k = 5
    c["ta"][k, 3] = channel.mean[k] + 2.0 * channel.scale[k]
    c["ta"][k, 4] = channel.mean[k] - 3.5 * channel.scale[k]
    cls = with_rule(folder, tmp_path / "b", z_margin=1.9, z_wide_margin=3.0)
    component, where = made(cls, levels, c)
    x = {n: torch.from_numpy(np.ascontiguousarray(c[n], np.float32)) for n in NAMES}
    z = component.guard.z_score(x)
    assert float(z[3]) == pytest.approx(2.0, abs=1e-3)
    assert float(z[4]) == pytest.approx(3.5, abs=1e-3)
    flag = call(component, c, where)[1].guard_gravity_wave
    np.testing.assert_array_equal(flag == 1.0, z.numpy() > 3.0)
    assert flag[4] == 1.0 and flag[3] == 0.0 and flag.sum() < 4
    # It is taken back only within the narrow margin, here too.
    c["ta"][k, 4] = channel.mean[k] - 2.5 * channel.scale[k]
    assert call(component, c, where)[1].guard_gravity_wave[4] == 1.0
    c["ta"][k, 4] = channel.mean[k]
    assert call(component, c, where)[1].guard_gravity_wave[4] == 0.0


def test_when_too_many_are_not_believed_none_is_until_half_as_many(
    folder, levels, c, tmp_path
) -> None:
    cls = with_rule(folder, tmp_path / "b", fraction=0.2)
    component, where = made(cls, levels, c)
    warm = c["ta"].copy()
    seen = []
    for bad in (9, 10, 7, 4, 9):  # of 47: 19 %, 21 %, 15 %, 9 %, 19 %
        c["ta"] = warm.copy()
        c["ta"][4, :bad] += 200.0
        seen.append(int(call(component, c, where)[1].guard_gravity_wave.sum()))
    assert seen == [9, 47, 47, 4, 9]
    assert counts(component)["calls_given_up"] == 2
    # what the domain said of single columns is counted as it was; replaced were all of two calls
    assert counts(component)["far"] == 9 + 10 + 7 + 4 + 9
    assert counts(component)["guarded"] == sum(seen) == 9 + 47 + 47 + 4 + 9


def test_the_held_share_is_part_of_the_restart(folder, levels, c, tmp_path) -> None:
    cls = with_rule(folder, tmp_path / "b", fraction=0.2)
    component, where = made(cls, levels, c)
    warm = c["ta"].copy()
    c["ta"] = warm.copy()
    c["ta"][4, :10] += 200.0
    call(component, c, where)
    fresh, there = made(cls, levels, c)
    fresh.restore({k: v.copy() for k, v in component.memory().items()})
    c["ta"] = warm.copy()
    c["ta"][4, :7] += 200.0
    assert call(fresh, c, there)[1].guard_gravity_wave.sum() == N


def test_without_a_fallback_too_many_end_the_run(folder, levels, c, tmp_path) -> None:
    cls = with_rule(folder, tmp_path / "b", fraction=0.1)
    component, where = made(cls, levels, c, fallback=False)
    c["ta"][4, :9] += 200.0
    with pytest.raises(
        UnstableError, match=r"too many columns .*: small; expected at most 10 %.*found 19\.1 %"
    ):
        call(component, c, where)


def test_the_limit_hands_the_excess_down_and_keeps_the_column() -> None:
    flux = torch.tensor([[0.0, 0.1], [5.0, 0.2], [5.5, 0.1], [5.0, 0.0]], dtype=torch.float64)
    before = flux.clone()
    most = torch.full((3, 2), 2.0, dtype=torch.float64)
    moved = limited(flux, most)
    # 5 in the first layer: 2 stay, 3 go down; 0.5 + 3: 2 stay, 1.5 go; the last takes -0.5 + 1.5
    np.testing.assert_allclose(flux[:, 0].diff(), [2.0, 2.0, 1.0])
    assert torch.equal(flux[[0, -1]], before[[0, -1]])
    assert torch.equal(flux[:, 1], before[:, 1])  # untouched to the last bit
    assert moved.tolist() == [3.0, 0.0]
    assert not limited(before.clone(), 100.0 * most).any()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_limited_emulator_pushes_no_harder_and_says_what_it_moved(
    folder, levels, c, tmp_path, dtype
) -> None:
    free, where = made(emulator_class(folder), levels, c, dtype=dtype)
    flux, _ = call(free, c, where)

    def rates(flux: Any) -> np.ndarray:
        rate, escaped = where.empty("level", "column"), np.zeros(N)
        p = np.ascontiguousarray(c["phalf"], dtype)
        policy: Any = {"scale": where.planet.gravity, "top": "escape", "dump_above": 85.0}
        flux_tendency(flux.xgwdparam, p, out=rate, escaped=escaped, **policy)
        return rate

    hardest = float(np.abs(rates(flux)[:-1]).max())
    cls = with_rule(folder, tmp_path / "b", largest_drag=0.3 * hardest)
    assert "phalf" in [p.name for p in cls.inputs]
    component, where = made(cls, levels, c, dtype=dtype)
    slow, diag = call(component, c, where)
    assert np.abs(rates(slow)[:-1]).max() <= 0.3 * hardest * (1.0 + 1e-3)
    moved = diag.guard_moved_gravity_wave
    assert 0 < counts(component)["limited"] == np.count_nonzero(moved) < N
    np.testing.assert_array_equal(slow.xgwdparam[[0, -1]], flux.xgwdparam[[0, -1]])
    free_columns = moved == 0.0
    same = slow.xgwdparam[:, free_columns] == flux.xgwdparam[:, free_columns]
    assert same.all()


def test_margins_that_make_no_sense_or_cannot_be_measured_are_refused(
    folder, levels, c, tmp_path
) -> None:
    with pytest.raises(ValueError, match="z_margin and z_wide_margin are given together"):
        GuardRule(z_margin=2.0)
    with pytest.raises(ValueError, match="mahalanobis_margin and mahalanobis_wide_margin"):
        GuardRule(mahalanobis_margin=2.0, mahalanobis_wide_margin=1.0)
    with pytest.raises(DataError, match="fraction"):
        with_rule(folder, tmp_path / "f", fraction=1.5)
    cls = with_rule(folder, tmp_path / "b", mahalanobis_margin=1.5, mahalanobis_wide_margin=3.0)
    for name in [n for n in cls.bundle.reference if n.startswith("domain.")]:
        del cls.bundle.reference[name]
    with pytest.raises(ContractError, match="Mahalanobis distance without the training columns"):
        made(cls, levels, c)


def test_a_bundle_keeps_its_training_columns(folder) -> None:
    domain = load_bundle(folder).domain
    assert set(domain) == {"mean", "axes", "deviation", "rest", "unit"}


def test_fields_without_levels_are_watched_but_for_angles(levels: HybridLevels) -> None:
    names = ("ua", "va", "ta", "lat", "orog")
    spec = map_spec(levels, "stencil", {}, inputs=names)
    guard = Guard(spec, AlexanderDunkerton1999(), map_host(levels))
    inputs = some_inputs(levels, 1, names)  # those that the ranges were taken from
    high, low = spec.input("orog").maximum[0], spec.input("orog").minimum[0]
    assert float(guard.distance(inputs).max()) <= 1e-5
    inputs["orog"][7] = high + 0.3 * (high - low)
    inputs["orog"][9] = low - 0.7 * (high - low)
    inputs["orog"][11] = np.nan
    inputs["lat"][13] = 91.0  # the globe is the range of an angle
    distance = guard.distance(inputs).numpy()
    np.testing.assert_allclose(distance[[7, 9]], [0.3, 0.7], rtol=1e-4)
    assert np.isnan(distance[11])
    assert distance[13] <= 1e-5
    outside, far = guard._left(inputs)
    assert outside.nonzero()[:, 0].tolist() == [7, 9]
    assert far.nonzero()[:, 0].tolist() == [9]
    assert guard._not_finite.nonzero()[0].tolist() == [11]
    z = guard.z_score(inputs)
    orog = spec.input("orog")
    want = (inputs["orog"][7] - orog.mean[0]) / orog.scale[0]
    assert float(z[7]) >= float(want) - 1e-5
    assert torch.isnan(z[11])
