"""Linear analyses of schemes: responses and modes with known answers, and what they warn of."""

import json
from collections.abc import Callable
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr
from matplotlib.colors import to_hex
from matplotlib.image import imread
from spoil_bundle import spoil
from tiny import COUPLED, DRY, changed, run, write_case, write_small_bundle

from coupler.cli import main
from coupler.compare.drawings import COLOURS
from coupler.compare.jobs import COMPLETE, Job, Run
from coupler.compare.parts import kept, ordered
from coupler.compare.stability import analysis, figures, flow, parts
from coupler.compare.stability.analysed import Analysed
from coupler.compare.stability.arnoldi import leading
from coupler.compare.stability.columns import Columns, built, columns_of, kinds
from coupler.compare.stability.flow import Effort, Flow, Modes
from coupler.compare.stability.parts import examined
from coupler.compare.stability.response import Response, _disagreement, differences, response
from coupler.config import TopPolicy
from coupler.interface.component import Params, Tendency
from coupler.interface.errors import DataError
from coupler.interface.grid import HybridLevels
from emulators.bundle import load_bundle, write_bundle
from emulators.component import emulator_class
from emulators.networks import build
from emulators.programs import write_program
from emulators.schema import Architecture, Weights

DAY = 86400.0
PUSH = '''
from coupler.interface.component import Tendency, tendencies_of
from coupler.interface.registry import scheme


@scheme("boundary_layer", "blind_push")
class Push(Tendency):
    """Pushes whatever the wind is."""

    tendencies = tendencies_of("ua")

    def compute(self, x, tend, flux, diag, now):
        tend.ua[...] = 1e-5
'''


def columns_at_end(base: Path, raw: dict, process: str) -> Columns:
    case = write_case(base / "case.yaml", raw)
    run(base / "run", case)
    job = Job(candidate="reference", member=0, case=case, days=1.0, changes={}, folder=base / "run")
    return columns_of(Run(job=job, status=COMPLETE), process)


@pytest.fixture(scope="module")
def dry(tmp_path_factory: pytest.TempPathFactory) -> Columns:
    """Held and Suarez (1994) after six hours."""
    return columns_at_end(tmp_path_factory.mktemp("dry"), DRY, "boundary_layer")


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Columns:
    """Air at rest on a planet that does not turn."""
    raw = changed(DRY, {"atmosphere.initial": "isothermal_rest", "planet.rotation_rate": 0.0,
                        "physics.radiation": None, "days": 0.125,
                        "atmosphere.sponge_levels": 0})  # fmt: skip
    return columns_at_end(tmp_path_factory.mktemp("still"), raw, "boundary_layer")


# -- columns ---------------------------------------------------------------------------------------


def test_columns_are_zonal_means_with_the_heights_that_the_model_gives_them(still: Columns) -> None:
    model = still.atmosphere.columns()
    for name in ("pfull", "phalf", "zg", "zghalf"):
        mean = model[name].mean(axis=-1)
        assert still.fields[name][:, : still.zonal] == pytest.approx(mean, rel=2e-5, abs=0.5), name
    assert set(still.names[still.zonal :]) >= {"tropics", "50N-90N"}


def test_kinds_of_columns_are_thirds_of_humidity_and_stability() -> None:
    n = 90
    p = np.tile(np.array([300e2, 500e2, 700e2, 950e2])[:, None], n)
    half = np.tile(np.array([200e2, 400e2, 600e2, 800e2, 1000e2])[:, None], n)
    wet, warm = np.tile([0.001, 0.002, 0.003], 30), np.repeat([270.0, 280.0, 290.0], 30)
    ta = np.full((4, n), 280.0)
    ta[2] = warm
    seen = {"pfull": p, "phalf": half, "ta": ta, "hus": np.tile(wet, (4, 1))}
    found = kinds(np.zeros(n), seen, moist=True)
    assert len(found) == 9
    assert sum(int(m.sum()) for m in found.values()) == n
    assert set(ta[2][found["wet, stable"]]) == {290.0}
    assert set(wet[found["dry, unstable"]]) == {0.001}


