"""Tables of the page: what each sign foretold, families, linear analyses, inputs taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from foretelling.networks import FAMILIES
from numpy.typing import NDArray
from scipy.stats import rankdata

from coupler.compare.statistics import alarms

WHERE = {
    "offline error": "offline",
    "spurious input": "offline",
    "linear response": "linear",
    "growth of a step": "linear",
    "growth along the truth": "linear",
    "novelty": "ten days",
    "twins": "ten days",
    "early warning": "ten days",
    "ten days' climate": "ten days",
}
"""What a sign takes: held-out samples, derivatives on them, a run of ten days."""
F64 = NDArray[np.float64]
Flags = NDArray[np.bool_]
Found = Sequence[Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Events:
    """What happened to each network."""

    twice: Flags
    """The event of the table: a climate twice as far as the polynomial's, or an end."""
    four: Flags
    """The same with four times."""
    ended: Flags
    kind: NDArray[Any]
    family: NDArray[Any]

    @property
    def where_ended(self) -> Flags:
        """Networks of the kinds in which a run ended."""
        return np.asarray(np.isin(self.kind, np.unique(self.kind[self.ended])))


@dataclass(frozen=True, kw_only=True, eq=False)
class Sign:
    """One row of the table."""

    name: str
    where: str
    alarm: Flags
    score: F64 | None
    """None for a verdict that is only yes or no."""


def scores(found: Found) -> dict[str, F64]:
    """Of all signs."""
    names = [n for n in WHERE if n in found[0]["before"]["scores"]]
    return {n: np.array([f["before"]["scores"][n] for f in found], float) for n in names}


def signs(found: Found, event: Flags, kind: NDArray[Any]) -> list[Sign]:
    """Every indicator alone, and what they say together."""
    score = scores(found)
    names = list(score)
    alone = {n: alarms.learned_elsewhere(s, event, kind) for n, s in score.items()}
    rows = [Sign(name=n, where=WHERE[n], alarm=alone[n], score=score[n]) for n in names]
    before = [n for n in names if WHERE[n] != "ten days"]
    short = [n for n in names if n != "ten days' climate"]
    for what, some in (("before any run", before), ("all but ten days' climate", short),
                       ("all", names)):  # fmt: skip
        ranks = np.mean([rankdata(score[n]) for n in some], axis=0)
        count = np.sum([alone[n] for n in some], axis=0)
        rows.append(Sign(name=f"{what}: mean rank", where="together", score=ranks,
                         alarm=alarms.learned_elsewhere(ranks, event, kind)))  # fmt: skip
        rows.append(Sign(name=f"{what}: any alarm", where="together", score=None,
                         alarm=count >= 1))  # fmt: skip
    return rows


def _share(k: int, n: int, interval: tuple[float, float]) -> str:
    return f"{k} of {n} ({interval[0]:.2f} to {interval[1]:.2f})" if n else "none"


def _counts(alarm: Flags, event: Flags) -> str:
    c = alarms.contingency(alarm, event)
    return (
        f"{c.hits} | {c.misses} | {c.false_alarms} | {c.rejections} | "
        f"{_share(c.hits, c.hits + c.misses, c.hit_interval)} | "
        f"{_share(c.false_alarms, c.false_alarms + c.rejections, c.false_alarm_interval)} |"
    )


_COUNTS = "hits | misses | false alarms | correct rejections | hit rate | false-alarm rate |"


def main_table(rows: Sequence[Sign], events: Events) -> list[str]:
    """Hits and false alarms."""
    lines = [f"| sign | takes | AUC | AUC, four times | {_COUNTS}", "|---" * 10 + "|"]
    for row in rows:
        areas = ["", ""]
        if row.score is not None:
            a, low, high = alarms.auc(row.score, events.twice, group=events.kind)
            harsher = alarms.auc(row.score, events.four)[0]
            areas = [
                f"{a:.2f} ({low:.2f} to {high:.2f})",
                f"{harsher:.2f}" if np.isfinite(harsher) else "none",
            ]
        counts = _counts(row.alarm, events.twice)
        lines.append(f"| {row.name} | {row.where} | {' | '.join(areas)} | {counts}")
    return lines


def ended_table(rows: Sequence[Sign], events: Events) -> list[str]:
    """The same of ends, among networks of the kinds in which a run ended."""
    lines = [f"| sign | takes | AUC | {_COUNTS}", "|---" * 9 + "|"]
    among = events.where_ended
    ended, family = events.ended[among], events.family[among]
    for row in rows:
        if row.score is None:
            continue
        score = row.score[among]
        a, low, high = alarms.auc(score, ended, group=family)
        alarm = alarms.learned_elsewhere(score, ended, family)
        lines.append(
            f"| {row.name} | {row.where} | {a:.2f} ({low:.2f} to {high:.2f}) | "
            + _counts(alarm, ended)
        )
    return lines


def _far(value: float) -> str:
    return f"{value:.2f}" if np.isfinite(value) else "ended"


def families(found: Found, events: Events) -> list[str]:
    """What the networks are and what became of them."""
    lines = [
        "| family | kind | | offline R2 | distance of the climate | went wrong | ended |",
        "|---|---|---|---|---|---|---|",
    ]
    for family in FAMILIES:
        own = [i for i, f in enumerate(found) if f["family"] == family.name]
        if not own:
            continue
        r2 = [found[i]["before"]["r2"] for i in own]
        far = [found[i]["after"]["distance"] for i in own]
        n = len(own)
        span = _far(min(far)) if min(far) == max(far) else f"{_far(min(far))} to {_far(max(far))}"
        lines.append(
            f"| {family.name} | {family.kind} | {family.about} | {min(r2):.3f} to {max(r2):.3f} | "
            f"{span} | {int(events.twice[own].sum())} of {n} | "
            f"{int(events.ended[own].sum())} of {n} |"
        )
    return lines


def analyses(found: Found, events: Events) -> list[str]:
    """The linear numbers by what happened, beside the polynomial's."""
    usual = found[0]["before"]["linear"]["usual"]
    names = ("response", "step", "along")
    lines = [
        "| networks | | linear response | growth of a step | growth along the truth |",
        "|---|---|---|---|---|",
        "| the polynomial | 1 | " + " | ".join(f"{usual[n]:.2f}" for n in names) + " |",
    ]
    memory = np.array([f["kind"] == "memory" for f in found])
    for who, kind in (("see X", ~memory), ("see the last push, too", memory)):
        for what, some in (
            ("did not go wrong", ~events.twice),
            ("went wrong, did not end", events.twice & ~events.ended),
            ("ended", events.ended),
        ):
            own = [f["before"]["linear"]["own"] for f, k in zip(found, kind & some, strict=True)
                   if k]  # fmt: skip
            if not own:
                continue
            cells = []
            for n in names:
                values = [b[n] for b in own]
                cells.append(f"{np.median(values):.2f} ({min(values):.2f} to {max(values):.2f})")
            lines.append(f"| {who}; {what} | {len(own)} | " + " | ".join(cells) + " |")
    return lines


def ablations(found: Found) -> list[str]:
    """Inputs permuted offline and held online."""
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
            return _far(float(np.median([of(b) for b in some])))

        cells = [median(lambda b: b["r2"])]
        cells += [median(lambda b, n=n: b["r2"] - b["effects"][n][1]) for n in ("x_slow", "x_push")]
        cells.append(median(lambda b: b["scores"]["ten days' climate"]))
        cells += [median(lambda b, n=n: b["held"][n]) for n in ("x_slow", "x_push")]
        lines.append(f"| {family.name} | " + " | ".join(cells) + " |")
    return lines
