"""Training through the dynamics: gradients against differences, and what it brings elsewhere."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from map_bundles import map_spec, some_inputs
from tiny import DRY

from coupler.driver.flux import flux_tendency
from coupler.driver.online import CoupledFlow
from coupler.driver.training import train
from coupler.interface.divergence import divergence
from coupler.interface.errors import ConfigError, DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle
from emulators.networks import build
from emulators.schema import Architecture, BundleSpec, Channel, Levels, Output, Provenance
from emulators.training.online import OnlineLoss, force_of, none, refuse_cut_gradients, tune
from emulators.training.recipe import Online

K = 7
CASE: dict[str, Any] = DRY | {
    "precision": "float64",
    "output": {"interval": "80 min"},
    "atmosphere": DRY["atmosphere"]
    | {"levels": f"hybrid{K}", "stepper": "sil3", "dt": "40 min", "noise": "1 K"},
    "physics": {
        "gravity_wave": {"scheme": "ad99", "interval": "40 min", "stress": 0.02},
        **DRY["physics"],
    },
}
SHORT = Online(case="case.yaml", steps=4, windows=2, held_out=1, apart=9600.0, spin_up=0.3)


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("online") / "case.yaml"
    path.write_text(yaml.safe_dump(CASE))
    return path


@pytest.fixture(scope="module")
def flow(case) -> CoupledFlow:
    return CoupledFlow(case, {}, "gravity_wave")


def small_spec() -> BundleSpec:
    levels = HybridLevels.named(f"hybrid{K}")

    def winds(name: str) -> Channel:
        number = {"minimum": [-90.0] * K, "maximum": [90.0] * K}
        return Channel(
            name=name, units="m s-1", dims="level", mean=[0.0] * K, scale=[15.0] * K, **number
        )

    def flux(name: str, of: str) -> Output:
        n = K + 1
        return Output(
            name=name,
            of=of,
            units="Pa",
            scale=[1e-3] * (n - 1) + [0.0],
            minimum=[-0.01] * n,
            maximum=[0.01] * n,
            bound=0.1,
        )

    return BundleSpec(
        process="gravity_wave",
        name="small",
        architecture=Architecture(
            name="column_conv", config={"channels": 5, "layers": 2, "kernel": 3}
        ),
        levels=Levels(name=levels.name, a=levels.a.tolist(), b=levels.b.tolist()),
        inputs=[winds("ua"), winds("va")],
        outputs=[flux("xgwdparam", "ua"), flux("ygwdparam", "va")],
        provenance=Provenance(fingerprint="0" * 64, sources=[], seed=0),
    )


@pytest.mark.parametrize("top", ["escape", "dump", "zero"])
def test_the_divergence_of_a_flux_is_the_couplers(top: Any) -> None:
    rng = np.random.default_rng(1)
    flux = rng.normal(0.0, 1e-3, (K + 1, 13))
    phalf = HybridLevels.named(f"hybrid{K}").half_pressure(rng.uniform(7e4, 1.02e5, 13))
    want, escaped = np.zeros((K, 13)), np.zeros(13)
    flux_tendency(flux, phalf, scale=9.8, top=top, dump_above=2e4, out=want, escaped=escaped)
    given = torch.from_numpy(flux), torch.from_numpy(phalf)
    got = divergence(*given, top=top, dump_above=2e4, scale=9.8)
    np.testing.assert_allclose(got, want, rtol=1e-12, atol=1e-18)


def test_the_unrolled_steps_with_the_schemes_own_drag_are_those_of_the_run(case) -> None:
    # Radiation gives no wind: what "the others" gave to it is everything, gravity waves too.
    flow = CoupledFlow(case, {}, "radiation")
    (window,) = flow.windows(SHORT, 3, 1)
    with torch.no_grad():
        end = flow.march(window, none)
    for name in ("ua", "va"):
        # float64: sums of the compiled pass and of autograd's differ in order
        np.testing.assert_allclose(end[name], window.end[name], atol=1e-8)
        assert float(window.end[name].abs().max()) > 1.0


def test_the_gradient_through_four_steps_is_the_central_difference(flow) -> None:
    spec = small_spec()
    torch.manual_seed(2)
    network = build(spec).double()
    windows = flow.windows(SHORT, 3, 2)
    loss_of, force = OnlineLoss(flow, windows), force_of(network, spec, flow.gravity)
    assert len(windows[0].others) == 4
    loss = loss_of(force, windows[0])
    loss.backward()
    whole = network.out.weight.grad.clone()
    assert float(loss.detach()) > 0.0
    step = 1e-4
    checked = 0
    for parameter in network.parameters():
        flat, gradient = parameter.detach().view(-1), parameter.grad.view(-1)
        for i in (0, flat.numel() // 2):
            found = []
            for sign in (1.0, -1.0):
                with torch.no_grad():
                    flat[i] += sign * step
                    found.append(float(loss_of(force, windows[0])))
                    flat[i] -= sign * step
            difference = (found[0] - found[1]) / (2.0 * step)
            # second order in the step, and round-off of the loss over it
            assert float(gradient[i]) == pytest.approx(
                difference, rel=1e-5, abs=1e-6 * float(gradient.abs().max()) + 1e-9
            )
            checked += 1
    assert checked == 12
    # The control: what the last step alone gives is another gradient.
    last = replace(windows[0], others=windows[0].others[-1:])
    network.zero_grad()
    loss_of(force, last).backward()
    alone = network.out.weight.grad
    assert float((alone - whole).abs().max()) > 0.1 * float(whole.abs().max())


def test_no_force_has_an_error_of_one_by_definition(flow) -> None:
    windows = flow.windows(SHORT, 3, 2)
    loss_of = OnlineLoss(flow, windows)
    # levels that the waves hardly reach are not counted up to one
    assert 0.5 < loss_of.over(none, windows) <= 1.0 + 1e-6


def test_tuning_leaves_frozen_weights_frozen(flow) -> None:
    spec = small_spec()
    torch.manual_seed(3)
    network = build(spec)
    network.body.requires_grad_(False)
    before = {k: v.clone() for k, v in network.state_dict().items()}
    short = SHORT.model_copy(update={"epochs": 1, "learning_rate": 1e-3, "spin_up": 0.1})
    tuned = tune(network, spec, flow, short, seed=1)
    assert tuned.history[1] < tuned.history[0]  # otherwise the weights of before are kept
    after = network.state_dict()
    assert all(torch.equal(after[k], v) for k, v in before.items() if k.startswith("body"))
    assert not torch.equal(after["out.weight"], before["out.weight"])
    assert [p.requires_grad for p in network.body.parameters()] == [False] * 4


def test_a_network_through_which_no_gradient_goes_is_refused_before_anything_is_trained(
    flow, levels
) -> None:
    spec = map_spec(levels, "attention_unet", {"width": 3, "depth": 2})
    network = build(spec)
    with pytest.raises(
        ConfigError,
        match=r"not differentiable in its inputs: map: attention_unet; expected .*column_conv; "
        r"found online\.steps: 4; use column_conv, or set online\.steps to 1",
    ):
        tune(network, spec, flow, SHORT, seed=1)
    # One step needs no gradient through the state.
    refuse_cut_gradients(network, spec, SHORT.model_copy(update={"steps": 1}))
    refuse_cut_gradients(build(small_spec()), small_spec(), SHORT)
    # Why: what it gives has a gradient, its input has none, and nothing says so.
    inputs = {n: x.requires_grad_() for n, x in some_inputs(levels, 1).items()}
    network(inputs)["xgwdparam"].sum().backward()
    assert network.core.out.weight.grad is not None
    assert all(x.grad is None for x in inputs.values())


def test_a_recipe_is_fitted_and_then_tuned_and_says_what_that_brought(case, tmp_path) -> None:
    recipe = {
        "name": "small",
        "process": "gravity_wave",
        "bundle": "made",
        "inputs": ["ua", "va"],
        # Without the first call: two runs begin at rest alike.
        "train": [{"case": "case.yaml", "days": 0.5, "seed": 1, "skip_days": 0.1}],
        "test": {"case": "case.yaml", "days": 0.25, "seed": 2, "skip_days": 0.1},
        "architecture": {
            "name": "column_conv",
            "config": {"channels": 6, "layers": 2, "kernel": 5},
        },
        "optimizer": {"epochs": 2, "batch": 512, "learning_rate": 3e-3},
        "online": {
            "case": "case.yaml",
            "windows": 4,
            "held_out": 1,
            "apart": 9600.0,
            "spin_up": 0.2,
            "epochs": 2,
            "learning_rate": 1e-3,
        },
    }
    path = case.with_name("recipe.yaml")
    path.write_text(yaml.safe_dump(recipe))
    made = train(path, out=tmp_path / "made", work=tmp_path / "work")
    tuned = yaml.safe_load((tmp_path / "work" / "online.json").read_text())
    assert len(tuned["history"]) == 3
    assert tuned["after"] < tuned["before"]
    assert load_bundle(made).spec.provenance.recipe["online"]["windows"] == 4
    # The same with features that are filled without gradients: refused before it is fitted.
    recipe |= {"inputs": ["ua", "va", "ta", "pfull", "lat"], "architecture": {"name": "column_mlp"}}
    path.write_text(yaml.safe_dump(recipe))
    (tmp_path / "work" / "checkpoint.safetensors").unlink()
    with pytest.raises(ConfigError, match="not differentiable in its inputs: small: column_mlp"):
        train(path, out=tmp_path / "other", work=tmp_path / "work")
    assert not (tmp_path / "work" / "checkpoint.safetensors").exists()


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"atmosphere.stepper": "leapfrog"}, "stepper: sil3"),
        ({"atmosphere.moist": True}, "a dry atmosphere"),
        ({"process": "convection"}, "a case with convection"),
    ],
)
def test_a_case_that_cannot_be_differentiated_is_refused(case, changes, expected) -> None:
    process = changes.pop("process", "gravity_wave")
    with pytest.raises(ConfigError, match=f"cannot train through the steps.*{expected}"):
        CoupledFlow(case, changes, process)


def test_the_same_run_for_training_and_for_the_test_is_refused() -> None:
    with pytest.raises(ValueError, match="seed and test_seed must differ"):
        Online(case="c.yaml", seed=4, test_seed=4)


def test_a_recipe_with_online_needs_the_driver(case, tmp_path) -> None:
    from emulators.training import train as learn

    recipe = {
        "name": "small",
        "process": "gravity_wave",
        "bundle": "made",
        "train": [{"file": "none.nc"}],
        "test": {"file": "none.nc"},
        "online": {"case": "case.yaml"},
    }
    path = case.with_name("bare.yaml")
    path.write_text(yaml.safe_dump(recipe))
    with pytest.raises((ConfigError, DataError), match="cannot train through the dynamics here"):
        learn(path, work=tmp_path)