def test_what_a_process_does_not_look_at_is_the_state_of_the_flow(dry: Columns) -> None:
    # Friction comes after radiation and does not read temperature.
    mean = dry.atmosphere.columns()["ta"].mean(axis=-1)
    assert dry.fields["ta"][:, : dry.zonal] == pytest.approx(mean, rel=1e-6)


# -- responses -------------------------------------------------------------------------------------


def test_friction_responds_as_its_formula_says(dry: Columns) -> None:
    found = response(built("boundary_layer", "held_suarez", Path(), {}), dry)
    sigma = dry.fields["pfull"] / dry.fields["ps"]
    k = np.maximum(0.0, (sigma - 0.7) / 0.3) / DAY
    want = -k / (1.0 + k * dry.now.dt)  # backward in time
    assert found.method == "differences"
    for wind in ("ua", "va"):
        block = found.block(wind, wind)
        own = np.einsum("cii->ic", block)
        assert own == pytest.approx(want, rel=2e-3, abs=1e-10)
        assert np.abs(block - np.einsum("ic,ij->cij", own, np.eye(5))).max() < 1e-10
    assert found.growth() == pytest.approx(0.0, abs=1e-6)  # above the friction nothing decays
    assert found.curvature < 0.01
    assert found.dataset()["dua_dua"].dims == ("column", "level", "level_of")


def test_units_of_a_response_are_those_of_the_rate_over_the_state(dry: Columns) -> None:
    k, n = dry.levels.nlev, dry.ncol
    blocks = {("ua", "ta"): np.ones((n, k, k)), ("hus", "ps"): np.ones((n, k, 1))}
    found = Response(method="differences", columns=dry, blocks=blocks, rates={})
    data = found.dataset()
    assert data["dua_dta"].attrs["units"] == "m s-2 K-1"
    assert data["dhus_dps"].attrs["units"] == "s-1 Pa-1"
    assert data["dhus_dps"].dims == ("column", "level")


def test_growth_and_signs_follow_from_the_blocks(dry: Columns) -> None:
    k, n = dry.levels.nlev, dry.ncol
    turn = np.zeros((k, k))
    turn[0, 1], turn[1, 0] = 3.0 / DAY, -3.0 / DAY
    eye = np.eye(k)
    blocks = {("ta", "ta"): np.tile(2.0 / DAY * eye + turn, (n, 1, 1)),
              ("hus", "hus"): np.tile(-1.0 / DAY * eye, (n, 1, 1))}  # fmt: skip
    found = Response(method="differences", columns=dry, blocks=blocks, rates={})
    assert found.growth() == pytest.approx(2.0)
    assert found.signs()["drying with humidity"] == 1.0


def test_a_scheme_that_does_not_look_at_the_state_has_no_response(
    dry: Columns, tmp_path: Path
) -> None:
    (tmp_path / "push.py").write_text(PUSH)
    scheme = f"{tmp_path / 'push.py'}:blind_push"
    found = response(built("boundary_layer", scheme, tmp_path, {}), dry)
    assert not found.blocks
    assert not found.growth().any()
    own = examined("push", {"scheme": scheme}, "boundary_layer", tmp_path, dry, None, None)
    held = {"scheme": "held_suarez"}
    usual = examined("reference", held, "boundary_layer", tmp_path, dry, None, None)
    (line,) = analysis.evidence(own, usual)
    assert (line.grade, line.found) == ("open", "it does not respond to the state")
    both = {"none": Analysed(name="none"), "reference": usual, "push": own}
    assert figures.first(both, ["push"]) is not None
    assert analysis.numbers(both)["push"]["growth_alone"]["tropics"] == 0.0
    assert "growth_push" in analysis.dataset(both)
    # A candidate that was not analysed keeps its colour: the others have theirs, as in the cards.
    picture = figures.first({**both, "other": usual}, ["again", "push", "other"])
    assert picture is not None
    dots = {to_hex(dot) for dot in np.unique(imread(BytesIO(picture[2])).reshape(-1, 4), axis=0)}
    assert COLOURS[2] in dots
    assert not {COLOURS[0], COLOURS[1]} & dots


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory, dry: Columns) -> type[Tendency]:
    """A bundle whose network torch can differentiate in its inputs."""
    base = tmp_path_factory.mktemp("bundle")
    plain = load_bundle(write_small_bundle(base / "mlp", dry.levels))
    config = {"channels": 5, "layers": 2, "kernel": 3}
    spec = plain.spec.model_copy(
        update={"architecture": Architecture(name="column_conv", config=config)}
    )
    torch.manual_seed(3)
    inputs = {c.name: plain.reference[f"input.{c.name}"] for c in spec.inputs}
    folder = write_bundle(base / "conv", spec, build(spec).eval(), inputs)
    return emulator_class(folder)


