"""The page: what each sign foretold, what the networks are, a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from foretelling.networks import FAMILIES, HOME
from foretelling.tables import (
    WHERE,
    Events,
    Found,
    Sign,
    ablations,
    analyses,
    ended_table,
    families,
    main_table,
    scores,
    signs,
)
from gates.pictures import plain
from matplotlib.figure import Figure

from coupler.compare.statistics import alarms
from coupler.compare.statistics.significance import rank_correlation
from coupler.driver.info import versions
from coupler.interface.files import write_whole

TWICE, FOUR = 2.0, 4.0
"""A network went wrong when its climate is this many times as far from the truth's as that of the
polynomial that it would replace, or when its run ended."""
SIGNS = (
    "- *offline error*: 1 - R2 of the push on held-out members.",
    "- *spurious input*: effect of permuting an input that the polynomial does not read "
    "([ablation](../../coupler/compare/ablation.py)): here only the push of the last step, which "
    "is a consequence of the answer. It is 0 for all but one kind, which no other can teach.",
    "- *linear response*: largest real part of an eigenvalue of M = d(push)/dX, with the last push "
    "held; mean over 400 held-out states of the truth, less the polynomial's. Derivatives of all "
    "three are by reverse mode ([linear](../../tools/foretelling/linear.py)).",
    "- *growth of a step*: ln|mu|/dt of the leading mode of the coupled one-step Jacobian, whose "
    "state is X and the last push; mean over the same states, less the polynomial's.",
    "- *growth along the truth*: growth of a small difference through 1000 such Jacobians, of one "
    "state of the held-out truth after another, less the polynomial's: twins without a run.",
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
_COLOURS = {"offline": "tab:blue", "linear": "tab:purple", "ten days": "tab:orange"}


def _picture(
    found: Found, rows: Sequence[Sign], events: Events, bound: float, floor: float
) -> Figure:
    figure = Figure(figsize=(10.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1.25, 1.0])
    elsewhere = {f.name for f in FAMILIES if f.forcing != HOME}
    memory = {f.name for f in FAMILIES if f.memory}
    kinds = {
        "sees X": ("o", "tab:blue", {f.name for f in FAMILIES} - elsewhere - memory),
        "sees the last push, too": ("s", "tab:red", memory),
        "trained in another climate": ("^", "tab:green", elsewhere),
    }
    reached = [f["after"]["distance"] for f in found if np.isfinite(f["after"]["distance"])]
    end = 3.0 * max([bound, *reached])
    for label, (marker, colour, names) in kinds.items():
        some = [f for f in found if f["family"] in names]
        error = [1.0 - f["before"]["r2"] for f in some]
        far = [min(f["after"]["distance"], end) for f in some]
        left.loglog(error, far, marker, color=colour, label=label, alpha=0.7, ms=6, mew=0)
    left.axhline(bound, color="0.3", lw=1.0)
    left.text(0.5, bound * 1.04, "went wrong", ha="center", va="bottom", color="0.3", fontsize=8,
              transform=left.get_yaxis_transform())  # fmt: skip
    left.axhline(floor, color="0.7", lw=1.0, ls=":")
    left.text(0.99, floor * 1.04, "two halves of the truth", ha="right", va="bottom", color="0.5",
              fontsize=8, transform=left.get_yaxis_transform())  # fmt: skip
    if events.ended.any():
        left.axhline(end, color="0.3", lw=1.0, ls="--")
        left.text(0.5, end * 0.94, "the run ended", ha="center", va="top", color="0.3", fontsize=8,
                  transform=left.get_yaxis_transform())  # fmt: skip
    left.set(xlabel="offline error, 1 − R²", ylabel="distance of the climate (W1 of X)",
             title="Good offline, and then?")  # fmt: skip
    left.legend(frameon=False, fontsize=8, loc="upper right", bbox_to_anchor=(1.0, 0.9))
    scored = [r for r in rows if r.score is not None][::-1]
    for y, row in enumerate(scored):
        assert row.score is not None
        a, low, high = alarms.auc(row.score, events.twice, group=events.kind)
        colour = _COLOURS.get(row.where, "0.2")
        right.plot([low, high], [y, y], color=colour, lw=2.0)
        right.plot(a, y, "o", color=colour)
        among = events.where_ended
        if among.any():
            ended = alarms.auc(row.score[among], events.ended[among])[0]
            right.plot(ended, y, "x", color=colour, ms=6)
    right.plot([], [], "o-", color="0.2", label="went wrong")
    if events.ended.any():
        right.plot([], [], "x", color="0.2", label="ended, of those with memory")
    right.legend(frameon=False, fontsize=8, loc="lower left")
    right.axvline(0.5, color="0.7", lw=1.0, ls=":")
    right.set_yticks(range(len(scored)), [r.name for r in scored], fontsize=8)
    right.set(xlim=(0.0, 1.02), xlabel="AUC, 95 % over kinds (0.5: a coin)",
              title="What foretold it")  # fmt: skip
    for axis in (left, right):
        axis.spines[["top", "right"]].set_visible(False)
    return figure


def _happened(events: Events, references: Mapping[str, Mapping[str, float]], found: Found) -> str:
    """The first lines: what it is that is foretold."""
    n, ended = len(found), int(events.ended.sum())
    polynomial, none, half = (references[k]["distance"] for k in ("polynomial", "none", "noise"))
    short = np.array([bool(f["before"]["failed"]) for f in found])
    within, other = int((short & events.ended).sum()), int((short & ~events.ended).sum())
    twice = int(events.twice.sum())
    if ended:
        kinds = ", ".join(np.unique(events.kind[events.ended]))
        first = (
            f"**{ended} of {n} runs of 250 days ended** (X no longer finite), all of kind: "
            f"{kinds}; {within} of these also ended within ten days of other starts"
            + (f", as did {other} that went through the 250 days" if other else "")
            + f". The other {twice - ended} of {twice} networks that went wrong have a wrong "
            "climate and did not blow up."
        )
    else:
        first = (
            f"**No run ended (0 of {n})**: what is foretold is a wrong climate and not a blow-up."
        )
    return (
        f"{first} **The event** of the table happened to **{twice} of {n}**: the "
        "Wasserstein distance of X from the truth's, after 25 days, is more than twice that of the "
        f"polynomial that the network would replace ({polynomial:.3f}; no closure at all "
        f"{none:.2f}, two halves of the truth {half:.3f}), or the run ended. More than four times "
        f"as far, or ended: {int(events.four.sum())}."
    )


def _order(found: Found, event: Any, distance: Any) -> str:
    r2 = [f["before"]["r2"] for f in found]
    rho, low, high = rank_correlation(r2, -np.minimum(distance, 1e3))
    order = (
        f"Offline R2 against the climate online: rank correlation {rho:.2f} ({low:.2f} to "
        f"{high:.2f}), where 1 would be the same order."
    )
    right = [f for f, e in zip(found, event, strict=True) if not e]
    wrong = [f for f, e in zip(found, event, strict=True) if e]
    if wrong:
        best = max(wrong, key=lambda f: f["before"]["r2"])
        order += (
            f" The best R2 of those that went wrong is {best['before']['r2']:.3f} "
            f"({best['family']}, seed {best['seed']}); it is above that of "
            f"{sum(f['before']['r2'] < best['before']['r2'] for f in right)} of the {len(right)} "
            "that did not."
        )
    return order


def _either_way(found: Found, events: Events) -> str:
    """Whether it would matter to take differences without their sign."""
    said = []
    for name, score in scores(found).items():
        if WHERE[name] == "linear":
            said.append(f"{alarms.auc(np.abs(score), events.twice)[0]:.2f} ({name})")
    return (
        "The three count more growth than the polynomial's as alarming, as "
        "[`isthmus compare stability`](../stability.md) does. Any difference, more or less, "
        f"would have had an AUC of {', '.join(said)}."
    )


def write_page(
    path: Path, found: Found, references: Mapping[str, Mapping[str, float]], command: str
) -> None:
    """Writes the page and its picture."""
    usual = references["polynomial"]["distance"]
    distance = np.array([f["after"]["distance"] for f in found])
    kind = np.array([f["kind"] for f in found])
    events = Events(
        twice=distance > TWICE * usual,
        four=distance > FOUR * usual,
        ended=np.array([bool(f["after"]["failed"]) for f in found]),
        kind=kind,
        family=np.array([f["family"] for f in found]),
    )
    rows = signs(found, events.twice, kind)
    picture = path.with_suffix(".png")
    shown = _picture(found, rows, events, TWICE * usual, references["noise"]["distance"])
    write_whole(picture, plain(shown))
    within = sum(bool(f["before"]["failed"] and f["after"]["failed"]) for f in found)
    made = versions()
    parts = [p for f in found for p in (f["before"], f["after"])] + list(references.values())
    commit = " and ".join(sorted({str(p.get("commit", "unknown")) for p in parts}))
    names = sorted({f["family"] for f in found})
    about = (
        f"Made by `{command}`, version {made['isthmus']}, commit {commit}. {len(found)} networks "
        f"of {len(names)} families and {len(set(kind))} kinds stand for the fast scale of the "
        "two-scale model of Lorenz (1996; K = 8, J = 32, F = 20, b = c = 10). Each is asked "
        "offline, on members of the truth that it was not trained on, is differentiated on their "
        "states, then drives the slow scale for ten days (40 members and their twins), and then "
        "for 250 days (40 members, other starts), through the driver and as a bundle like any "
        "other. The signs are from the first three, the event from the last. The bundles have no "
        "bound on their tendencies that a run could reach and go on. With one of ten times the "
        "largest tendency of the training data, as this page had it at commit 097926c, none of 30 "
        "runs ended, but X, in the truth within 20, went as far as 159."
    )
    chosen = (
        "**Thresholds** are the best for the networks of all *other kinds* (largest hit rate less "
        "false-alarm rate), so that no network is scored with a threshold that it, a sister of its "
        "family or a family like its own helped to choose. Intervals of rates are Wilson's and "
        "take networks for independent, which those of a kind are not; those of AUC draw whole "
        f"kinds with replacement, and are the ones to believe: of {len(set(kind))} kinds they are "
        "wide. *AUC, four times* is for the harsher event."
    )
    ends = (
        f"Among the {int(events.where_ended.sum())} networks of the kinds in which a run ended: to "
        "tell such a kind from the others is easy and does not count. Thresholds are those of "
        "other *families* here, and whole families are drawn for the interval: there is no other "
        "kind to learn an end from. They are families that are alike, and this table is the more "
        "lenient for it. A run that ends within the ten days is an alarm of all four signs of "
        f"these days; that was so for {within} of the {int(events.ended.sum())}."
    )
    taken = (
        "Medians of families that see the push of the last step. Offline, R2 when an input is "
        "permuted among samples; online, distance of the climate of ten days as trained and with "
        "an input held at its mean."
    )
    modes = (
        "Medians [day-1], smallest and largest in brackets, means over states of the truth. The "
        "twins of the ten days part with the polynomial at "
        f"{found[0]['before']['usual growth'][0]:.2f} day-1."
    )
    after: list[str] = []
    if events.ended.any():
        after = ["## Which ones end", "", ends, "", *ended_table(rows, events), ""]
    text = [
        "# What foretells that a network goes wrong", "",
        _happened(events, references, found), "", about, "", chosen, "",
        *main_table(rows, events), "", _order(found, events.twice, distance), "",
        f"![Offline error against distance online, and AUC of each sign]({picture.name})", "",
        *after,
        "## The signs", "", *SIGNS, "",
        "## Linear analyses", "", modes, "", *analyses(found, events), "",
        _either_way(found, events), "",
        "## The networks", "", *families(found, events), "",
        "## Inputs taken away", "", taken, "", *ablations(found),
    ]  # fmt: skip
    write_whole(path, "\n".join(text) + "\n")
