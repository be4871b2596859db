"""Dry waves in the public `dinosaur` core, from the model's own start.

    python tools/gates/peer_wave.py [--wave 2014] [--truncation 42] [--minutes 10]

writes the start on the peer's grid and levels, runs the peer in the environment that
``benchmarks/peers.py`` installs, and prints the lowest surface pressure and where it is, and the
extremes of vorticity and temperature in the lowest layer, by day. Its Runge-Kutta scheme (SIL3) in
float32, equal sigma layers: 26 and its exponential filter for the wave of Ullrich et al. (2014),
20 and the test's diffusion for that of Polvani et al. (2004). The former are the numbers of
`gates.wave_2014`, the latter of `gates.life_cycle`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WAVES = {"2014": 26, "2004": 20}
"""Layers by wave."""
CONSTANTS = {"radius": 6.37122e6, "rotation_rate": 7.292e-5, "gravity": 9.80616,
             "gas_constant_dry": 287.0, "cp_dry": 1004.5}  # fmt: skip
DIFFUSION = 7.0e5
"""Of the test of 2004 [m2 s-1]."""
PEER = Path.home() / ".cache" / "isthmus" / "peers" / "bin" / "python"


def lowest(ps: Any, lat: Any, lon: Any) -> tuple[float, float, float]:
    """Lowest pressure, its longitude and latitude [degrees], by parabolas through grid points.

    Args:
        ps: [lat, lon].
        lat, lon: [degrees]; longitudes equally spaced around the globe.
    """
    import numpy as np

    j, i = np.unravel_index(ps.argmin(), ps.shape)

    def vertex(values: Any) -> tuple[float, float]:
        """Offset of the lowest point from the middle one, and how much lower it is."""
        below, middle, above = (float(v) for v in values)
        curve = below - 2.0 * middle + above
        offset = 0.5 * (below - above) / curve if curve > 0.0 else 0.0
        return offset, -0.125 * (below - above) ** 2 / curve if curve > 0.0 else 0.0

    east, deeper = vertex([ps[j, (i + d) % lon.size] for d in (-1, 0, 1)])
    north, more = vertex(ps[j - 1 : j + 2, i])
    step = 360.0 / lon.size
    place = lat[j] + north * 0.5 * (lat[j + 1] - lat[j - 1])
    return float(ps[j, i] + deeper + more), float((lon[i] + east * step) % 360.0), float(place)


def write_start(path: Path, wave: str, truncation: int) -> None:
    """Wind and temperature on Gaussian latitudes and at the middle of the layers."""
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
    import numpy as np

    from coupler.interface.constants import Planet
    from coupler.interface.grid import HybridLevels
    from physics.dynamics.core import quadratic_grid
    from physics.dynamics.initial import Frame
    from physics.dynamics.initial_polvani import life_cycle
    from physics.dynamics.initial_ullrich import baroclinic_wave

    class Middle(Frame):
        """The peer has its levels in the middle of the layers."""

        def full_pressure(self, ps: Any) -> Any:
            half = self.a[:, None, None] + self.b[:, None, None] * ps
            return 0.5 * (half[1:] + half[:-1])

    nlat, nlon = quadratic_grid(truncation)
    levels = HybridLevels.sigma(WAVES[wave])
    frame = Middle(
        sin_lat=np.polynomial.legendre.leggauss(nlat)[0], nlon=nlon, a=levels.a, b=levels.b,
        planet=Planet(**CONSTANTS), surface_geopotential=np.zeros((nlat, nlon)),
    )  # fmt: skip
    state = {"2014": baroclinic_wave, "2004": life_cycle}[wave](frame)
    with path.open("wb") as file:
        np.savez(file, ua=state.ua, va=state.va, ta=state.ta, ps=state.ps)


def run_peer(path: Path, wave: str, truncation: int, minutes: float, days: int) -> None:
    """In the peer's environment: steps and prints."""
    import dinosaur
    import jax
    import numpy as np

    units, layers = dinosaur.scales.units, WAVES[wave]
    specs = dinosaur.primitive_equations.PrimitiveEquationsSpecs.from_si(
        radius_si=CONSTANTS["radius"] * units.m,
        angular_velocity_si=CONSTANTS["rotation_rate"] / units.s,
        gravity_acceleration_si=CONSTANTS["gravity"] * units.m / units.s**2,
        ideal_gas_constant_si=CONSTANTS["gas_constant_dry"] * units.J / units.kg / units.degK,
        kappa_si=CONSTANTS["gas_constant_dry"] / CONSTANTS["cp_dry"] * units.dimensionless,
        scale=dinosaur.scales.Scale(
            CONSTANTS["radius"] * units.m, 1.0 / (2.0 * CONSTANTS["rotation_rate"]) * units.s,
            1.0 * units.kg, 1.0 * units.degK,
        ),
    )  # fmt: skip
    grid = getattr(dinosaur.spherical_harmonic.Grid, f"T{truncation}")()
    coords = dinosaur.coordinate_systems.CoordinateSystem(
        horizontal=grid, vertical=dinosaur.sigma_coordinates.SigmaCoordinates.equidistant(layers)
    )
    start = np.load(path)
    wind = units.m / units.s
    u, v = (specs.nondimensionalize(start[n].transpose(0, 2, 1) * wind) for n in ("ua", "va"))
    reference = np.full(layers, 300.0)
    ta = start["ta"].transpose(0, 2, 1) - reference[:, None, None]
    log_ps = np.log(specs.nondimensionalize(start["ps"].T[None] * units.pascal))
    curl, div = dinosaur.spherical_harmonic.uv_nodal_to_vor_div_modal(grid, u, v)
    state = dinosaur.primitive_equations.State(
        vorticity=curl, divergence=div, temperature_variation=grid.to_modal(ta),
        log_surface_pressure=grid.to_modal(log_ps),
    )  # fmt: skip
    equations = dinosaur.primitive_equations.PrimitiveEquations(
        reference, np.zeros(grid.modal_shape), coords, specs
    )
    stepping = dinosaur.time_integration
    dt = float(specs.nondimensionalize(minutes * units.minute))
    if wave == "2004":
        diffusion = specs.nondimensionalize(DIFFUSION * units.m**2 / units.s)
        factor = np.exp(dt * diffusion * grid.laplacian_eigenvalues)

        def damp(_: Any, state: Any) -> Any:
            """The diffusion of the test, which leaves surface pressure alone."""
            names = ("vorticity", "divergence", "temperature_variation")
            return state.replace(**{n: getattr(state, n) * factor for n in names})

    else:
        damp = stepping.exponential_step_filter(grid, dt, tau=0.0087504, order=1.5, cutoff=0.8)
    advance = stepping.step_with_filters(stepping.imex_rk_sil3(equations, dt), [damp])
    day = jax.jit(stepping.repeated(advance, round(1440.0 / minutes)))
    lat = np.degrees(np.arcsin(grid.nodal_axes[1]))
    lon = np.degrees(grid.nodal_axes[0])
    for n in range(1, days + 1):
        state = day(state)
        ps = np.exp(np.asarray(grid.to_nodal(state.log_surface_pressure))[0].T)
        ps = np.asarray(specs.dimensionalize(ps, units.hPa).magnitude)
        curl = np.asarray(grid.to_nodal(state.vorticity))[-1] * 2e5 * CONSTANTS["rotation_rate"]
        warm = np.asarray(grid.to_nodal(state.temperature_variation))[-1] + reference[-1]
        print(
            n, "{:.2f} hPa at {:.2f}E {:.2f}N".format(*lowest(ps, lat, lon)),
            f"vorticity {curl.min():.3f} to {curl.max():.3f} 1e-5/s",
            f"temperature {warm.min():.2f} to {warm.max():.2f} K", flush=True,
        )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--wave", choices=sorted(WAVES), default="2014")
    parser.add_argument("--truncation", type=int, default=42)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--days", type=int, default=10)
    parser.add_argument("--start", type=Path, help="(in the peer's environment)")
    options = parser.parse_args()
    if options.start:
        run_peer(options.start, options.wave, options.truncation, options.minutes, options.days)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "start.npz"
        write_start(path, options.wave, options.truncation)
        command = [str(PEER), __file__, "--start", str(path)]
        for name in ("wave", "truncation", "minutes", "days"):
            command += [f"--{name}", str(getattr(options, name))]
        subprocess.run(command, check=True)


if __name__ == "__main__":
    main()