@pytest.mark.parametrize("top", [None, "escape", "zero", {"policy": "dump", "above": "350 hPa"}])
def test_autograd_gives_what_differences_give(
    network: type[Tendency], dry: Columns, top: object
) -> None:
    windy = dict(dry.fields)
    rng = np.random.default_rng(2)
    windy["ua"] = rng.normal(size=windy["ua"].shape) * 10.0
    windy["va"] = rng.normal(size=windy["va"].shape) * 10.0
    policy = top and TopPolicy.model_validate(top)
    base = replace(dry, fields=windy, top=policy)
    found = response(network(), base)
    assert found.method == "autograd", found.why
    steps = differences(network(), base)
    assert {("ua", "ua"), ("va", "va"), ("ua", "ta"), ("ta", "ua"), ("ua", "ps")} <= set(
        found.blocks
    )
    assert _disagreement(steps, found) < 0.02
    for of, rate in steps.rates.items():
        assert found.rates[of] == pytest.approx(rate, rel=1e-3, abs=1e-9)


def test_the_policy_at_the_top_is_that_of_the_case(tmp_path: Path, network: type[Tendency]) -> None:
    raw = changed(DRY, {"physics.gravity_wave": {"scheme": "ad99", "top": "zero"}})
    zero = columns_at_end(tmp_path, raw, "gravity_wave")
    assert zero.top == TopPolicy(policy="zero")
    lost = replace(zero, top=TopPolicy(policy="escape"))
    one, other = (differences(network(), c).rates["ua"] for c in (zero, lost))
    assert np.array_equal(one[1:], other[1:])
    assert np.abs(one[0] - other[0]).max() > 0.1 * np.abs(one[0]).max() > 0.0


