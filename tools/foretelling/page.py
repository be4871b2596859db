"""The page: what each sign foretold, what the networks are, a picture."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from foretelling.networks import FAMILIES
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import rankdata

from coupler.compare.statistics import alarms
from coupler.compare.statistics.significance import rank_correlation
from coupler.driver.info import versions

TWICE = 2.0
"""A network went wrong when its climate is this many times as far from the truth's as that of the
polynomial that it would replace, or when its run ended."""
WHERE = {
    "offline error": "offline",
    "spurious input": "offline",
    "novelty": "ten days",
    "twins": "ten days",
    "early warning": "ten days",
    "ten days' climate": "ten days",
}
SIGNS = (
    "- *offline error*: 1 - R2 of the push on held-out members.",
    "- *spurious input*: effect of permuting an input that the polynomial does not read "
    "([ablation](../../coupler/compare/ablation.py)): here only the push of the last step, which "
    "is a consequence of the answer.",
    "- *novelty*: share of what the network sees in the ten days that is farther from its training "
    "samples than one of them in a thousand, less the same offline.",
    "- *twins*: how much the growth rate of a difference of 1e-5 differs from that with the "
    "polynomial.",
    "- *early warning*: share of members whose energy shows rising variance or memory "
    "(probability below 5 % among autoregressive surrogates; 5 % is what chance gives).",
    "- *ten days' climate*: Wasserstein distance of the last five of the ten days from the truth "
    "of the same starts. It is a short version of the event itself, listed as what other signs "
    "have to beat; `all but` leaves it out.",
)
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True, eq=False)
class Sign:
    """One row of the table."""

    name: str
    where: str
    alarm: Flags
    score: F64 | None
    """None for a verdict that is only yes or no."""


def signs(found: Sequence[Mapping[str, Any]], event: Flags, family: NDArray[Any]) -> list[Sign]:
    """Every indicator alone, and what they say together."""
    names = [n for n in WHERE if n in found[0]["before"]["scores"]]
    score = {n: np.array([f["before"]["scores"][n] for f in found], float) for n in names}
    alone = {n: alarms.learned_elsewhere(s, event, family) for n, s in score.items()}
    rows = [Sign(name=n, where=WHERE[n], alarm=alone[n], score=score[n]) for n in names]
    offline = [n for n in names if WHERE[n] == "offline"]
    short = [n for n in names if n != "ten days' climate"]
    for what, some in (("offline signs", offline), ("all but ten days' climate", short),
                       ("all", names)):  # fmt: skip
        ranks = np.mean([rankdata(score[n]) for n in some], axis=0)
        count = np.sum([alone[n] for n in some], axis=0)
        rows.append(Sign(name=f"{what}: mean rank", where="together", score=ranks,
                         alarm=alarms.learned_elsewhere(ranks, event, family)))  # fmt: skip
        rows.append(Sign(name=f"{what}: any alarm", where="together", score=None,
                         alarm=count >= 1))  # fmt: skip
    return rows


def _share(k: int, n: int, interval: tuple[float, float]) -> str:
    return f"{k} of {n} ({interval[0]:.2f} to {interval[1]:.2f})" if n else "none"


def _table(rows: Sequence[Sign], event: Flags, family: NDArray[Any]) -> list[str]:
    lines = [
        "| sign | known | AUC | hits | misses | false alarms | correct rejections | hit rate | "
        "false-alarm rate |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        c = alarms.contingency(row.alarm, event)
        area = ""
        if row.score is not None:
            a, low, high = alarms.auc(row.score, event, group=family)
            area = f"{a:.2f} ({low:.2f} to {high:.2f})"
        lines.append(
            f"| {row.name} | {row.where} | {area} | {c.hits} | {c.misses} | {c.false_alarms} | "
            f"{c.rejections} | {_share(c.hits, c.hits + c.misses, c.hit_interval)} | "
            f"{_share(c.false_alarms, c.false_alarms + c.rejections, c.false_alarm_interval)} |"
        )
    return lines


def _families(found: Sequence[Mapping[str, Any]], event: Flags) -> list[str]:
    lines = [
        "| family | | offline R2 | distance of the climate | went wrong |",
        "|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        own = [i for i, f in enumerate(found) if f["family"] == family.name]
        if not own:
            continue
        r2 = [found[i]["before"]["r2"] for i in own]
        far = [found[i]["after"]["distance"] for i in own]
        lines.append(
            f"| {family.name} | {family.about} | {min(r2):.3f} to {max(r2):.3f} | "
            f"{min(far):.2f} to {max(far):.2f} | {int(event[own].sum())} of {len(own)} |"
        )
    return lines


def _ablations(found: Sequence[Mapping[str, Any]]) -> list[str]:
    lines = [
        "| family | offline R2 | without `x_slow` | without `x_push` | ten days' climate | "
        "`x_slow` held | `x_push` held |",
        "|---|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        own = [f["before"] for f in found if f["family"] == family.name]
        if not own or not family.memory:
            continue

        def median(of: Callable[[Mapping[str, Any]], float], some: Sequence[Any] = own) -> str:
            return f"{np.median([of(b) for b in some]):.2f}"

        cells = [median(lambda b: b["r2"])]
        cells += [median(lambda b, n=n: b["r2"] - b["effects"][n][1]) for n in ("x_slow", "x_push")]
        cells.append(median(lambda b: b["scores"]["ten days' climate"]))
        cells += [median(lambda b, n=n: b["held"][n]) for n in ("x_slow", "x_push")]
        lines.append(f"| {family.name} | " + " | ".join(cells) + " |")
    return lines


def _picture(
    found: Sequence[Mapping[str, Any]], rows: Sequence[Sign], event: Flags,
    family: NDArray[Any], bound: float, floor: float,
) -> Figure:  # fmt: skip
    figure = Figure(figsize=(10.0, 4.2), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
    kinds = {
        "sees X": ("o", "tab:blue", lambda f: not f.memory and f.forcing == FAMILIES[0].forcing),
        "sees the last push, too": ("s", "tab:red", lambda f: f.memory),
        "trained in another climate": ("^", "tab:green", lambda f: f.forcing
                                       != FAMILIES[0].forcing),
    }  # fmt: skip
    for label, (marker, colour, of) in kinds.items():
        names = {f.name for f in FAMILIES if of(f)}
        some = [f for f in found if f["family"] in names]
        error = [1.0 - f["before"]["r2"] for f in some]
        far = [min(f["after"]["distance"], 1e2) for f in some]
        left.loglog(error, far, marker, color=colour, label=label, alpha=0.7, ms=6, mew=0)
    left.axhline(bound, color="0.3", lw=1.0)
    left.text(0.5, bound * 1.04, "went wrong", ha="center", va="bottom", color="0.3", fontsize=8,
              transform=left.get_yaxis_transform())  # fmt: skip
    left.axhline(floor, color="0.7", lw=1.0, ls=":")
    left.text(0.99, floor * 1.04, "two halves of the truth", ha="right", va="bottom", color="0.5",
              fontsize=8, transform=left.get_yaxis_transform())  # fmt: skip
    left.set(xlabel="offline error, 1 − R²", ylabel="distance of the climate (W1 of X)",
             title="Good offline, and then?")  # fmt: skip
    left.legend(frameon=False, fontsize=8, loc="upper right")
    scored = [r for r in rows if r.score is not None][::-1]
    for y, row in enumerate(scored):
        assert row.score is not None
        a, low, high = alarms.auc(row.score, event, group=family)
        colour = {"offline": "tab:blue", "ten days": "tab:orange"}.get(row.where, "0.2")
        right.plot([low, high], [y, y], color=colour, lw=2.0)
        right.plot(a, y, "o", color=colour)
    right.axvline(0.5, color="0.7", lw=1.0, ls=":")
    right.set_yticks(range(len(scored)), [r.name for r in scored], fontsize=8)
    right.set(xlim=(0.0, 1.02), xlabel="AUC, 95 % over families (0.5: a coin)",
              title="What foretold it")  # fmt: skip
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def write_page(
    path: Path, found: Sequence[Mapping[str, Any]], references: Mapping[str, Mapping[str, float]],
    command: str,
) -> None:  # fmt: skip
    """Writes the page and its picture."""
    bound = TWICE * references["polynomial"]["distance"]
    distance = np.array([f["after"]["distance"] for f in found])
    event = distance > bound
    family = np.array([f["family"] for f in found])
    rows = signs(found, event, family)
    r2 = [f["before"]["r2"] for f in found]
    rho, low, high = rank_correlation(r2, -np.minimum(distance, 1e3))
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = path.with_suffix(".png")
    _picture(found, rows, event, family, bound, references["noise"]["distance"]).savefig(
        picture, dpi=110
    )
    made = versions()
    ended = sum(bool(f["after"]["failed"]) for f in found)
    right = [f for f, e in zip(found, event, strict=True) if not e]
    best = max((f for f, e in zip(found, event, strict=True) if e), key=lambda f: f["before"]["r2"],
               default=None)  # fmt: skip
    polynomial, none, half = (references[n]["distance"] for n in ("polynomial", "none", "noise"))
    parts = [p for f in found for p in (f["before"], f["after"])] + list(references.values())
    commit = " and ".join(sorted({p.get("commit", "unknown") for p in parts}))
    about = (
        f"Made by `{command}`, version {made['isthmus']}, commit {commit}. {len(found)} networks "
        f"of {len(set(family))} families stand for the fast scale of the two-scale model of Lorenz "
        "(1996; K = 8, J = 32, F = 20, b = c = 10). Each is asked offline, on members of the truth "
        "that it was not trained on, then drives the slow scale for ten days (40 members and their "
        "twins), and then for 250 days (40 members, other starts), through the driver and as a "
        "bundle like any other. The signs are from the first two, the event from the last."
    )
    happened = (
        "**The event**: the Wasserstein distance of X from the truth's, after 25 days, is more "
        f"than twice that of the polynomial that the network would replace ({polynomial:.3f}; no "
        f"closure at all {none:.2f}, two halves of the truth {half:.3f}), or the run ended. It "
        f"happened to **{int(event.sum())} of {len(found)}**; the runs of {ended} ended."
    )
    chosen = (
        "**Thresholds** are the best for the networks of all *other* families (largest hit rate "
        "less false-alarm rate), so that no network is scored with a threshold that it or a "
        "network of the same recipe helped to choose. Intervals of rates are Wilson's and take "
        "networks for independent, which seeds of a family are not; those of AUC draw whole "
        "families with replacement, and are the ones to believe."
    )
    order = (
        f"Offline R2 against the climate online: rank correlation {rho:.2f} ({low:.2f} to "
        f"{high:.2f}), where 1 would be the same order."
    )
    if best is not None:
        order += (
            f" The best R2 of those that went wrong is {best['before']['r2']:.3f} "
            f"({best['family']}, seed {best['seed']}); it is above that of "
            f"{sum(f['before']['r2'] < best['before']['r2'] for f in right)} of the {len(right)} "
            "that did not."
        )
    taken = (
        "Medians of families that see the push of the last step. Offline, R2 when an input is "
        "permuted among samples; online, distance of the climate of ten days as trained and with "
        "an input held at its mean."
    )
    text = [
        "# What foretells that a network goes wrong", "", about, "", happened, "", chosen, "",
        *_table(rows, event, family), "", order, "",
        f"![Offline error against distance online, and AUC of each sign]({picture.name})", "",
        "## The signs", "", *SIGNS, "",
        "## The networks", "", *_families(found, event), "",
        "## Inputs taken away", "", taken, "", *_ablations(found),
    ]  # fmt: skip
    path.write_text("\n".join(text) + "\n", encoding="utf-8")
