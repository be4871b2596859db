"""Beginning a run with the state in which another one ended.

The case's key ``branch`` names the folder of a run; its newest restart becomes the first state of a
new run, whose clock begins at the new case's start. Parameters may differ, what is remembered may
not: both cases have the same models, grids and schemes with memory.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from coupler.config import Case
from coupler.driver.state import Memory
from coupler.interface.errors import ConfigError, CouplerError, Problem
from coupler.interface.parallel import Parallel
from coupler.output.folder import RunFolder
from coupler.output.restart import Restart, newest_good
from coupler.parallel.agreement import from_first

if TYPE_CHECKING:
    from coupler.driver.assemble import Assembly


def read_branch(case: Case, base: Path, parallel: Parallel) -> Restart | None:
    """The restart that a case branches from; rank 0 has its arrays. None without a branch.

    Raises:
        ConfigError: when the folder has no good restart.
    """
    if case.branch is None:
        return None
    folder, read = RunFolder(base / case.branch), []

    def on_first() -> Restart:
        try:
            read.append(newest_good(folder.restart))
        except CouplerError as error:
            raise ConfigError.of(
                "nothing to branch from",
                f"branch={case.branch}",
                expected="the folder of a run with a restart",
                found=error.problems[0].what if folder.path.is_dir() else "no such folder",
                remedy="run that case first",
            ) from error
        return replace(read[0], arrays={})

    told = from_first(parallel, on_first)
    return read[0] if read else told


def begin_from(memory: Memory, restart: Restart, parallel: Parallel) -> None:
    """Gives the model what `restart` holds, at step 0.

    Raises:
        ConfigError: when the other run remembers other things, naming each.
    """

    def fits() -> list[str]:
        return memory.misfits(restart)

    wrong = from_first(parallel, fits)
    if wrong:
        raise ConfigError(
            *(
                Problem(
                    what="not the state of a run to branch from",
                    name=name,
                    found=f"{found} in {restart.path}",
                    remedy="branch from a run with the same models, grids and schemes",
                )
                for name, found in (text.split(": ", 1) for text in wrong)
            )
        )
    memory.put(restart, step=0)


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
