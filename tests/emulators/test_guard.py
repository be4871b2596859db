"""The emulator as a component, and its guard."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from synthetic_columns import call, columns, host, now

from coupler.driver.flux import flux_tendency
from coupler.driver.suite import Bound
from coupler.interface.component import Arrays, Params, Tendency, flux_of, reads, tendencies_of
from coupler.interface.errors import ContractError
from coupler.interface.grid import HybridLevels
from emulators.component import EmulatorParameters, EmulatorTendency, emulator_class
from emulators.guard import COUNTS
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

N = 61


@pytest.fixture(scope="module")
def cls(folder: Path) -> type[EmulatorTendency]:
    return emulator_class(folder, "gravity_wave")


@pytest.fixture
def c(levels: HybridLevels) -> dict[str, Any]:
    return inside(columns(N, levels, 21), levels)


def inside(c: dict[str, Any], levels: HybridLevels) -> dict[str, Any]:
    """Columns well within the training domain: weaker winds, the mean temperature."""
    return c | {
        "ua": 0.4 * c["ua"],
        "va": 0.4 * c["va"],
        "ta": np.repeat(c["ta"].mean(axis=1, keepdims=True), c["lat"].size, axis=1),
    }


def made(
    cls: type[EmulatorTendency],
    levels: HybridLevels,
    c: dict[str, Any],
    *,
    fallback: Tendency | None = None,
    dtype: str = "float32",
    **parameters: Any,
) -> tuple[EmulatorTendency, Any]:
    component = cls(EmulatorParameters(**parameters))
    component.fallback = fallback
    where = host(levels, c["lat"], dtype)
    component.setup(where)
    return component, where


def counts(component: EmulatorTendency) -> dict[str, int]:
    return dict(zip(COUNTS, component.memory()["guard_counts"].tolist(), strict=True))


def truth(levels: HybridLevels, c: dict[str, Any], dtype: str = "float32") -> Arrays:
    where = host(levels, c["lat"], dtype)
    scheme = AlexanderDunkerton1999()
    scheme.setup(where)
    return call(scheme, c, where)[0]


def test_a_bundle_declares_the_ports_of_its_description(cls: type[EmulatorTendency]) -> None:
    assert cls.process == "gravity_wave"
    assert cls.scheme == "small"
    assert [(p.name, p.units) for p in cls.inputs] == [
        ("ua", "m s-1"),
        ("va", "m s-1"),
        ("ta", "K"),
        ("pfull", "Pa"),
        ("lat", "degrees_north"),
    ]
    assert cls.fluxes == AlexanderDunkerton1999.fluxes
    assert cls.interval == AlexanderDunkerton1999.interval
    assert [d.name for d in cls.diagnostics] == ["guard_gravity_wave"]
    assert {f.name for f in cls.tendency_fields()} == {"utendnogw", "vtendnogw"}


def test_a_bundle_of_another_process_is_refused(folder: Path) -> None:
    with pytest.raises(
        ContractError, match=r"bundle of another process: convection=.*found gravity_wave"
    ):
        emulator_class(folder, "convection")


def test_other_levels_are_refused_before_the_first_step(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    assert cls.host_problems(levels) == []
    other = HybridLevels.named("hybrid17")
    assert len(cls.host_problems(other)) == 1
    with pytest.raises(ContractError, match=r"13 levels 'hybrid13' .* found 17 levels 'hybrid17'"):
        cls().setup(host(other, c["lat"]))


def test_a_network_in_training_mode_is_refused(
    folder: Path, levels: HybridLevels, c: dict[str, Any]
) -> None:
    own = emulator_class(folder)
    own.bundle.network.train()
    with pytest.raises(ContractError, match="network in training mode"):
        own().setup(host(levels, c["lat"]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_writes_into_the_given_arrays_and_changes_no_input(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any], dtype: str
) -> None:
    component, where = made(cls, levels, c, dtype=dtype)
    x = {p.name: np.ascontiguousarray(c[p.name], dtype) for p in cls.inputs}
    before = {k: v.copy() for k, v in x.items()}
    for array in x.values():
        array.flags.writeable = False
    flux = Arrays(**{f.name: where.empty("interface", "column") for f in cls.fluxes})
    diag = Arrays(guard_gravity_wave=where.empty("column"))
    component.compute(Arrays(**x), Arrays(), flux, diag, now())
    assert flux.xgwdparam.dtype == dtype
    assert np.abs(flux.xgwdparam).max() > 1e-5
    for name, array in x.items():
        np.testing.assert_array_equal(array, before[name])
    # The memory itself is seen, not a copy that was made at the first call.
    again = Arrays(**{f.name: where.empty("interface", "column") for f in cls.fluxes})
    first = flux.xgwdparam.copy()
    component.compute(Arrays(**x), Arrays(), again, diag, now())
    np.testing.assert_array_equal(again.xgwdparam, first)
    assert len(component.casts) == (2 if dtype == "float64" else 0)


def test_a_new_value_in_a_bound_array_is_seen(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    component, where = made(cls, levels, c)
    x = Arrays(**{p.name: np.ascontiguousarray(c[p.name], "float32") for p in cls.inputs})
    flux = Arrays(**{f.name: where.empty("interface", "column") for f in cls.fluxes})
    diag = Arrays(guard_gravity_wave=where.empty("column"))
    component.compute(x, Arrays(), flux, diag, now())
    before = flux.xgwdparam.copy()
    x.ua[...] = -x.ua
    component.compute(x, Arrays(), flux, diag, now())
    np.testing.assert_array_equal(flux.xgwdparam, -before)


def test_a_float64_host_gets_what_a_float32_host_gets(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    single, where = made(cls, levels, c)
    double, there = made(cls, levels, c, dtype="float64")
    a, b = call(single, c, where)[0], call(double, c, there)[0]
    # Inputs differ by one rounding of float32, winds of 50 m/s by 4e-6 m/s.
    scale = np.abs(a.xgwdparam).max()
    np.testing.assert_allclose(b.xgwdparam, a.xgwdparam, rtol=0.0, atol=5e-5 * scale)


@pytest.mark.parametrize("fallback", [False, True])
def test_momentum_of_a_column_closes(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any], fallback: bool
) -> None:
    c["ua"][:, 5] *= 40.0  # some columns are the fallback's
    component, where = made(
        cls, levels, c, dtype="float64", fallback=AlexanderDunkerton1999() if fallback else None
    )
    flux, _ = call(component, c, where)
    g, dp = where.planet.gravity, np.diff(c["phalf"], axis=0)
    for f in cls.fluxes:
        rate, escaped = where.empty("level", "column"), np.zeros(N)
        values = getattr(flux, f.name)
        policy: Any = {"scale": g, "top": f.top, "dump_above": f.dump_above, "escaped": escaped}
        flux_tendency(values, c["phalf"], out=rate, **policy)
        size = np.abs(rate * dp).sum(axis=0) / g + 1e-30
        residual = np.abs((rate * dp).sum(axis=0) / g) / size
        # 13 layers of float64 round-off of fluxes that are differentiated and summed again.
        assert residual.max() < 1e-12
        # The control: as accelerations, of layers with other masses, it does not close.
        wrong = np.abs((rate * dp[::-1]).sum(axis=0) / g) / size
        assert np.median(wrong) > 1e-3


def test_inside_the_domain_nothing_is_guarded(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    flux, diag = call(component, c, where)
    assert not diag.guard_gravity_wave.any()
    assert counts(component) == dict.fromkeys(COUNTS, 0) | {"calls": 1, "columns": N}
    assert np.abs(flux.xgwdparam - truth(levels, c).xgwdparam).max() > 0.0  # its own, learned


def test_the_fallback_takes_the_columns_far_outside_and_no_other(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    own, _ = call(component, c, where)
    far = c | {"ua": c["ua"].copy(), "ta": c["ta"].copy()}
    far["ua"][1, 3] += 500.0
    far["ta"][4, 17] += 200.0
    flux, diag = call(component, far, where)
    physical = truth(levels, far)
    guarded = np.zeros(N)
    guarded[[3, 17]] = 1.0
    np.testing.assert_array_equal(diag.guard_gravity_wave, guarded)
    for name in ("xgwdparam", "ygwdparam"):
        got, theirs, before = (getattr(a, name) for a in (flux, physical, own))
        np.testing.assert_array_equal(got[:, [3, 17]], theirs[:, [3, 17]])
        rest = guarded == 0.0
        np.testing.assert_array_equal(got[:, rest], before[:, rest])
    assert counts(component)["guarded"] == counts(component)["far"] == 2
    assert counts(component)["outside"] == 2
    assert counts(component)["calls"] == 2


def test_a_little_outside_is_counted_but_not_handed_over(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    channel = cls.bundle.spec.input("ta")
    width = channel.maximum[2] - channel.minimum[2]
    c["ta"][2, 9] = channel.maximum[2] + 0.3 * width  # between margin 0.1 and wide margin 0.5
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    _, diag = call(component, c, where)
    assert not diag.guard_gravity_wave.any()
    assert counts(component)["outside"] == 1
    assert counts(component)["guarded"] == 0


def test_a_column_is_taken_back_only_well_inside(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    channel = cls.bundle.spec.input("ta")
    width = channel.maximum[2] - channel.minimum[2]
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    flags = []
    for distance in (0.3, 0.6, 0.3, 0.05, 0.3):
        c["ta"][2, 9] = channel.maximum[2] + distance * width
        flags.append(call(component, c, where)[1].guard_gravity_wave[9])
    assert flags == [0.0, 1.0, 1.0, 0.0, 0.0]


def test_what_the_guard_remembers_survives_a_restart(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    channel = cls.bundle.spec.input("ta")
    width = channel.maximum[2] - channel.minimum[2]
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    c["ta"][2, 9] = channel.maximum[2] + 0.6 * width
    call(component, c, where)
    kept = {k: v.copy() for k, v in component.memory().items()}
    c["ta"][2, 9] = channel.maximum[2] + 0.3 * width
    fresh, there = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    assert call(fresh, c, there)[1].guard_gravity_wave[9] == 0.0
    fresh.restore(kept)
    assert counts(fresh)["calls"] == 1
    assert call(fresh, c, there)[1].guard_gravity_wave[9] == 1.0


def test_count_only_hands_nothing_over(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    c["ta"][4, 17] += 200.0
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999(), guard="count")
    flux, diag = call(component, c, where)
    assert not diag.guard_gravity_wave.any()
    assert counts(component)["far"] == 1
    assert counts(component)["guarded"] == 0
    assert (flux.xgwdparam[:, 17] != truth(levels, c).xgwdparam[:, 17]).any()


class Planted(torch.nn.Module):
    """The bundle's network with one bad number in its flux."""

    def __init__(self, network: Any, value: float) -> None:
        super().__init__()
        self.network, self.value = network, value
        self.eval()

    def forward(self, inputs: Any, out: Any) -> Any:
        result = self.network(inputs, out)
        out["ygwdparam"][4, 11] = self.value
        return result


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf, 1.0])
@pytest.mark.parametrize("rule", ["hand_over", "count"])
def test_a_planted_bad_number_falls_back(
    cls: type[EmulatorTendency],
    levels: HybridLevels,
    c: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    value: float,
    rule: str,
) -> None:
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999(), guard=rule)
    object.__setattr__(component, "bundle", with_network(cls, value))
    flux, diag = call(component, c, where)
    physical = truth(levels, c)
    np.testing.assert_array_equal(flux.ygwdparam[:, 11], physical.ygwdparam[:, 11])
    np.testing.assert_array_equal(flux.xgwdparam[:, 11], physical.xgwdparam[:, 11])
    assert np.flatnonzero(diag.guard_gravity_wave).tolist() == [11]
    which = "beyond_bound" if value == 1.0 else "not_finite"
    assert counts(component)[which] == counts(component)["guarded"] == 1


