"""Steps of a dry Held-Suarez run of the public `dinosaur` package, on demand.

Runs in an environment of its own, started by ``benchmarks/peers.py``: one process for one set-up.
It prints a line of JSON when it is ready (versions, seconds of start and compilation), and for each
number of steps read from standard input the seconds that they took.

The set-up is that of the package's own Held-Suarez notebook: isothermal start, the notebook's
exponential filter; ``leapfrog`` with a Robert-Asselin filter of 0.05 is its fastest scheme,
``sil3`` its default.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from importlib import metadata
from typing import Any

STARTED = time.perf_counter()


def build(truncation: int, layers: int, minutes: float, scheme: str) -> tuple[Any, Any]:
    """A function of one step, and the state it starts from."""
    import dinosaur
    import jax

    sigma, time_integration = dinosaur.sigma_coordinates, dinosaur.time_integration
    equations = dinosaur.primitive_equations
    units = dinosaur.scales.units
    grid = getattr(dinosaur.spherical_harmonic.Grid, f"T{truncation}")()
    coords = dinosaur.coordinate_systems.CoordinateSystem(
        horizontal=grid, vertical=sigma.SigmaCoordinates.equidistant(layers)
    )
    specs = equations.PrimitiveEquationsSpecs.from_si()
    initial, extra = dinosaur.primitive_equations_states.isothermal_rest_atmosphere(
        coords=coords, physics_specs=specs, p0=1e5 * units.pascal, p1=5e3 * units.pascal
    )
    state = initial(jax.random.PRNGKey(0))
    reference = extra[dinosaur.xarray_utils.REF_TEMP_KEY]
    orography = equations.truncated_modal_orography(extra[dinosaur.xarray_utils.OROGRAPHY], coords)
    step = float(specs.nondimensionalize(minutes * units.minute))
    forcing = dinosaur.held_suarez.HeldSuarezForcing(
        coords=coords, physics_specs=specs, reference_temperature=reference, p0=1e5 * units.pascal
    )
    flow = equations.PrimitiveEquations(reference, orography, coords, specs)
    equation = time_integration.compose_equations([flow, forcing])
    shape = {"tau": 0.0087504, "order": 1.5, "cutoff": 0.8}
    if scheme == "sil3":
        damp = time_integration.exponential_step_filter(grid, step, **shape)
        advance = time_integration.step_with_filters(
            time_integration.imex_rk_sil3(equation, step), [damp]
        )
        return advance, state
    leapfrog = getattr(dinosaur, "leapfrog_utils", time_integration)
    filters = [
        leapfrog.exponential_leapfrog_step_filter(grid, step, **shape),
        leapfrog.robert_asselin_leapfrog_filter(0.05),
    ]
    advance = time_integration.step_with_filters(
        leapfrog.semi_implicit_leapfrog(equation, step), filters
    )
    first = jax.jit(time_integration.imex_rk_sil3(equation, step))(state)
    return advance, (state, first)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--truncation", type=int, required=True)
    parser.add_argument("--layers", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--scheme", choices=("leapfrog", "sil3"), required=True)
    parser.add_argument("--block", type=int, default=6, help="steps of one compiled call")
    options = parser.parse_args()
    import dinosaur
    import jax

    advance, carry = build(options.truncation, options.layers, options.minutes, options.scheme)
    compiled_from = time.perf_counter()
    repeated = dinosaur.time_integration.repeated(advance, options.block)
    run = jax.jit(repeated).lower(carry).compile()
    compile_seconds = time.perf_counter() - compiled_from
    carry = jax.block_until_ready(run(carry))
    names = ("dinosaur", "jax", "jaxlib")
    ready = {
        "versions": {name: metadata.version(name) for name in names},
        "start": time.perf_counter() - STARTED,
        "compile": compile_seconds,
    }
    print(json.dumps(ready), flush=True)
    for line in sys.stdin:
        blocks = max(1, int(line) // options.block)
        begin = time.perf_counter()
        for _ in range(blocks):
            carry = run(carry)
        jax.block_until_ready(carry)
        seconds = (time.perf_counter() - begin) / (blocks * options.block)
        print(json.dumps({"step": seconds}), flush=True)
    finite = all(bool(jax.numpy.isfinite(x).all()) for x in jax.tree.leaves(carry))
    if not finite:
        sys.exit("the peer's state is no longer finite: shorten --minutes")


if __name__ == "__main__":
    main()
