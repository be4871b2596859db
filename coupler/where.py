"""Where a process of a case runs: in the run's own process, in a worker, at a server's socket."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from coupler.interface.units import Unit

MODELS = ("surface",)
"""Models beside the atmosphere that run inline or over mpi."""
BESIDE = (*MODELS, "land", "rivers", "ocean", "ice")
"""All models beside the atmosphere, in the order of their steps: the sea steps before the ice that
covers it, so that the cover that shared the fluxes out is still the one that it receives."""
Seconds = Annotated[float, Unit("s"), Field(gt=0)]


class Place(BaseModel):
    """Where a process runs: ``where: {gravity_wave: worker}`` or with details."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    at: str = "worker"
    """``inline``; ``worker``: another process, started by the run; ``mpi``: one of the last ranks
    of the job, which does nothing else; or the path of a server's socket, see ``isthmus serve``."""
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    """Threads of the worker."""
    deadline: Seconds = 60.0
    """Longest time that the run waits for an answer."""
    spin: Annotated[float, Unit("s"), Field(ge=0, le=10)] = 50e-6
    """How long either side looks for the other before it sleeps."""
    on_failure: Literal["stop", "reference", "hold"] = "stop"
    """What takes the place of an answer that is late, missing or not finite: nothing (``stop``),
    the process's ``reference`` scheme, or the last answer (``hold``)."""

    @model_validator(mode="before")
    @classmethod
    def _one_word(cls, data: Any) -> Any:
        return {"at": data} if isinstance(data, str) else data
