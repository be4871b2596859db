"""The linear analysis of a study in parts, each of which can have a process of its own.

The modes of the flow alone come first, since those of every scheme begin near to them; then each
scheme can be looked at by itself. All of it is about one run of the reference, and can begin when
that has ended: `ahead` says which parts can.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from coupler.compare.candidates import NONE, REFERENCE, fingerprint
from coupler.compare.jobs import COMPLETE, Job, Run
from coupler.compare.parts import Arrays, Part, keep, kept
from coupler.compare.stability import flow as flows
from coupler.compare.stability.analysed import Analysed, analysed_of, arrays_of
from coupler.compare.stability.columns import Columns, built, columns_of
from coupler.compare.stability.flow import Effort, Flow, Modes
from coupler.compare.stability.response import response
from coupler.compare.stability.waves import coupled, diagram
from coupler.compare.study import Plan
from coupler.interface.errors import CouplerError, DataError


class Ground:
    """What all parts stand on."""

    def __init__(self, run: Run, process: str) -> None:
        """Reads the end of a run.

        Raises:
            DataError: see `columns_of`.
        """
        self.columns: Columns = columns_of(run, process)

    @cached_property
    def flow(self) -> Flow:
        """The flow about the columns.

        Raises:
            DataError: for an atmosphere that has no Jacobian.
        """
        return Flow(self.columns)


def _words_of(run: Run) -> dict[str, Any]:
    words: dict[str, Any] = json.loads(json.dumps(asdict(run.job), default=str))
    return words


def _run_of(words: Mapping[str, Any]) -> Run:
    paths = {of: Path(words[of]) for of in ("case", "folder")}
    lists = {of: tuple(words[of]) for of in ("plugins", "record")}
    return Run(job=Job(**{**words, **paths, **lists}), status=COMPLETE)


def schemes(plan: Plan) -> dict[str, Mapping[str, Any]]:
    """The reference and every candidate that is another scheme, with parameters."""
    others = {c.name: {"scheme": c.scheme} for c in plan.judged if not (c.repeats or c.off)}
    return {REFERENCE: plan.reference, **others}


def part(plan: Plan, source: Run, name: str) -> Part:
    """The part of one scheme, or of the flow alone (`NONE`).

    Args:
        plan: of the study.
        source: the run that all is linear about.
        name: of the scheme.
    """
    content = {
        "process": plan.process,
        "choice": None if name == NONE else dict(schemes(plan)[name]),
        "base": str(plan.settings.case.parent),
        "effort": asdict(flows.EFFORT),
    }
    near = None if name == NONE else part(plan, source, NONE).file
    more = [source.folder.name, near.stem if near else "", _code()]
    digest = fingerprint(content, plan.settings.case.parent, more)
    return Part(
        name=f"linear analysis of {'the flow alone' if name == NONE else name}",
        call=f"{__name__}:answer",
        words={
            **content,
            "name": name,
            "run": _words_of(source),
            "near": str(near) if near else None,
        },
        file=plan.work / "analyses" / f"{digest}.npz",
    )


@cache
def _code() -> str:
    """Hash of the sources of the analysis, which that of the runs leaves out."""
    files = sorted(Path(__file__).parent.glob("*.py"))
    return hashlib.sha256(b"".join(f.read_bytes() for f in files)).hexdigest()


def ahead(plan: Plan, runs: Sequence[Run]) -> list[Part]:
    """Parts that the runs which have ended make possible.

    Args:
        plan: of the study.
        runs: so far.
    """
    source = _source(plan, runs)
    if source is None:
        return []
    alone = part(plan, source, NONE)
    if not alone.file.is_file():
        return [alone]
    return [part(plan, source, name) for name in schemes(plan)]


def _source(plan: Plan, runs: Sequence[Run]) -> Run | None:
    """The first good run of the reference, once all before it have ended."""
    ended = {r.job.member: r for r in runs if r.job.candidate == REFERENCE}
    for member in sorted(j.member for j in plan.jobs if j.candidate == REFERENCE):
        run = ended.get(member)
        if run is None or run.good:
            return run
    return None


def known(of: Part, ground: Ground) -> Analysed:
    """What is kept of a part, or else computed now.

    Raises:
        DataError: of the flow alone, for an atmosphere that has no Jacobian.
    """
    name, arrays = str(of.words["name"]), kept(of.file)
    if arrays is not None:
        return analysed_of(name, arrays, ground.columns)
    own = _computed(of.words, ground)
    if not own.why:
        keep(of, arrays_of(own))
    return own


def answer(words: Mapping[str, Any]) -> Arrays:
    """`known` for another process.

    Raises:
        CouplerError: when there is no answer.
    """
    own = _computed(words, Ground(_run_of(words["run"]), words["process"]))
    if own.why:
        raise DataError.of("no answer", own.name, found=own.why)
    return arrays_of(own)


def _computed(words: Mapping[str, Any], ground: Ground) -> Analysed:
    effort = Effort(**words["effort"])
    name, choice = words["name"], words["choice"]
    if choice is None:
        return Analysed(name=name, modes=ground.flow.modes(None, effort=effort))
    flow = near = None
    with suppress(DataError):
        flow = ground.flow
    if flow is not None:
        alone = kept(Path(words["near"]))
        if alone is None:
            raise DataError.of("no modes of the flow alone to begin near to", name)
        near = analysed_of(NONE, alone, ground.columns).modes
    base = Path(words["base"])
    return examined(name, choice, words["process"], base, ground.columns, flow, near, effort)


def examined(
    name: str,
    choice: Mapping[str, Any],
    process: str,
    base: Path,
    columns: Columns,
    flow: Flow | None,
    near: Modes | None,
    effort: Effort | None = None,
) -> Analysed:
    """Response, waves and modes of one scheme; what cannot be had is said.

    Args:
        name: of the scheme.
        choice: the scheme and its parameters.
        process: that it is of.
        base: folder that file names are relative to.
        columns: about which all is linear.
        flow: about them; None where it has no Jacobian.
        near: modes of the flow alone.
        effort: that the modes are worth.
    """
    found = Analysed(name=name)
    parameters = {k: v for k, v in choice.items() if k != "scheme"}
    try:
        component = built(process, str(choice["scheme"]), base, parameters)
        found.response = response(component, columns)
    except CouplerError as error:
        found.why = str(error.problems[0])
        return found
    if not found.response.blocks:
        found.why = "it does not respond to the state"
        return found
    for column in range(columns.zonal, columns.ncol):
        found.waves[columns.names[column]] = diagram(*coupled(found.response, column))
    if flow is not None:
        found.modes = flow.modes(found.response, near, effort)
    return found
