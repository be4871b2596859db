"""The page: what was published beside what these runs give, with pictures."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from gates.pictures import png
from matplotlib.figure import Figure

from coupler.compare.statistics.similarity import octaves, similarity
from coupler.compare.statistics.student import mean_interval
from coupler.driver.info import versions
from coupler.interface.files import write_whole
from emulators.bundle import load_bundle
from physics.dynamics.qg_coarsen import Coarsener
from reversal.online import States, states_of
from reversal.plan import COARSE, OPERATOR, TARGET, Plan
from reversal.scores import DISTRIBUTIONS, SPECTRA, Climate, climate, distances
from reversal.truth import read

PUBLISHED = {
    ("eddy", "smagorinsky"): (-1.14, -0.50, -0.79, -2.19, None),
    ("eddy", "backscatter_biharmonic"): (0.67, 0.85, 0.81, 0.04, None),
    ("eddy", "symbolic"): (0.66, 0.78, 0.76, 0.10, None),
    ("eddy", "fcnn"): (0.71, 0.75, 0.76, 0.44, None),
    ("jet", "smagorinsky"): (-0.77, -0.70, -0.65, -3.05, 0.06),
    ("jet", "backscatter_biharmonic"): (0.29, -0.14, 0.31, -1.67, 0.67),
    ("jet", "symbolic"): (0.33, 0.50, 0.39, -0.24, 0.94),
    ("jet", "fcnn"): (-2.00, -8.57, -3.46, -34.4, 0.06),
}
"""Means over distributions and spectra, median, least, share above 0; one run each."""
OFFLINE = {
    ("eddy", "fcnn"): "r 0.94/0.97, R2 0.87/0.95",
    ("jet", "fcnn"): "r 0.92/0.89, R2 0.79/-0.83",
    ("eddy", "symbolic"): "r 0.84/0.76, R2 0.70/0.57",
}
NAMES = {
    "fcnn": "convolutional network",
    "symbolic": "symbolic, seven terms",
    "smagorinsky": "Smagorinsky",
    "backscatter_biharmonic": "biharmonic with backscatter",
    "none": "no closure",
}


_MANY = {"eddy": "eddies", "jet": "jets"}


@dataclass(frozen=True, kw_only=True)
class Score:
    """Similarity of one run."""

    values: dict[str, float]
    octaves: float
    alive: float

    def of(self, names: tuple[str, ...]) -> float:
        """Mean over metrics."""
        return float(np.mean([self.values[n] for n in names]))

    @property
    def median(self) -> float:
        """Over all metrics."""
        return float(np.median(list(self.values.values())))

    @property
    def least(self) -> float:
        """Of all metrics."""
        return min(self.values.values())

    @property
    def positive(self) -> float:
        """Share of metrics above 0."""
        return float(np.mean(np.array(list(self.values.values())) > 0.0))


def interval(values: list[float]) -> str:
    """Mean and 95 % interval of independent values, by Student's t; the median of infinite ones."""
    if len(values) > 1 and not np.isfinite(values).all():
        return f"median {np.median(values):.2f}"
    mean, _, high = mean_interval(values)
    return f"{mean:.2f}" if len(values) < 2 else f"{mean:.2f} +- {high - mean:.2f}"


