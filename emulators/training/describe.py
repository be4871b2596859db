"""From training columns to the description of a bundle: normalization, domain, bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import Tensor

from coupler.interface.errors import ConfigError, Problem
from coupler.interface.fields import FIELDS
from emulators.bundle import same_levels
from emulators.normalization import extremes, flux_scale, statistics, wind_scale
from emulators.schema import BundleSpec, Channel, Levels, Output, Provenance
from emulators.training.recipe import Recipe

EMPTY = 0.01
"""An interface with less than this part of the largest flux carries none: 1e-4 of the variance.
Below the source a scheme leaves traces (the reaction to reflected waves); learning a number that
small from its neighbours costs more momentum than leaving it out."""
WINDS = ("ua", "va")
LOGARITHMIC = ("pfull", "phalf", "ps")


def describe(
    recipe: Recipe, columns: Mapping[str, Tensor], levels: Levels, provenance: Provenance
) -> BundleSpec:
    """The bundle's description, with statistics of `columns` (training columns only)."""
    winds = [columns[n] for n in recipe.inputs if n in WINDS]
    inputs = []
    for name in recipe.inputs:
        values = columns[name] if columns[name].dim() == 2 else columns[name][None]
        low, high = extremes(values)
        if name in WINDS:
            transform, mean, scale = "none", [0.0] * values.shape[0], wind_scale(winds)
        elif name == "lat":  # enters as an angle; its domain is the globe
            transform, mean, scale, low, high = "none", [0.0], [1.0], [-90.0], [90.0]
        else:
            transform = "log" if name in LOGARITHMIC else "none"
            mean, scale = statistics(values, "log" if transform == "log" else "none")
        inputs.append(
            Channel.model_validate(
                {
                    "name": name,
                    "units": FIELDS[name].units,
                    "dims": FIELDS[name].dims[0],
                    "transform": transform,
                    "mean": mean,
                    "scale": scale,
                    "minimum": low,
                    "maximum": high,
                }
            )
        )
    truths = [columns[n] for n in recipe.outputs]
    scale = flux_scale(truths, EMPTY)
    scale[-1] = 0.0  # nothing passes the ground, whatever was recorded there
    bound = recipe.bound_factor * max(float(t.abs().max()) for t in truths)
    outputs = []
    for (name, of), truth in zip(recipe.outputs.items(), truths, strict=True):
        low, high = extremes(truth)
        outputs.append(
            Output(
                name=name,
                of=of,
                units=FIELDS[name].units,
                scale=scale,
                minimum=low,
                maximum=high,
                bound=max(bound, 1e-30),
                top=recipe.top,
                dump_above=recipe.dump_above,
            )
        )
    return BundleSpec(
        process=recipe.process,
        name=recipe.name,
        architecture=recipe.architecture,
        levels=levels,
        inputs=inputs,
        outputs=outputs,
        guard=recipe.guard,
        interval=recipe.interval,
        provenance=provenance,
    )


def continued(before: BundleSpec, now: BundleSpec) -> BundleSpec:
    """The description of a bundle that goes on from `before`: its normalization, a wider domain.

    Args:
        before: of the bundle to go on from.
        now: what the new recordings alone would give.

    Raises:
        ConfigError: when architecture, channels or levels differ.
    """
    problems = []
    for what, one, other in (
        ("architecture", before.architecture, now.architecture),
        ("inputs", [c.name for c in before.inputs], [c.name for c in now.inputs]),
        ("outputs", [c.name for c in before.outputs], [c.name for c in now.outputs]),
    ):
        if one != other:
            problems.append(
                Problem(
                    what=f"other {what} than those of the bundle to go on from",
                    name=now.name,
                    expected=str(one),
                    found=str(other),
                    remedy="leave `start` out to train from scratch",
                )
            )
    if not same_levels(before.levels.hybrid(), now.levels.hybrid()):
        problems.append(
            Problem(
                what="other levels than those of the bundle to go on from",
                name=now.name,
                expected=before.levels.name,
                found=now.levels.name,
            )
        )
    if problems:
        raise ConfigError(*problems)
    inputs = [_widened(a, b) for a, b in zip(before.inputs, now.inputs, strict=True)]
    outputs = [
        _widened(a, b).model_copy(update={"bound": max(a.bound, b.bound)})
        for a, b in zip(before.outputs, now.outputs, strict=True)
    ]
    return now.model_copy(update={"inputs": inputs, "outputs": outputs, "levels": before.levels})


C = TypeVar("C", Channel, Output)


def _widened(before: C, now: C) -> C:
    low = [min(a, b) for a, b in zip(before.minimum, now.minimum, strict=True)]
    high = [max(a, b) for a, b in zip(before.maximum, now.maximum, strict=True)]
    return before.model_copy(update={"minimum": low, "maximum": high})