@pytest.mark.parametrize(("value", "becomes"), [(np.nan, 0.0), (np.inf, 0.0), (-1.0, None)])
def test_without_a_fallback_a_bad_number_is_removed_or_cut(
    cls: type[EmulatorTendency],
    levels: HybridLevels,
    c: dict[str, Any],
    value: float,
    becomes: float | None,
) -> None:
    component, where = made(cls, levels, c)
    object.__setattr__(component, "bundle", with_network(cls, value))
    flux, diag = call(component, c, where)
    bound = cls.bundle.spec.output("ygwdparam").bound
    want = np.float32(-bound if becomes is None else becomes)
    assert flux.ygwdparam[4, 11] == want
    assert np.isfinite(flux.ygwdparam).all()
    assert np.flatnonzero(diag.guard_gravity_wave).tolist() == [11]


def with_network(cls: type[EmulatorTendency], value: float) -> Any:
    from dataclasses import replace

    return replace(cls.bundle, network=Planted(cls.bundle.network, value))


def test_an_input_that_is_not_a_number_is_counted_and_removed(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    c["ta"][7, 30] = np.nan
    component, where = made(cls, levels, c)
    flux, diag = call(component, c, where)
    assert np.flatnonzero(diag.guard_gravity_wave).tolist() == [30]
    assert np.isfinite(flux.xgwdparam).all()
    assert counts(component)["not_finite"] == 1


def test_the_fallbacks_inputs_are_bound_with_the_emulators(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    component, _ = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    names = [p.name for p in component.inputs]
    assert names == ["ua", "va", "ta", "pfull", "lat", "phalf", "zg"]
    assert [p.name for p in cls.inputs] == names[:5]
    component.fallback = None
    assert [p.name for p in component.inputs] == names[:5]


def test_the_driver_binds_and_calls_it_like_any_scheme(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    component, where = made(cls, levels, c, fallback=AlexanderDunkerton1999())
    pool = {k: np.ascontiguousarray(v, "float32") for k, v in c.items()}
    bound = Bound(component, "small", 1, pool, where)
    assert bound.x.ua is pool["ua"]
    pool["ua"][1, 3] += 500.0
    bound.call(now(), pool["phalf"])
    assert bound.diag.guard_gravity_wave[3] == 1.0
    assert np.isfinite(bound.rate["ua"]).all()
    assert np.abs(bound.rate["ua"]).max() > 0.0


def test_a_fallback_that_does_not_fit_is_refused(
    cls: type[EmulatorTendency], levels: HybridLevels, c: dict[str, Any]
) -> None:
    class Other(Tendency):
        process, scheme = "gravity_wave", "other"
        inputs = reads("ua va ta", pfull="hPa")
        tendencies = tendencies_of("ua")
        fluxes = (flux_of("ua", "xgwdparam", top="escape"),)

        def compute(self, x: Any, tend: Any, flux: Any, diag: Any, now: Any) -> None:
            raise AssertionError

    with pytest.raises(ContractError) as caught:
        made(cls, levels, c, fallback=Other())
    text = str(caught.value)
    assert "fallback needs an input in another unit" in text
    assert "pfull; expected hPa; found Pa" in text
    assert "fallback returns something else than the emulator" in text


def test_a_parameter_that_it_does_not_have_is_refused(cls: type[EmulatorTendency]) -> None:
    assert issubclass(cls.Parameters, Params)
    with pytest.raises(ValueError, match="guard"):
        cls.Parameters.model_validate({"guard": "pray"})
