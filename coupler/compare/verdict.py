"""Who is good, who is bad, and the evidence for it.

Evidence is gathered by functions of `SOURCES`, each of which looks at one kind of finding; a new
kind of evidence from runs is one more function in that list, one from an analysis one more entry of
`coupler.compare.foretold.ANALYSES`. What was known before a run is kept apart from
what the run showed: whether the first foretold the second is the point of a comparison.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from coupler.compare.answers import Answers
from coupler.compare.fates import Fate, absences, failures, survivors
from coupler.compare.numerals import number
from coupler.compare.online import Online
from coupler.compare.statistics.novelty import compare
from coupler.compare.statistics.survival import wilson

Grade = Literal["good", "doubtful", "bad", "open"]
When = Literal["before", "after"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One finding about one candidate."""

    when: When
    what: str
    found: str
    expected: str
    grade: Grade


@dataclass(frozen=True, kw_only=True)
class Facts:
    """All that is known of one candidate."""

    name: str
    offline: Answers | None = None
    shadow: Answers | None = None
    own_states: Answers | None = None
    online: Online | None = None
    ends: tuple[Fate, ...] = ()
    """Of all members that were to run."""
    handed_over: float = float("nan")
    """Share of columns that the guard of an emulator took from it, in the coupled runs."""
    outside: tuple[float, ...] = ()
    """Share of columns outside the training domain, in each coupled run."""
    parting: float = float("nan")
    """Distance from the reference's run of the same start on day 5, over that of its repeats."""
    more: tuple[Evidence, ...] = field(default=())
    """From the analyses of `coupler.compare.foretold`."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What to think of a candidate."""

    name: str
    before: Grade
    after: Grade
    word: str
    """For the head of the page."""
    why: str
    evidence: tuple[Evidence, ...]


def _above(value: float, good: float, doubtful: float) -> Grade:
    """A score that is unknown is no bad one."""
    if math.isnan(value):
        return "open"
    return "good" if value >= good else "doubtful" if value >= doubtful else "bad"


def offline_evidence(facts: Facts) -> list[Evidence]:
    """Skill on given inputs."""
    found = []
    for answers in (facts.offline, facts.shadow):
        if answers is None or not answers.outputs:
            if answers is not None and answers.why:
                found.append(
                    Evidence(
                        when="before",
                        what=f"{answers.where}: no score",
                        found=answers.why,
                        expected="an answer",
                        grade="open",
                    )
                )
            continue
        r2, r, a = (answers.mean(n) for n in ("r2", "r", "amplitude"))
        means = " (of means over an output interval)" if answers.where != "offline" else ""
        found += [
            Evidence(
                when="before",
                what=f"{answers.where} R2",
                found=number(r2),
                expected="above 0.7; below 0 it is worse than no scheme at all" + means,
                grade=_above(r2, 0.7, 0.0),
            ),
            Evidence(
                when="before",
                what=f"{answers.where} correlation",
                found=number(r),
                expected="above 0.8",
                grade=_above(r, 0.8, 0.5),
            ),
            Evidence(
                when="before",
                what=f"{answers.where} amplitude",
                found=f"{number(a)} times the reference's",
                expected="0.8 to 1.25",
                grade=_above(min(a, 1.0 / a) if a > 0.0 else a, 0.8, 0.5),
            ),
        ]
    return found


def domain_evidence(facts: Facts) -> list[Evidence]:
    """Columns that an emulator was not trained for."""
    found = []
    known = facts.offline.outside if facts.offline is not None else float("nan")
    for when, share, what in (
        ("before", known, "columns outside the training domain, offline"),
        ("after", facts.handed_over, "columns taken from it by its guard in the runs"),
    ):
        if math.isfinite(share):
            found.append(
                Evidence(
                    when="before" if when == "before" else "after",
                    what=what,
                    found=f"{100.0 * share:.3g} %",
                    expected="below 1 %",
                    grade="good" if share < 0.01 else "doubtful" if share < 0.2 else "bad",
                )
            )
    return found


def novelty_evidence(facts: Facts) -> list[Evidence]:
    """Whether the coupled runs lead a network to where it was not trained.

    Held against what it counts beside the reference on the same days: a cold start is new to all.
    """
    known = facts.shadow.outside if facts.shadow is not None else float("nan")
    if not facts.outside or not math.isfinite(known):
        return []
    shift = compare([known], [[share] for share in facts.outside])
    interval = f" ({100.0 * shift.low:.3g} to {100.0 * shift.high:.3g})" * (len(facts.outside) > 1)
    much = shift.difference
    grade: Grade = "good" if much < 0.01 else "doubtful" if much < 0.2 else "bad"
    if grade != "good" and not shift.low > 0.0:
        grade = "open"  # too few members to tell
    return [
        Evidence(
            when="after",
            what="columns outside the training domain in its runs, less those in the reference's",
            found=f"{100.0 * much:.3g} %{interval}",
            expected="below 1 %: it stays where it was trained",
            grade=grade,
        )
    ]


