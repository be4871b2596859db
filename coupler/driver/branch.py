"""Beginning a run with the state in which another one ended.

The case's key ``branch`` names the folder of a run; its newest restart becomes the first state of a
new run, whose clock begins at the new case's start. Parameters may differ, what is remembered may
not: both cases have the same models, grids and schemes with memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coupler.driver.state import Memory
from coupler.interface.errors import CouplerError, Problem
from coupler.interface.parallel import Parallel
from coupler.output.folder import RunFolder
from coupler.output.restart import Restart, newest_good
from coupler.parallel.agreement import from_first

if TYPE_CHECKING:
    from coupler.driver.assemble import Assembly


def read_branch(
    branch: object, base: Path, parallel: Parallel
) -> tuple[Restart | None, list[Problem]]:
    """The restart that a case branches from, of which rank 0 has the arrays; what is wrong with it.

    Args:
        branch: what the case says; nothing is read where that is no text.
        base: folder that it is relative to.
        parallel: the ranks that run it.
    """
    if not isinstance(branch, str):
        return None, []
    folder, read = RunFolder(base / branch), []

    def on_first() -> tuple[Restart | None, list[Problem]]:
        try:
            read.append(newest_good(folder.restart))
        except CouplerError as error:
            found = error.problems[0].what if folder.path.is_dir() else "no such folder"
            nothing = Problem(
                what="nothing to branch from",
                name=f"branch={branch}",
                expected="the folder of a run with a restart",
                found=found,
                remedy="run that case first",
            )
            return None, [nothing]
        return replace(read[0], arrays={}), []

    told, problems = from_first(parallel, on_first)
    return (read[0] if read else told), problems


def begin_from(memory: Memory, restart: Restart, parallel: Parallel) -> list[Problem]:
    """Gives the model what `restart` holds, at step 0.

    Returns:
        What the other run remembers otherwise; if anything, the model stays as it is.
    """

    def fits() -> list[str]:
        return memory.misfits(restart)

    wrong = from_first(parallel, fits)
    if not wrong:
        memory.put(restart, step=0)
    return [
        Problem(
            what="not the state of a run to branch from",
            name=name,
            found=f"{found} in {restart.path}",
            remedy="branch from a run with the same models, grids and schemes",
        )
        for name, found in (text.split(": ", 1) for text in wrong)
    ]


def halves(model: Assembly, restart: Restart) -> list[Problem]:
    """Models that the other run left between two of their steps.

    A branch counts its steps anew: what was collected for such a step reaches the model as part of
    a mean over a longer time than its step, and some of it is lost.
    """
    return [
        Problem(
            what="a run that was left between two steps of a model: part of what it had collected "
            "is lost",
            name=f"branch: {name}",
            expected="a restart at the end of a step of every model",
            found=f"{restart.path.name}, {coupling.collected:g} s into one",
            remedy="go on with the other run for a while (--resume), and branch from there",
        )
        for name, coupling in model.couplings.items()
        if coupling.collected > 0.0
    ]