def truth_climates(
    plan: Plan, regime: str
) -> tuple[Climate, tuple[Climate, Climate] | None, np.ndarray]:
    """Of all truth runs, of the last one and of the others (None of one run), a coarse state.

    Spectra are those of the fine flow, distributions those of its coarse image.
    """
    fine, coarse = plan.cores(regime)
    bar = Coarsener(fine, coarse, OPERATOR)
    parts = []
    for run in range(plan.runs[regime]):
        q = read(plan.truth_file(regime, run))
        small = bar.field(torch.tensor(q)).numpy()
        parts.append((climate(fine, q), small))

    def joined(some: list[tuple[Climate, np.ndarray]]) -> Climate:
        low = climate(coarse, np.concatenate([s for _, s in some]))
        spectra = {
            n: np.mean([c.spectra[n][: COARSE // 2] for c, _ in some], axis=0) for n in SPECTRA
        }
        return Climate(samples=low.samples, spectra=spectra, wavenumber=low.wavenumber)

    control = (joined(parts[-1:]), joined(parts[:-1])) if len(parts) > 1 else None
    return joined(parts), control, parts[0][1][-1]


def scored(run: States, found: Climate | None, truth: Climate, base: Mapping[str, float]) -> Score:
    """Similarity of a run; one that did not live to its end is infinitely far."""
    if found is None:
        return Score(values=dict.fromkeys(base, float("-inf")), octaves=-4.0, alive=run.alive)
    own = distances(found, truth)
    values = {n: float(similarity(own[n], base[n])) for n in base}
    mean = float(np.mean(octaves(list(own.values()), list(base.values()))))
    return Score(values=values, octaves=mean, alive=run.alive)


def offline(plan: Plan, kind: str, regime: str) -> list[tuple[float, ...]]:
    """r and R2 of both layers for each seed."""
    found = []
    for seed in range(plan.seeds):
        guess, truth = (x.double().flatten(1) for x in plan.predicted(kind, seed, regime))
        r = [float(torch.corrcoef(torch.stack([guess[i], truth[i]]))[0, 1]) for i in (0, 1)]
        error = (guess - truth).square().mean(dim=1) / truth.var(dim=1, correction=0)
        found.append((*r, *(1.0 - error).tolist()))
    return found


def write_page(plan: Plan, page: Path, commits: str, took: str) -> bool:
    """Writes page and pictures; whether the reversal is seen."""
    online: dict[tuple[str, str], list[Score]] = {}
    maps: dict[tuple[str, str], np.ndarray] = {}
    spectra: dict[tuple[str, str], Climate] = {}
    control: dict[str, float] = {}
    for regime in plan.runs:
        coarse = plan.cores(regime)[1]
        truth, again, state = truth_climates(plan, regime)
        maps[regime, "truth"], spectra[regime, "truth"] = state, truth

        def made(closure: str, seed: int) -> tuple[States, Climate | None]:
            run = states_of(*plan.run(regime, closure, seed))  # noqa: B023 - called below only
            whole = run.alive == 1.0 and bool(np.isfinite(run.q).all())
            return run, climate(coarse, run.q, run.pushed) if whole else None  # noqa: B023

        states, bare = made("none", 0)
        assert bare is not None, "the run without a closure blew up"
        base = distances(bare, truth)
        if again is not None:
            own = distances(*again)
            control[regime] = float(np.median([own[n] / base[n] for n in base]))
        maps[regime, "none"], spectra[regime, "none"] = states.q[-1], bare
        for closure in ("fcnn", "symbolic", *plan.others):
            seeds = plan.seeds if closure in ("fcnn", "symbolic") else 1
            for seed in range(seeds):
                run, found = made(closure, seed)
                online.setdefault((regime, closure), []).append(scored(run, found, truth, base))
                if seed == 0 and found is not None:
                    maps[regime, closure], spectra[regime, closure] = run.q[-1], found
    skill = {(g, k): offline(plan, k, g) for g in plan.runs for k in ("fcnn", "symbolic")}
    pictures = {"snapshots": _snapshots(maps, plan), "spectra": _spectra(spectra)}
    folder = page.with_suffix("")
    for name, figure in pictures.items():
        write_whole(folder / f"{name}.png", png(figure))
    write_whole(page, _text(plan, online, skill, control, folder.name, commits, took))
    median = {k: [s.median for s in v] for k, v in online.items()}
    r2 = {k: np.mean([x[2:] for x in v]) for k, v in skill.items()}
    return bool(
        min(median["eddy", "fcnn"]) > 0.0
        and min(median["eddy", "symbolic"]) > 0.0
        and max(median["jet", "fcnn"]) < 0.0
        and min(median["jet", "symbolic"]) > 0.0
        and r2["eddy", "fcnn"] > r2["eddy", "symbolic"]
    )


def _text(
    plan: Plan,
    online: Mapping[tuple[str, str], list[Score]],
    skill: Mapping[tuple[str, str], list[tuple[float, ...]]],
    control: Mapping[str, float],
    folder: str,
    commits: str,
    took: str,
) -> str:
    own = versions()
    network = load_bundle(plan.closure("fcnn", 0)).network
    size = sum(w.numel() for w in network.parameters())
    quick = " --quick" if plan.from_truth else ""
    lines = [
        "# Offline skill against online skill, at home and moved",
        "",
        f"Made by `python tools/reversal_results.py{quick}` with Isthmus {own['isthmus']}, its "
        f"pieces with commit {commits}, in {took}.",
        "",
        "Two closures of two-layer quasi-geostrophic turbulence are fitted to the same target in "
        "the regime of eddies, then each drives coarse runs there and in the regime of jets. The "
        "question is whether the error on held-out samples says which one to take.",
        "",
        "- Truth: "
        + "; ".join(_truth_of(plan, regime) for regime in plan.runs)
        + ". The last run of eddies is for testing alone.",
        f"- Target: `{TARGET}`, the rate of the fine flow, coarsened to {COARSE} points by "
        "truncation and the core's filter, less that of the coarse flow "
        "([why](../decisions/0031-what-a-closure-is-fitted-to.md)).",
        "- Coarse runs: "
        + " and ".join(
            f"{plan.years[r]:g} years of {_MANY[r]}, the last {plan.kept[r]:g} kept"
            for r in plan.runs
        )
        + ", through the driver (`cases/qg_eddy.yaml`, `cases/qg_jet.yaml`, "
        "`--swap subgrid=...`); the network is called every two hours."
        + (" They begin in the truth." if plan.from_truth else " They begin from noise."),
        f"- {plan.seeds} seeds of each fitted closure: other weights and order for the network, "
        "states drawn with replacement for the coefficients, another start for the run.",
        "- Published: Ross et al. (2023), doi:10.1029/2022MS003258, and the results that its "
        "authors published with their benchmark; one run each. Theirs is a network of 267,841 "
        "weights for each layer, ours has "
        f"{size:,} for both, because it has to be cheaper than the truth.",
        "",
        "## Offline: upper and lower layer",
        "",
        "| closure | regime | R2 | r | published |",
        "| --- | --- | --- | --- | --- |",
    ]
    for kind in ("fcnn", "symbolic"):
        for regime in plan.runs:
            r1, r2, s1, s2 = (interval(list(x)) for x in zip(*skill[regime, kind], strict=True))
            published = OFFLINE.get((regime, kind), "-")
            lines.append(f"| {NAMES[kind]} | {regime} | {s1} / {s2} | {r1} / {r2} | {published} |")
    lines += [
        "",
        "## Online: similarity to the truth",
        "",
        "1 is the truth, 0 no better than no closure, below 0 worse. Means over seeds with 95 % "
        "intervals by Student's t where there is more than one, medians where a run ended, which "
        "is infinitely far; in brackets the published number.",
        "",
        "| closure | regime | distributions | spectra | median | least | above 0 | octaves "
        "| lived |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for (regime, closure), scores in online.items():
        columns = [
            [s.of(DISTRIBUTIONS) for s in scores],
            [s.of(SPECTRA) for s in scores],
            [s.median for s in scores],
            [s.least for s in scores],
            [s.positive for s in scores],
        ]
        cells = []
        for values, theirs in zip(columns, PUBLISHED[regime, closure], strict=True):
            cells.append(interval(values) + (f" ({theirs:.2f})" if theirs is not None else ""))
        cells.append(interval([s.octaves for s in scores]))
        cells.append(f"{sum(s.alive == 1.0 for s in scores)} of {len(scores)}")
        lines.append(f"| {NAMES[closure]} | {regime} | " + " | ".join(cells) + " |")
    if control:
        each = ", ".join(f"{v:.2f} in the regime {k}" for k, v in control.items())
        lines += [
            "",
            "The last truth is as far from the others as this part of the distance of the run "
            f"without a closure (median over metrics): {each}. What is closer than that is chance.",
        ]
    lines += ["", "## Metric by metric", ""]
    heads = [(r, k) for r in plan.runs for k in ("fcnn", "symbolic")]
    lines.append("| metric | " + " | ".join(f"{NAMES[k]}, {r}" for r, k in heads) + " |")
    lines.append("| --- |" + " --- |" * len(heads))
    for name in (*DISTRIBUTIONS, *SPECTRA):
        cells = [interval([s.values[name] for s in online[h]]) for h in heads]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "## Pictures",
        "",
        "Potential vorticity of the upper layer in the last kept state:",
        "",
        f"![Potential vorticity]({folder}/snapshots.png)",
        "",
        "Spectra of kinetic energy of the upper layer, and the transfer of kinetic energy "
        "(with what the closure transfers):",
        "",
        f"![Spectra]({folder}/spectra.png)",
        "",
    ]
    return "\n".join(lines)


def _truth_of(plan: Plan, regime: str) -> str:
    """How the truths of a regime were made, and whether they are steady."""
    length, core = plan.truth[regime], plan.cores(regime)[0]
    before = ", ".join(f"{years:g} at {nx}" for nx, years in length.spin_up)
    halves = []
    for run in range(plan.runs[regime]):
        kept = read(plan.truth_file(regime, run))
        some = torch.tensor(kept[:: max(1, len(kept) // 60)])
        energy = [float(core.energy(core.to_waves(q)[:, None]).mean()) for q in some]
        first, second = (1e4 * float(np.mean(x)) for x in np.array_split(energy, 2))
        halves.append(f"{first:.2f} and {second:.2f}")
    return (
        f"{plan.runs[regime]} runs of {_MANY[regime]}, years thrown away by points a side: "
        f"{before}; "
        f"{length.years:g} years kept at {length.nx}, a state every {length.every:g} days (energy "
        f"in the first and second half of them {', '.join(halves)} 1e-4 m2 s-2)"
    )


def _snapshots(maps: Mapping[tuple[str, str], np.ndarray], plan: Plan) -> Figure:
    kinds = ("truth", "none", "fcnn", "symbolic")
    figure = Figure(figsize=(9.2, 2.6 * len(plan.runs)), layout="constrained")
    axes = figure.subplots(len(plan.runs), len(kinds), squeeze=False)
    for row, regime in zip(axes, plan.runs, strict=True):
        limit = 3.0 * float(np.std(maps[regime, "truth"][0]))
        for axis, kind in zip(row, kinds, strict=True):
            axis.set(xticks=[], yticks=[])
            name = NAMES.get(kind, "truth, coarsened")
            axis.set_title(f"{regime}: {name}", fontsize=8)
            if (regime, kind) not in maps:
                axis.text(0.5, 0.5, "did not live", ha="center", transform=axis.transAxes)
                continue
            image = axis.imshow(
                1e6 * maps[regime, kind][0],
                origin="lower",
                cmap="RdBu_r",
                vmin=-1e6 * limit,
                vmax=1e6 * limit,
                extent=(0, 1000, 0, 1000),
            )
        figure.colorbar(image, ax=list(row), label="q, upper layer [1e-6 s-1]", shrink=0.9)
    return figure


def _spectra(found: Mapping[tuple[str, str], Climate]) -> Figure:
    regimes = list(dict.fromkeys(r for r, _ in found))
    figure = Figure(figsize=(8.6, 3.0 * len(regimes)), layout="constrained")
    axes = figure.subplots(len(regimes), 2, squeeze=False)
    colours = {"truth": "k", "none": "0.6", "fcnn": "C3", "symbolic": "C0"}
    for row, regime in zip(axes, regimes, strict=True):
        for kind, colour in colours.items():
            if (regime, kind) not in found:
                continue
            one = found[regime, kind]
            label = NAMES.get(kind, "truth")
            k = np.arange(1, len(one.wavenumber))
            row[0].loglog(k, one.spectra["KEspec1"][1:], color=colour, label=label, lw=1.2)
            row[1].semilogx(k, 1e12 * one.spectra["KEflux"][1:], color=colour, lw=1.2)
        for axis in row:
            axis.axvline(COARSE / 3, color="0.8", lw=0.8)
            axis.set_xlabel("waves a side")
        size = found[regime, "truth"].spectra["KEspec1"]
        row[0].set_ylim(1e-5 * size.max(), 4 * size.max())
        row[0].set(ylabel="KE, upper layer [m2 s-2]", title=regime)
        row[1].set(ylabel="KE transfer [1e-12 m2 s-3]", title=regime)
    axes[0, 0].legend(frameon=False, fontsize=8)
    return figure