def shift_evidence(facts: Facts) -> list[Evidence]:
    """What the candidate's own climate does to its skill."""
    shadow, own = facts.shadow, facts.own_states
    if shadow is None or own is None or not shadow.outputs or not own.outputs:
        return []
    if not math.isfinite(shadow.mean("r2")):  # nothing to lose
        return []
    change = own.mean("r2") - shadow.mean("r2")
    return [
        Evidence(
            when="after",
            what="R2 on its own states less R2 on the reference's",
            found=number(change),
            expected="above -0.1: it does not lead itself away from what it knows",
            grade="good" if change > -0.1 else "doubtful" if change > -0.5 else "bad",
        )
    ]


def survival_evidence(facts: Facts) -> list[Evidence]:
    """Members that reached the end."""
    if not facts.ends:
        return []
    failed, missing = failures(facts.ends), absences(facts.ends)
    alive, ended = survivors(facts.ends)
    low, high = wilson(alive, ended)
    text = f"{alive} of {ended}"
    if missing:
        text += f", {len(missing)} missing ({missing[0]})"
    if failed:
        text += f"; {failed[0]}"
    return [
        Evidence(
            when="after",
            what="members that reached the end",
            found=text,
            expected=f"all (95 % interval of the share: {low:.2f} to {high:.2f})",
            grade="bad" if failed else "open" if missing else "good",
        )
    ]


def climate_evidence(facts: Facts) -> list[Evidence]:
    """Metrics that differ, and by how much more than weather."""
    online = facts.online
    if online is None or not online.scores:
        return []
    if not online.possible:
        return [
            Evidence(
                when="after",
                what="metrics that differ",
                found=f"no claim possible with {online.members} and {online.reference_members} "
                "members",
                expected=f"at least {online.needed} members for {len(online.scores)} metrics",
                grade="open",
            )
        ]
    n, share = online.different, online.different / len(online.scores)
    worst = max(online.scores, key=lambda s: s.over_noise if math.isfinite(s.over_noise) else 0.0)
    certain = [s.similarity for s in online.scores if s.significant]
    least = min((s for s in certain if math.isfinite(s)), default=0.0)
    bad = share > 0.5 or (n > 0 and least < -0.5)
    return [
        Evidence(
            when="after",
            what="metrics that differ (5 % for all together)",
            found=f"{n} of {len(online.scores)}; farthest: {worst.metric}, "
            f"{number(worst.over_noise)} times the noise",
            expected="none",
            grade="good" if n == 0 else "bad" if bad else "doubtful",
        )
    ]


def parting_evidence(facts: Facts) -> list[Evidence]:
    """Error growth from the same start."""
    if not math.isfinite(facts.parting):
        return []
    x = facts.parting
    return [
        Evidence(
            when="after",
            what="distance from the reference's run on day 5, over that of perturbed repeats",
            found=number(x),
            expected="below 1.5",
            grade="good" if x < 1.5 else "doubtful" if x < 4.0 else "bad",
        )
    ]


SOURCES: list[Callable[[Facts], list[Evidence]]] = [
    offline_evidence,
    domain_evidence,
    novelty_evidence,
    survival_evidence,
    climate_evidence,
    parting_evidence,
    shift_evidence,
]
_ORDER: tuple[Grade, ...] = ("bad", "doubtful", "open", "good")
_WORDS: Mapping[Grade, str] = {
    "bad": "bad",
    "doubtful": "differs",
    "good": "not told apart from the reference",
    "open": "too few members to tell",
}


def _worst(evidence: list[Evidence]) -> Grade:
    return min((e.grade for e in evidence), key=_ORDER.index, default="open")


def judge_candidate(facts: Facts) -> Verdict:
    """The verdict on one candidate."""
    evidence = [e for source in SOURCES for e in source(facts)] + list(facts.more)
    before = _worst([e for e in evidence if e.when == "before"])
    after = _worst([e for e in evidence if e.when == "after"])
    ran = any(e.when == "after" for e in evidence)
    if failures(facts.ends):
        word = "blows up"
    elif ran:
        word = _WORDS[after]
    else:
        word = {"bad": "bad", "doubtful": "doubtful", "good": "nothing against it",
                "open": "not judged"}[before]  # fmt: skip
        word += " before any run" if word != "not judged" else ""
    order = sorted(evidence, key=lambda e: _ORDER.index(e.grade))
    against = [e for e in order if e.grade in ("bad", "doubtful")]
    reasons = [
        e
        for when in ("before", "after")
        for of_analysis in (False, True)  # a poor score shall not hide a warning
        for e in [x for x in against if x.when == when and (x in facts.more) == of_analysis][:2]
    ]
    if not reasons:
        reasons = [e for e in order if e.grade == "open"][:1] or order[:2]
    why = "; ".join(f"{e.what}: {e.found}" for e in reasons)
    return Verdict(
        name=facts.name, before=before, after=after, word=word, why=why, evidence=tuple(evidence)
    )
