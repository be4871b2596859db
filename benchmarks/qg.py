"""Steps of two-layer turbulence: ours, its closures, and pyqg where it can be installed.

    python benchmarks/qg.py [--pyqg FOLDER] [--bundle FOLDER]

At 64 points, both layers, float32, 16 members in a batch, one thread: time of a step for a member,
and steps per second. At 256 points, one member: a step, and ten years of 360 days; ``--bundle``:
the cost of that network per simulated day as part of the truth's. All are timed in turn, round
after round; times and ratios are medians over the rounds. ``--pyqg`` makes an environment in
FOLDER, installs pyqg there and times its step at 64 points (it computes in float64); it says so
where pyqg cannot be installed.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import venv
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from emulators.bundle import load_bundle
from physics.dynamics.plane_waves import PlaneWaves
from physics.dynamics.qg_closures import FITTED, read_coefficients, smagorinsky, symbolic
from physics.dynamics.qg_core import EDDY, QGCore
from physics.dynamics.qg_fused import Batch

ROUNDS = 9
BUILD = ["numpy<2", "cython<3", "setuptools<70", "setuptools-scm", "wheel", "pyfftw", "scipy"]
BUILD += ["xarray<2025"]
"""What pyqg 0.7.2 builds with: its kernel does not compile with Cython 3."""
THEIRS = """
import logging, time
logging.disable(logging.CRITICAL)
import pyqg
model = pyqg.QGModel(nx=64, dt=3600.0, log_level=0, ntd=1)
for _ in range(50):
    model._step_forward()
took = []
for _ in range(ROUNDS):
    began = time.perf_counter()
    for _ in range(200):
        model._step_forward()
    took.append((time.perf_counter() - began) / 200)
print(pyqg.__version__, sorted(took)[ROUNDS // 2])
""".replace("ROUNDS", str(ROUNDS))


def in_turn(calls: Mapping[str, tuple[Callable[[], object], int]]) -> dict[str, np.ndarray]:
    """Mean time of a call [s] by name, in each round; each is called so many times a round."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for n in range(ROUNDS + 1):
        for name, (call, count) in calls.items():
            began = time.perf_counter()
            for _ in range(count):
                call()
            if n:  # the first round warms up
                found[name].append((time.perf_counter() - began) / count)
    return {name: np.array(times) for name, times in found.items()}


def batch(nx: int, members: int) -> Batch:
    """Turbulence with all waves, as after a spin-up."""
    core = QGCore(EDDY.at(nx), dtype=torch.float32)
    draw = np.random.default_rng(0).standard_normal((2, members, nx, nx))
    found = Batch(core, members)
    smooth = (1.0 + (core.wavenumber / core.wavenumber[0, 6]) ** 2) ** -1
    state = core.begin(torch.tensor(1e-5 * draw))
    found.begin(core.begin(core.to_grid(state.qh * smooth)))
    for _ in range(20):
        found.step()
    return found


def pyqg_step(folder: Path) -> tuple[str, float] | str:
    """Version and time of a step of pyqg [s], or why there is none."""
    python = folder / "bin" / "python"
    if not python.is_file():
        venv.create(folder, with_pip=True)
    done = subprocess.run([python, "-c", "import pyqg"], capture_output=True)
    if done.returncode:
        for packages in (BUILD, ["pyqg==0.7.2"]):
            got = subprocess.run(
                [python, "-m", "pip", "install", "--quiet", "--no-build-isolation", *packages],
                capture_output=True,
                text=True,
            )
            if got.returncode:
                return " ".join(got.stderr.split())[-300:]
    done2 = subprocess.run([python, "-c", THEIRS], capture_output=True, text=True)
    if done2.returncode:
        return " ".join(done2.stderr.split())[-300:]
    version, step = done2.stdout.split()[-2:]
    return version, float(step)


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pyqg", type=Path, metavar="FOLDER")
    parser.add_argument("--bundle", type=Path, metavar="FOLDER")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.inference_mode():
        many, one = batch(64, 16), batch(256, 1)
        waves, planes = torch.fft.rfft2(torch.randn(96, 64, 64)), torch.randn(64, 64, 64)
        plane = PlaneWaves(64, 64, EDDY.at(64).dx, 16, torch.float32)
        grid = torch.zeros(4, 2, 16, 64, 64)
        many.flow(grid)
        u, v, q, psi = (f.contiguous() for f in grid)
        fitted = read_coefficients(FITTED)
        closures: dict[str, tuple[Callable[[], object], float]] = {
            "smagorinsky": (lambda: smagorinsky(plane, psi, 0.15), 1.0),
            "symbolic": (lambda: symbolic(plane, q, u, v, fitted), 1.0),
        }
        if args.bundle:
            bundle = load_bundle(args.bundle)
            flat = {"qgpv": q.reshape(2, -1)}
            rarely = (bundle.spec.interval or 3600.0) / 3600.0
            closures[bundle.spec.name] = (lambda: bundle.network(flat), rarely)
        calls: dict[str, tuple[Callable[[], object], int]] = {
            "many": (many.step, 40),
            "back": (lambda: torch.fft.irfft2(waves), 40),
            "forth": (lambda: torch.fft.rfft2(planes), 40),
            "truth": (one.step, 40),
        }
        took = in_turn(calls | {name: (call, 10) for name, (call, _) in closures.items()})
    own, truth = float(np.median(took["many"])) / 16, float(np.median(took["truth"]))
    ffts = float(np.median(took["back"] + took["forth"])) / 16
    years = truth * 10 * 360 * 24 / 60
    print(f"64 points, 16 members: {1e3 * own:.3f} ms a step and member, {1 / own:.0f} a second")
    print(f"  of it FFTs, six back and four forth: {1e3 * ffts:.3f} ms")
    print(f"256 points: {1e3 * truth:.2f} ms a step; ten years in {years:.1f} min")
    for name, (_, rarely) in closures.items():
        shares = 100.0 * took[name] / 16 / rarely / took["truth"]
        print(
            f"{name}: {1e3 * float(np.median(took[name])) / 16:.3f} ms a call and member, every "
            f"{rarely:g} steps: {float(np.median(shares)):.1f} % of the truth per simulated day "
            f"({shares.min():.1f} to {shares.max():.1f})"
        )
    if args.pyqg:
        theirs = pyqg_step(args.pyqg)
        if isinstance(theirs, str):
            print(f"pyqg could not be measured: {theirs}")
        else:
            version, step = theirs
            print(
                f"pyqg {version}: {1e3 * step:.3f} ms a step; ours {step / own:.1f} times as many"
            )


if __name__ == "__main__":
    main()
