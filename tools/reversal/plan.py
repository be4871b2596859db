"""What is run: lengths, seeds, files, and the order of the work."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import kept
import torch

from coupler.interface.files import appearing
from emulators.bundle import load_bundle
from emulators.schema import Architecture
from emulators.training.closure import Closure, ClosureFit, train_closure
from physics.dynamics.plane_waves import PlaneWaves
from physics.dynamics.qg_closures import (
    fit_symbolic,
    read_coefficients,
    symbolic,
    symbolic_terms,
    write_coefficients,
)
from physics.dynamics.qg_coarsen import Coarsener, Operator
from physics.dynamics.qg_core import REGIMES, QGCore
from physics.dynamics.qg_dataset import file_name, read_fields, write_forcing
from reversal.online import Run
from reversal.truth import Length, make, read

Tensor = torch.Tensor
COARSE = 64
TARGET = "q_forcing_total"
"""The one target: the rate of the fine flow, coarsened, less that of the coarse one."""
OPERATOR: Operator = "spectral"


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Lengths and numbers of runs."""

    work: Path
    truth: dict[str, Length]
    """By regime."""
    runs: dict[str, int]
    """Truth runs by regime; the last one of the eddies is not fitted to."""
    years: dict[str, float]
    """Of coarse runs, by regime."""
    kept: dict[str, float]
    """At their ends, by regime."""
    seeds: int = 3
    """Of each fitted closure."""
    every: float = 5.0
    """Days between kept states of coarse runs."""
    epochs: int = 60
    baselines: int = 3
    """Members without a closure."""
    others: tuple[str, ...] = ("smagorinsky", "backscatter_biharmonic")
    from_truth: bool = False
    """Whether coarse runs begin at the first kept state of a truth instead of noise."""

    # -- truth and data ------------------------------------------------------------------------

    def truth_file(self, regime: str, run: int) -> Path:
        """States of the fine flow."""
        length = self.truth[regime]
        made_of = [asdict(REGIMES[regime].at(length.nx)), asdict(length), run, _code("truth")]
        return kept.place(self.work, f"truth_{regime}_{run}", made_of, ".nc")

    def make_truth(self, regime: str, run: int) -> Path:
        """Runs it where it is missing."""
        return make(regime, run, self.truth_file(regime, run), self.truth[regime])

    def fit_runs(self) -> range:
        """Truth runs of the eddies that closures are fitted to."""
        return range(self.runs["eddy"] - 1)

    def cores(self, regime: str) -> tuple[QGCore, QGCore]:
        """The fine and the coarse one."""
        config = REGIMES[regime]
        fine = config.at(self.truth[regime].nx)
        return QGCore(fine, dtype=torch.float32), QGCore(config.at(COARSE), dtype=torch.float32)

    def data_file(self, regime: str, part: str, operator: Operator = OPERATOR) -> Path:
        """A data set; `part` is fit or test."""
        truths = [f.name for f in self.truths_of(regime, part)]
        name = Path(file_name(operator))
        folder = self.work / regime / part
        return kept.place(folder, name.stem, [truths, COARSE, _code("plan")], name.suffix)

    def truths_of(self, regime: str, part: str) -> list[Path]:
        """What a data set is made of: eddies to fit, eddies to test, jets to test."""
        fit = list(self.fit_runs())
        runs = fit if part == "fit" else list(range(self.runs[regime]))
        if part == "test" and regime == "eddy":
            runs = [r for r in runs if r not in fit]
        return [self.truth_file(regime, r) for r in runs]

    def make_data(self, regime: str, part: str, operator: Operator = OPERATOR) -> Path:
        """Makes it where it is missing."""
        path = self.data_file(regime, part, operator)
        if not path.is_file():
            states = (read(f) for f in self.truths_of(regime, part))
            write_forcing(path, Coarsener(*self.cores(regime), operator), states)
        return path

    # -- closures ------------------------------------------------------------------------------

    def closure(self, kind: str, seed: int) -> Path:
        """Where a fitted closure is: a file of coefficients, or the folder of a bundle."""
        made_of = [self.data_file("eddy", "fit").name, kind, seed, self.epochs, _code("plan")]
        suffix = ".yaml" if kind == "symbolic" else ""
        return kept.place(self.work / "closures", f"{kind}_{seed}", made_of, suffix)

    def fit(self, kind: str, seed: int) -> Path:
        """Fits it where it is missing."""
        path = self.closure(kind, seed)
        if path.exists():
            return path
        q, u, v, target = read_fields(self.data_file("eddy", "fit"), "q", "u", "v", TARGET)
        about = f"{TARGET} of the eddy regime, {self.truth['eddy'].nx} to {COARSE} points a side"
        spacing = REGIMES["eddy"].at(COARSE).dx
        if kind == "fcnn":
            closure = Closure(
                name=f"{kind}_{seed}",
                of="qgpv",
                architecture=Architecture(name="plane_conv", config={"spacing": spacing}),
                interval=7200.0,
                fit=ClosureFit(epochs=self.epochs, batch=4),
                seed=seed,
            )
            return train_closure(closure, {"qgpv": q}, target, path, source=about, progress=say)
        plane = PlaneWaves(COARSE, COARSE, spacing, 1, torch.float32)
        terms = symbolic_terms(plane, q, u, v)
        if seed:  # drawn with replacement: another sample of the same flow
            draw = torch.Generator().manual_seed(seed)
            chosen = torch.randint(q.shape[1], (q.shape[1],), generator=draw)
            terms, target = terms[:, :, chosen], target[:, chosen]
        states = f"{q.shape[1]} states" + (f", drawn with replacement, seed {seed}" if seed else "")
        write_coefficients(path, fit_symbolic(terms, target), f"{about}, {states}")
        return path

    def predicted(self, kind: str, seed: int, regime: str) -> tuple[Tensor, Tensor]:
        """What a closure gives on the test data, and the target, [2, map, y, x] each [s-2]."""
        q, u, v, target = read_fields(self.data_file(regime, "test"), "q", "u", "v", TARGET)
        path = self.closure(kind, seed)
        with torch.inference_mode():
            if kind == "symbolic":
                plane = PlaneWaves(COARSE, COARSE, REGIMES[regime].at(COARSE).dx, 1, torch.float32)
                return symbolic(plane, q, u, v, read_coefficients(path)), target
            found = load_bundle(path).network({"qgpv": q.flatten(1)})["tn_qgpv"]
            return found.view_as(target), target

    # -- coarse runs ---------------------------------------------------------------------------

    def run(self, regime: str, closure: str, seed: int) -> tuple[Run, Path]:
        """A coarse run and its file; `closure` is fcnn, symbolic, a scheme, or none."""
        settings: dict[str, Any] = {"atmosphere.nx": COARSE}
        members, scheme = 1, closure
        if closure == "none":
            members, scheme = self.baselines, ""
        elif closure == "fcnn":
            scheme = str(self.closure("fcnn", seed))
        elif closure == "symbolic":
            settings["subgrid.file"] = str(self.closure("symbolic", seed))
        if self.from_truth:
            settings["atmosphere.initial"] = str(self.start_file(regime))
        run = Run(
            regime=regime,
            closure=scheme,
            settings=settings,
            seed=seed + 1,
            members=members,
            years=self.years[regime],
            kept=self.kept[regime],
            every=self.every,
        )
        # Names of closures and starts say what these are made of; where they lie decides nothing.
        said = json.dumps(asdict(run), default=str).replace(str(self.work), "")
        made_of = [said, kept.model(f"cases/qg_{regime}.yaml", "tools/reversal/online.py")]
        return run, kept.place(self.work / "runs", f"{regime}_{closure}_{seed}", made_of, ".npz")

    def start_file(self, regime: str) -> Path:
        """Coarse images of kept states of the first truth, as starts."""
        made_of = [self.truth_file(regime, 0).name, COARSE, _code("plan")]
        return kept.place(self.work, f"start_{regime}", made_of, ".nc")

    def make_start(self, regime: str) -> Path:
        """Makes it where it is missing."""
        import netCDF4

        path = self.start_file(regime)
        if not path.is_file():
            fine, coarse = self.cores(regime)
            states = read(self.truth_file(regime, 0))[:: max(1, self.truth_states(regime) // 4)][:4]
            q = torch.tensor(states).swapaxes(0, 1)
            found = Coarsener(fine, coarse, OPERATOR).field(q).swapaxes(0, 1).numpy()
            with appearing(path) as beside, netCDF4.Dataset(beside, "w") as file:
                for name, size in zip(("run", "lev", "y", "x"), found.shape, strict=True):
                    file.createDimension(name, size)
                file.createVariable("q", "f4", ("run", "lev", "y", "x"))[:] = found
        return path

    def truth_states(self, regime: str) -> int:
        """How many states a truth keeps."""
        length = self.truth[regime]
        return round(length.years * 360 / length.every)

    def file_of(self, stage: str, arguments: Sequence[Any]) -> Path:
        """What a stage makes, see `work_to_do`."""
        if stage == "run":
            return self.run(*arguments)[1]
        of = {"truth": self.truth_file, "data": self.data_file, "fit": self.closure}
        return of[stage](*arguments)

    def work_to_do(self) -> Iterator[tuple[str, tuple[Any, ...]]]:
        """Names and arguments of all stages, in an order in which each finds what it needs.

        A wall between parts that do not wait for each other is ``("wall", ())``.
        """
        for run in range(max(self.runs.values())):
            for regime, number in self.runs.items():
                if run < number:
                    yield "truth", (regime, run)
        yield "wall", ()
        for regime, part in (("eddy", "fit"), ("eddy", "test"), ("jet", "test")):
            yield "data", (regime, part)
        yield "wall", ()
        for kind in ("symbolic", "fcnn"):
            for seed in range(self.seeds):
                yield "fit", (kind, seed)
        for regime in self.runs:
            for closure in ("none", *self.others):
                yield "run", (regime, closure, 0)
        yield "wall", ()
        for seed in range(self.seeds):
            for regime in self.runs:
                for kind in ("fcnn", "symbolic"):
                    yield "run", (regime, kind, seed)

    def describe(self) -> str:
        """The plan in JSON, for the page."""
        truth = {k: vars(v) for k, v in self.truth.items()}
        own = {k: v for k, v in vars(self).items() if k not in ("work", "truth")}
        return json.dumps(own | {"truth": truth})


def _code(module: str) -> str:
    """Fingerprint of a module of this folder and of what it imports, the driver left out."""
    inside = ("tools/reversal/", "physics/", "emulators/", "coupler/interface/")
    by_string = ["emulators/networks/plane_conv.py"] if module == "plan" else []
    return kept.code(f"tools/reversal/{module}.py", *by_string, inside=inside)


def say(text: str) -> None:
    """Prints at once."""
    print(text, flush=True)
