"""A network that sees neighbours, as a scheme: offline, on ranks, in a run, on other levels."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from map_bundles import NLAT, NLON, globe, map_host, map_spec, some_inputs, turned
from synthetic_columns import call, columns, host
from tiny import COUPLED, changed

from coupler import Simulation
from coupler.interface.component import Arrays, Flux, Now, Tendency, reads
from coupler.interface.errors import ConfigError, ContractError, Problem
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid, HybridLevels
from emulators.bundle import write_bundle
from emulators.component import EmulatorParameters, EmulatorTendency, emulator_class
from emulators.networks import build
from emulators.other_levels import continue_above
from emulators.schema import BundleSpec, Levels
from physics.columns.gravity_wave_ad99 import AlexanderDunkerton1999

UNET = {"width": 4, "depth": 2}


@pytest.fixture(scope="module")
def cls(tmp_path_factory: pytest.TempPathFactory, levels: HybridLevels) -> type[EmulatorTendency]:
    spec = map_spec(levels, "attention_unet", UNET)
    torch.manual_seed(6)
    path = tmp_path_factory.mktemp("maps") / "unet"
    write_bundle(path, spec, build(spec), some_inputs(levels, 5))
    return emulator_class(path)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_its_fluxes_are_the_networks(
    cls: type[EmulatorTendency], levels: HybridLevels, dtype: str
) -> None:
    component, where = cls(), map_host(levels, dtype)
    component.setup(where)
    flux, diag = call(component, globe(levels, 5), where)
    with torch.inference_mode():
        want = cls.bundle.network(some_inputs(levels, 5))
    # float64 inputs are rounded once, where they are normalized: other last digits
    rtol = 0.0 if dtype == "float32" else 1e-5
    np.testing.assert_allclose(flux.xgwdparam, want["xgwdparam"], rtol=rtol, atol=rtol)
    assert not diag.guard_gravity_wave.any()
    assert component.needs.globe
    # the control: columns in another order are another map
    inputs = {n: turned(t, NLON // 2) for n, t in some_inputs(levels, 5).items()}
    shuffled = {n: t.flip(-1) for n, t in inputs.items()}
    with torch.inference_mode():
        other = cls.bundle.network(shuffled)["xgwdparam"].flip(-1)
    assert not np.allclose(flux.xgwdparam, turned(other, NLON // 2), atol=1e-4)


@pytest.mark.parametrize(
    "grid", [Grid.gaussian(NLAT, NLON + 2), Grid.regular(NLAT, NLON), Grid.column(count=180)]
)
def test_another_grid_is_refused_in_one_sentence(
    cls: type[EmulatorTendency], levels: HybridLevels, grid: Grid
) -> None:
    with pytest.raises(
        ContractError,
        match=r"whole maps has another grid than the host: map; expected gaussian 10x18; found "
        + str(grid),
    ):
        cls().setup(map_host(levels, grid=grid))
    assert isinstance(cls.grid_problems(grid)[0], Problem)
    assert cls.grid_problems(Grid.gaussian(NLAT, NLON)) == []


def test_one_column_that_is_not_finite_is_guarded_with_all_that_see_it(
    tmp_path: Path, levels: HybridLevels
) -> None:
    spec = map_spec(levels, "stencil", {"stencil": 3, "width": 9, "last": 7, "depth": 1})
    torch.manual_seed(6)
    made = write_bundle(tmp_path / "net", spec, build(spec), some_inputs(levels, 5))
    component, where = emulator_class(made)(), map_host(levels)
    component.setup(where)
    c = globe(levels, 5)
    c["ta"][3, 4 * NLON + 7] = np.nan
    flux, diag = call(component, c, where)
    guarded = diag.guard_gravity_wave.reshape(NLAT, NLON)
    assert guarded.sum() == 9
    assert guarded[3:6, 6:9].all()
    assert np.isfinite(flux.xgwdparam).all()
    assert component.counts()["not_finite"] == 9


# -- ranks and runs ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def run_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For the grid of the small coupled case: 16 x 32 columns of 9 levels."""
    levels = HybridLevels.named("hybrid9")
    grid = {"kind": "gaussian", "nlat": 16, "nlon": 32}
    spec = map_spec(levels, "attention_unet", {**UNET, "grid": grid})
    torch.manual_seed(6)
    found = globe(levels, 5, Grid.gaussian(16, 32))
    some = {n: torch.from_numpy(found[n]).float() for n in ("ua", "va", "ta")}
    return write_bundle(tmp_path_factory.mktemp("maps") / "unet", spec, build(spec), some)


