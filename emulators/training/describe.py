"""From training columns to the description of a bundle: normalization, domain, bounds."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from coupler.interface.fields import FIELDS
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