def test_a_wrong_derivative_is_seen_and_differences_take_its_place(
    network: type[Tendency], dry: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coupler.compare.stability import response as module

    right = module.autograd

    def wrong(component: Tendency, columns: Columns) -> Response:
        found = right(component, columns)
        assert isinstance(found, Response)
        return replace(found, blocks={k: 1.1 * x for k, x in found.blocks.items()})

    monkeypatch.setattr(module, "autograd", wrong)
    windy = dict(dry.fields)
    windy["ua"] = windy["ua"] + 5.0 * np.sin(np.arange(5.0))[:, None]
    found = module.response(network(), replace(dry, fields=windy))
    assert found.method == "differences"
    assert "it is not the derivative of the scheme, by 0.1" in found.why


def program_bundle(base: Path, levels: HybridLevels) -> Path:
    """A bundle whose network is a program of columns."""
    plain = load_bundle(write_small_bundle(base / "mlp", levels))
    given, k = 4 * levels.nlev + 2, levels.nlev  # of latitude sine and cosine
    linear = torch.nn.Linear(given, 2 * k + 2)
    write_program(linear, torch.zeros(7, given), base / "w.ts", "torchscript")
    spec = plain.spec.model_copy(update={
        "architecture": Architecture(name="program", config={"tile": 7}),
        "weights": Weights(format="torchscript", file="w.ts"),
    })  # fmt: skip
    inputs = {c.name: plain.reference[f"input.{c.name}"] for c in spec.inputs}
    return write_bundle(base / "program", spec, build(spec), inputs, program=base / "w.ts")


@pytest.mark.parametrize(
    ("make", "ends"),
    [
        (lambda base, levels: write_small_bundle(base / "mlp", levels), "inputs of column_mlp"),
        (program_bundle, "its weights are a program of the format torchscript"),
    ],
)
def test_a_network_without_gradients_says_where_they_end(
    tmp_path: Path, dry: Columns, make: Callable[[Path, HybridLevels], Path], ends: str
) -> None:
    found = response(emulator_class(make(tmp_path, dry.levels))(), dry)
    assert found.method == "differences"
    assert f"no autograd: torch cannot differentiate its network in its inputs, {ends}" in found.why
    both = {
        "made": Analysed(name="made", response=found),
        "wide": Analysed(name="wide", why="it sees neighbouring columns"),
    }
    first, second = analysis.said(both, dry)
    assert f"made: differences ({found.why})" in first
    assert second == "stability: wide has no answer: it sees neighbouring columns"


def test_a_scheme_that_sees_its_neighbours_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Neighbours(Tendency):
        Parameters = Params
        needs = replace(Tendency.needs, globe=True)

        def compute(self, *args: object) -> None: ...

    monkeypatch.setattr(
        "coupler.compare.stability.columns.find_scheme", lambda *args, **how: Neighbours
    )
    with pytest.raises(DataError, match=r"no response of a column.*it sees neighbouring columns"):
        built("gravity_wave", "wide", Path(), {})


# -- modes of the flow -----------------------------------------------------------------------------


def winds_only(columns: Columns, rate: float) -> Response:
    """A scheme that amplifies all winds at one rate [s-1]."""
    eye = np.tile(rate * np.eye(columns.levels.nlev), (columns.ncol, 1, 1))
    return Response(method="differences", columns=columns, rates={},
                    blocks={("ua", "ua"): eye, ("va", "va"): eye})  # fmt: skip


def test_the_jacobian_is_the_derivative_of_a_step(dry: Columns) -> None:
    own = Flow(dry)
    scheme = winds_only(dry, 1e-5)
    v = own.spread(np.random.default_rng(1).normal(size=own.packed(own.start).shape) + 0j)
    exact = own.jacobian(scheme)(v)
    unroll, force = flow.unrolling().unroll, own.rates(scheme)
    with torch.enable_grad():  # the plain way through the core, not the compiled one
        up, down = (unroll(own.core, own.start + s * v, 1, force).detach() for s in (0.01, -0.01))
    difference = 50.0 * (up - down)
    error = own.packed(exact - difference)
    # float32: a hundredth of 1 K beside 300 K.
    assert np.linalg.norm(error) < 1e-2 * np.linalg.norm(own.packed(difference))


def test_arnoldi_gives_the_eigenvalues_of_the_whole_small_matrix(dry: Columns) -> None:
    own = Flow(dry)
    step = own.jacobian(winds_only(dry, 2e-5))
    shape = own.packed(own.start).shape

    def apply(x: np.ndarray) -> np.ndarray:
        return own.packed(step(own.spread(x)))

    some = [5, 8]  # wavenumbers 6 and 9
    inside = np.flatnonzero(own.packed(own.spread(np.ones(shape, complex)))[some].any(axis=0))
    matrices = np.zeros((len(some), inside.size, inside.size), complex)
    for i, at in enumerate(inside):
        unit = np.zeros(shape, complex)
        unit[some, at] = 1.0
        matrices[:, :, i] = apply(unit)[some][:, inside]
    dense = np.abs(np.linalg.eigvals(matrices)).max(axis=1)
    start = np.random.default_rng(0).normal(size=shape) + 0j
    found = leading(apply, own.packed(own.spread(start)), power=12, vectors=14)
    growth = np.log(np.abs(found.values)[some]) / own.core.dt * DAY
    assert growth == pytest.approx(np.log(dense) / own.core.dt * DAY, abs=0.02)


def test_winds_that_amplify_themselves_over_resting_air_grow_at_that_rate(
    still: Columns, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without rotation vorticity knows nothing but the scheme: a standing mode of exactly its rate
    (Euler forward), while waves, half of whose energy is wind, grow at half of it."""
    monkeypatch.setattr(flow, "EFFORT", Effort(vectors=8))
    own, rate = Flow(still), 1.0 / DAY
    found = own.modes(winds_only(still, rate))
    want = np.log1p(rate * own.core.dt) / own.core.dt * DAY
    # The degree n = m is damped least, by diffusion in proportion to (n (n+1))^4.
    n = found.wavenumber
    damped = (n * (n + 1.0) / 110.0) ** 4 / own.core.leapfrog.diffusion.timescale * DAY
    # Degrees that grow nearly alike are not told apart in eight days: those of long waves least.
    assert found.growth[6:9] == pytest.approx((want - damped)[6:9], abs=0.02)
    assert found.growth[:6] == pytest.approx((want - damped)[:6], abs=0.04)
    assert (np.abs(found.period[:9]) > 50.0).all()
    alone = own.modes(None)
    assert (alone.growth < 0.02).all()
    assert found.speed(0.0, 6.371e6).shape == found.growth.shape


def test_a_rossby_wave_over_resting_air_turns_westward_at_its_speed(dry: Columns) -> None:
    """Vorticity of one degree at all levels: d/dt = i 2 Omega m / (n (n + 1)) at first."""
    own, (m, n) = Flow(dry), (3, 5)
    v = torch.zeros_like(own.start)
    v[m, 0, : dry.levels.nlev, n - m] = 1e-6
    x, turned = own.packed(v)[m - 1], own.packed(own.jacobian(None)(v))[m - 1]
    angle = float(np.angle(np.vdot(x, turned)))
    turn = 2.0 * dry.planet.rotation_rate * m / (n * (n + 1.0)) * own.core.dt
    assert angle == pytest.approx(turn, rel=0.1)
    # exp(i m lon + i angle t / dt) goes westward, and its period is below zero.
    some = np.ones(1)
    modes = Modes(
        wavenumber=m * some, growth=some, period=-2.0 * np.pi / (angle / own.core.dt * DAY) * some,
        uncertainty=some, wind=some[None], temperature=some[None], vectors=some[None],
        step=own.core.dt,
    )  # fmt: skip
    assert modes.speed(0.0, dry.planet.radius)[0] < 0.0


def test_an_atmosphere_without_a_spectral_core_has_no_jacobian(dry: Columns) -> None:
    with pytest.raises(DataError, match="no Jacobian of this atmosphere: object"):
        Flow(replace(dry, atmosphere=object()))


# -- what is said of candidates --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("growth", "reference", "grade"),
    [(-0.1, -0.2, "good"), (0.04, 0.0, "good"), (0.4, 0.38, "good"), (0.5, 0.38, "doubtful"),
     (0.09, -1.0, "doubtful"), (0.4, 0.0, "bad"), (2.1, 0.57, "bad")],
)  # fmt: skip
def test_a_candidate_is_judged_by_what_it_adds(growth: float, reference: float, grade: str) -> None:
    assert analysis.grade_of(growth, reference) == grade


def test_a_mode_is_told_in_words(dry: Columns) -> None:
    n, k, nlat = 3, dry.levels.nlev, dry.zonal
    wind = np.zeros((n, k, nlat), complex)
    wind[:, 1, 12] = 1.0
    modes = Modes(
        wavenumber=np.arange(1.0, n + 1.0), growth=np.array([0.1, 0.42, -0.1]),
        period=np.array([3.0, 4.0, np.inf]), uncertainty=np.full(n, 0.01), wind=wind,
        temperature=wind, vectors=np.zeros((n, 1), complex), step=3600.0,
    )  # fmt: skip
    lat = dry.fields["lat"][12]
    speed = 2.0 * np.pi * 6.371e6 * np.cos(np.radians(lat)) / (2.0 * 4.0 * DAY)
    words = analysis.mode_words(modes, 1, dry)
    assert words.startswith(
        f"growing 0.4200 per day at wavenumber 2 with phase speed {speed:.0f} m/s, largest at "
        f"{lat:.0f}N"
    )
    assert analysis.mode_words(modes, 2, dry).startswith("decaying 0.1000 per day at wavenumber 3")


def test_without_a_run_of_the_reference_there_is_nothing_to_linearize_about() -> None:
    with pytest.raises(DataError, match="no run of the reference to linearize about"):
        analysis._source([])


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`isthmus compare stability` of an untrained network and of the same five times stronger."""
    base = tmp_path_factory.mktemp("stability")
    from physics.dynamics.levels import hybrid_levels

    levels: HybridLevels = hybrid_levels("hybrid9")
    weak = write_small_bundle(base / "weak", levels)
    spoil(weak, base / "strong", drag=5.0)
    case = write_case(base / "case.yaml", changed(COUPLED, {"days": 0.25}))
    path = base / "report.html"
    words = ["compare", "stability", str(case), "--report", str(path), "--process", "gravity_wave"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(flow, "EFFORT", Effort(hours=4.0, vectors=5, more=4))
        names = ["again=ad99", f"weak={weak}", f"strong={base / 'strong'}"]
        assert main([*words, "--candidates", *names]) == 0
    return path


def test_the_command_writes_numbers_that_fit_together(report: Path) -> None:
    data = json.loads(report.with_suffix(".json").read_text())
    found = data["foretold"]["stability"]
    assert set(found) == {"none", "reference", "weak", "strong"}
    weak, strong = found["weak"]["growth_alone"], found["strong"]["growth_alone"]
    for where, growth in weak.items():
        assert strong[where] == pytest.approx(5.0 * growth, rel=0.02, abs=1e-3)
    assert data["runs"][0]["member"] == 0 and len(data["runs"]) == 1
    verdicts = {v["name"]: v for v in data["verdicts"]}
    said = [e["what"] for e in verdicts["strong"]["evidence"]]
    assert sorted(said) == [
        "fastest-growing gravity wave above 5 m/s",
        "growth of the scheme in a column alone",
        "inputs that it leans on most (share of its variance)",
        "leading mode of the flow with it",
    ]
    assert all(e["when"] == "before" for e in verdicts["strong"]["evidence"])
    (how,) = (n for n in data["notes"] if "torch cannot differentiate its network" in n)
    assert how[1:] in report.read_text()


def test_the_page_shows_the_picture_first_and_the_file_holds_the_responses(report: Path) -> None:
    first, rest = report.read_text().split("The evidence</summary>")
    assert "What linear analyses foretell" in first
    assert "Stability diagram" in rest and "Linear response" in rest
    with xr.open_dataset(report.with_suffix(".stability.nc")) as data:
        assert data["dua_dua_strong"].attrs["units"] == "s-1"
        assert data["mode_growth_none"].sizes == {"wavenumber": 10}
        assert data["wave_speed_weak"].attrs["units"] == "m s-1"
        assert data.attrs["method_strong"] == "differences"
        ratio = data["dua_dua_strong"] / data["dua_dua_weak"]
        assert float(ratio.median()) == pytest.approx(5.0, rel=0.01)


def test_an_answer_has_the_same_bits_in_any_process(
    report: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders = {o.words["name"]: o for o in map(ordered, (report.with_suffix(".work")
              / "analyses").glob("*.json"))}  # fmt: skip
    assert set(orders) == {"none", "reference", "weak", "strong"}
    weak = orders["weak"]
    there = kept(weak.file)
    assert there is not None
    here = parts.answer(weak.words)
    assert list(here) == list(there)
    for name, values in here.items():
        np.testing.assert_array_equal(there[name], values, err_msg=name)
    # What is kept is not computed again, and nothing is lost on the way.
    monkeypatch.setattr(parts, "_computed", None)
    ground = parts.Ground.__new__(parts.Ground)
    ground.columns = "those of the run"  # type: ignore[assignment]
    known = parts.known(weak, ground)
    assert known.response is not None and known.response.columns == "those of the run"
    for name, values in parts.arrays_of(known).items():
        np.testing.assert_array_equal(there[name], values, err_msg=name)