def coupled(bundle: Path, **more: Any) -> dict[str, Any]:
    scheme = {"scheme": str(bundle), "reference": "ad99", "interval": "100 min"}
    scheme["parameters"] = {"guard": "count"}  # random winds are far from those of the case
    days = 8 * 1200.0 / 86400.0
    return changed(COUPLED, {"days": days, "physics.gravity_wave": scheme, **more})


def test_a_run_writes_the_same_bits_on_any_number_of_ranks(
    tmp_path: Path, run_bundle: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).resolve().parents[1] / "parallel"))
    from fields_of_runs import differing
    from team import on_ranks

    def run(ranks: int) -> Path:
        out = tmp_path / f"on_{ranks}"

        def work(parallel: Any) -> None:
            Simulation.from_case(coupled(run_bundle), out=out, parallel=parallel).run(quiet=True)

        on_ranks(ranks, work)
        return out

    one, three = run(1), run(3)
    assert differing(one, three) == []
    told = json.loads((one / "run.json").read_text())["guard"]["gravity_wave"]
    assert told["columns"] == 2 * 16 * 32


def test_a_case_on_another_grid_is_refused_before_the_first_step(
    tmp_path: Path, run_bundle: Path
) -> None:
    raw = coupled(run_bundle, **{"atmosphere.truncation": "T13"})
    with pytest.raises(ConfigError, match=r"another grid than the host: map; expected gaussian 16"):
        Simulation.from_case(raw, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


# -- above the network's top ------------------------------------------------------------------


def lidded(spec: BundleSpec, top: int) -> BundleSpec:
    """The same bundle without its uppermost `top` levels."""
    content = spec.model_dump()
    content["levels"] = Levels(
        name="lidded", a=spec.levels.a[top:], b=spec.levels.b[top:]
    ).model_dump()
    for channel in (*content["inputs"], *content["outputs"]):
        for key in ("mean", "scale", "minimum", "maximum"):
            if len(channel[key]) > 1:
                channel[key] = channel[key][top:]
    return BundleSpec.model_validate(content)


@pytest.fixture(scope="module")
def lid(tmp_path_factory: pytest.TempPathFactory, spec: BundleSpec) -> type[EmulatorTendency]:
    """A column network that ends four layers below the top of its host."""
    below = lidded(spec, 4)
    torch.manual_seed(6)
    levels = HybridLevels(a=np.array(below.levels.a), b=np.array(below.levels.b), name="lidded")
    c = columns(7, HybridLevels.named("hybrid13"), 3)
    some = {n: torch.from_numpy(c[n]).float() for n in ("ua", "va", "ta", "pfull", "lat")}
    some = {n: t[4:] if t.dim() == 2 else t for n, t in some.items()}
    path = tmp_path_factory.mktemp("lidded") / "small"
    write_bundle(path, below, build(below), some)
    assert levels.nlev == 9
    return emulator_class(path)


def joined(
    cls: type[EmulatorTendency], levels: HybridLevels, above: Any, n: int = 37
) -> tuple[Arrays, Arrays, dict[str, Any], EmulatorTendency]:
    """Fluxes of the emulator with AD99 above it, and of AD99 alone."""
    c = columns(n, levels, 41)
    where = host(levels, c["lat"])
    component = cls(EmulatorParameters(levels="regrid", above=above, guard="count"))
    component.fallback = AlexanderDunkerton1999()
    component.setup(where)
    physical = AlexanderDunkerton1999()
    physical.setup(where)
    return call(component, c, where)[0], call(physical, c, where)[0], c, component


def test_a_physical_scheme_continues_above_the_networks_top(
    lid: type[EmulatorTendency], levels: HybridLevels
) -> None:
    flux, physical, c, component = joined(lid, levels, "reference")
    constant = joined(lid, levels, "constant")[0]
    joint, p = 4, c["phalf"]
    top = component.bundle.spec.levels.a[0]
    assert np.allclose(p[joint], top)
    # from the network's top downward it is the network's
    np.testing.assert_array_equal(flux.xgwdparam[joint:], constant.xgwdparam[joint:])
    assert np.array_equal(constant.xgwdparam[0], constant.xgwdparam[joint])
    # at the model's top it is the physical scheme's, and between, with the difference spread
    np.testing.assert_array_equal(flux.xgwdparam[0], physical.xgwdparam[0])
    excess = constant.xgwdparam[joint] - physical.xgwdparam[joint]
    want = physical.xgwdparam[:joint] + excess * p[:joint] / top
    # the pressures of the joint agree to the last digits of the bundle's text
    np.testing.assert_allclose(flux.xgwdparam[:joint], want, rtol=1e-9, atol=1e-15)
    # the drag above differs from the physical one by the same acceleration in every layer
    g_over_dp = 9.80665 / np.diff(p, axis=0)
    extra = np.diff(flux.xgwdparam - physical.xgwdparam, axis=0) * g_over_dp
    np.testing.assert_allclose(extra[: joint - 1], extra[1:joint], rtol=1e-6, atol=1e-12)
    # the column closes: its drag is the difference of the ends, whatever lies between
    drag = np.diff(flux.xgwdparam, axis=0).sum(axis=0)
    np.testing.assert_allclose(drag, flux.xgwdparam[-1] - flux.xgwdparam[0], atol=1e-12)


def test_the_joint_is_continuous_between_interfaces_of_the_host() -> None:
    phalf = np.linspace(0.0, 1000.0, 11)[:, None]
    physical = np.linspace(1.0, 5.0, 11)[:, None] ** 2
    net = np.full((11, 1), 7.0)
    continue_above(330.0, 0.0, phalf, physical, net)
    at_joint = np.interp(330.0, phalf[:, 0], physical[:, 0])
    want = physical[:4, 0] + (7.0 - at_joint) * phalf[:4, 0] / 330.0
    np.testing.assert_allclose(net[:4, 0], want, rtol=1e-12)
    assert (net[4:] == 7.0).all()
    # approaching the joint from above ends at the network's flux, to the spacing of the grid
    fine = np.linspace(0.0, 330.0, 3301)
    s = np.interp(fine, phalf[:, 0], physical[:, 0])
    assert s[-1] + (7.0 - at_joint) == pytest.approx(7.0)


def test_the_top_of_a_bundle_that_moves_with_the_ground_is_that_of_each_column() -> None:
    # a_0 = 100 Pa and b_0 = 0.002: at ps = 1000 and 600 hPa the bundle ends at 300 and 220 Pa
    phalf = np.concatenate([np.linspace(0.0, 900.0, 10), [1.0e5]])[:, None].repeat(2, axis=1)
    phalf[-1, 1] = 0.6e5
    physical = np.linspace(1.0, 5.0, 11)[:, None].repeat(2, axis=1) ** 2
    net = np.full((11, 2), 7.0)
    continue_above(100.0, 0.002, phalf, physical, net)
    for i, top in enumerate((300.0, 220.0)):
        one = np.full((11, 1), 7.0)
        continue_above(top, 0.0, phalf[:, i : i + 1], physical[:, i : i + 1], one)
        np.testing.assert_allclose(net[:, i], one[:, 0], rtol=1e-12)
    assert (net[:3, 0] != net[:3, 1]).any()


class Remembers(Tendency):
    """A reference with a memory."""

    process = "gravity_wave"
    scheme = "remembers"
    inputs = reads("ua")
    fluxes = tuple(
        Flux(field=FIELDS[n], of=of, top="dump")
        for n, of in (("xgwdparam", "ua"), ("ygwdparam", "va"))
    )

    def memory(self) -> dict[str, Any]:
        return {"draws": np.zeros(1)}

    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        raise AssertionError("never called")


def test_a_reference_with_a_memory_cannot_continue_a_network(
    lid: type[EmulatorTendency], levels: HybridLevels
) -> None:
    c = columns(5, levels, 41)
    component = lid(EmulatorParameters(levels="regrid"))
    component.fallback = Remembers()
    with pytest.raises(ContractError, match="a reference with a memory cannot continue"):
        component.setup(host(levels, c["lat"]))
