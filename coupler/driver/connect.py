"""Connects the models of a run: who shows what to whom, and whether their parts fill the cells."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from coupler.driver.between import Between, same_grid
from coupler.driver.clock import steps_of
from coupler.driver.links import Coupling
from coupler.driver.spent import Spent
from coupler.interface.component import Array, Component, Host, Model
from coupler.interface.errors import ConfigError, DataError, Problem
from coupler.interface.parallel import Rows
from coupler.where import MODELS

PARTS = ("sftof", "sft_land", "sft_snow")
"""Fractions of the surface that have to add up to the whole; ice is a part of ``sftof``."""


def shown_by(
    models: Mapping[str, Model], schemes: Iterable[type[Component]]
) -> dict[str, Sequence[str]]:
    """What the atmosphere gets of each model.

    Of several that share the surface it is what schemes read: the rest is theirs and in files of
    their own.
    """
    read = {*PARTS, *(port.name for cls in schemes for port in getattr(cls, "inputs", ()))}
    return {
        name: [f.name for f in model.provides if name in MODELS or f.name in read]
        for name, model in models.items()
    }


def connect(
    models: Mapping[str, Model],
    atmosphere: Model,
    rows: Rows,
    pool: Mapping[str, Array],
    shown: Mapping[str, Sequence[str]],
    accounts: Mapping[str, str],
    spent: Spent,
) -> dict[str, Coupling]:
    """The couplings of models beside the atmosphere, in the order of their steps.

    Args:
        models: by name, set up.
        atmosphere: the model that they are beside.
        rows: which of its rows are at hand.
        pool: live arrays ``[column]`` of the atmosphere's side.
        shown: what the atmosphere gets of each model.
        accounts: what the time of each model's steps is counted under.
        spent: where.
    """
    _refuse_other_ice(models)
    couplings = {}
    for name, model in models.items():
        links = links_to(model, models)
        others = {link.name for link in links}
        sent = [p.name for p in model.receives if p.name in pool and p.name not in others]
        couplings[name] = Coupling(
            model,
            steps_of(model.dt, atmosphere.dt, name)[0],
            atmosphere.grid,
            rows,
            {n: pool[n] for n in sent},
            {n: pool[n] for n in shown[name]},
            links,
            account=accounts[name],
            spent=spent,
        )
    return couplings


def _refuse_other_ice(models: Mapping[str, Model]) -> None:
    """Open water is what ice leaves of the sea: both change at the same time, cell by cell.

    Raises:
        ConfigError: for a sea and ice that do not.
    """
    sea, ice = models.get("ocean"), models.get("ice")
    if sea is None or ice is None:
        return
    if not same_grid(sea.grid, ice.grid) or sea.dt != ice.dt:
        raise ConfigError.of(
            "sea and ice on different grids or steps",
            "ice",
            expected=f"those of the ocean: {sea.grid}, {sea.dt:g} s",
            found=f"{ice.grid}, {ice.dt:g} s",
            remedy="give ocean and ice the same nlat, nlon and dt",
        )


def differing(models: Mapping[str, Model]) -> list[Problem]:
    """Parameters that two models have of one thing (`Model.alike`), where they are not the same."""
    found = []
    for name, model in models.items():
        for own, theirs in model.alike.items():
            other, _, parameter = theirs.partition(".")
            if other not in models:
                continue
            here, there = getattr(model.p, own), getattr(models[other].p, parameter, None)
            if there is not None and here != there:
                found.append(
                    Problem(
                        what="two numbers for one thing",
                        name=f"{name}.{own}",
                        expected=f"{there:g}, that of {theirs}",
                        found=f"{here:g}",
                        remedy="give both models the same",
                    )
                )
    return found


def links_to(receiver: Model, models: Mapping[str, Model]) -> list[Between]:
    """What a model receives from others than the atmosphere."""
    givers = {f.name: m for m in models.values() if m is not receiver for f in m.provides}
    return [
        Between(port.field, givers[port.name], receiver)
        for port in receiver.receives
        if port.name in givers
    ]


def refuse_gaps(pool: Mapping[str, Array], host: Host) -> None:
    """Refuses types of surface that do not fill their cells, or more than fill them.

    Raises:
        DataError: naming the first cell.
    """
    given = [n for n in PARTS if n in pool]
    if not given:
        return
    total = np.zeros(host.ncol)
    for name in given:
        total += pool[name]
    bad = ~(np.abs(total - 1.0) <= 1e-5)
    if bad.any():
        column = int(np.argmax(bad))
        raise DataError.of(
            "fractions of surface types do not add up",
            " + ".join(given),
            expected="1 in every cell of the atmosphere",
            found=f"{total[column]:.6g} at {host.grid.point(column)}, {int(bad.sum())} cells",
            remedy="give sea and land the same sftlf and the same nlat and nlon",
        )
