"""The q-flux of a run whose sea followed a climatology: heat that currents must have brought.

    isthmus run cases/slab_earth_t21.yaml --set ocean.sea=prescribed --out runs/fixed
    python tools/qflux.py runs/fixed qflux.nc
    isthmus run cases/slab_earth_t21.yaml --set boundary.qflux="{file: qflux.nc, variable: qflux}"

The run's ``ocean.nc`` holds ``hfcorr`` [W m-2], the flux with which the slab would have followed
its climatology (``Q = rho c h dT/dt - F``, `physics.surface.slab_ocean`). Its mean over each month
of the year, of all years but the first ones (``--skip``), is the climatology that the slab takes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cftime
import netCDF4
import numpy as np

from coupler.interface.errors import DataError
from coupler.interface.files import appearing


def monthly(path: Path, skip: float = 0.0) -> tuple[np.ndarray, dict[str, np.ndarray], str]:
    """Means of ``hfcorr`` by month [12, lat, lon], the coordinates, and the calendar.

    Args:
        path: ``ocean.nc`` of a run.
        skip: days at its beginning that are left out.

    Raises:
        DataError: for a file without it, or a month without a record.
    """
    with netCDF4.Dataset(path) as file:
        if "hfcorr" not in file.variables:
            raise DataError.of(
                "no heat of currents",
                str(path),
                expected="hfcorr in the ocean.nc of a run with ocean: slab",
                found=", ".join(file.variables),
            )
        times, values = file["time"], np.asarray(file["hfcorr"][:], np.float64)
        dates = cftime.num2date(times[:], times.units, times.calendar)
        days = np.asarray(times[:], np.float64)
        bounds = np.asarray(file[times.bounds][:], np.float64)
        where = {name: np.asarray(file[name][:]) for name in ("lat", "lon")}
        calendar = str(times.calendar)
    length = np.where(days >= skip, bounds[:, 1] - bounds[:, 0], 0.0)
    months = np.array([d.month - 1 for d in dates])
    out = np.zeros((12, *values.shape[1:]))
    for month in range(12):
        weight = np.where(months == month, length, 0.0)
        if weight.sum() == 0.0:
            raise DataError.of(
                "a month without a record",
                str(path),
                expected="records in all twelve months of the year",
                found=f"none in month {month + 1}",
                remedy="let the run with prescribed sea go on for at least a year after --skip",
            )
        out[month] = np.tensordot(weight / weight.sum(), values, 1)
    return out, where, calendar


def write(path: Path, q: np.ndarray, where: dict[str, np.ndarray], calendar: str) -> None:
    """The climatology as a netCDF file."""
    with appearing(path) as beside, netCDF4.Dataset(beside, "w") as file:
        file.title = "Convergence of heat by currents, monthly climatology"
        units = {"lat": "degrees_north", "lon": "degrees_east"}
        for name, values in where.items():
            file.createDimension(name, values.size)
            variable = file.createVariable(name, "f8", (name,))
            variable.units = units[name]
            variable[:] = values
        file.createDimension("time", 12)
        time = file.createVariable("time", "f8", ("time",))
        time.setncatts({"units": "days since 2001-01-01", "calendar": calendar})
        time[:] = [cftime.date2num(cftime.datetime(2001, m, 15, calendar=calendar), time.units)
                   for m in range(1, 13)]  # fmt: skip
        variable = file.createVariable("qflux", "f4", ("time", "lat", "lon"), zlib=True)
        variable.setncatts({"units": "W m-2", "long_name": "Convergence of Ocean Heat Transport"})
        variable[:] = q


def sea_mean(path: Path, q: np.ndarray) -> float:
    """Annual mean per area of sea, which ``hfcorr`` is, of the cells of ``ocean.nc`` [W m-2]."""
    with netCDF4.Dataset(path) as file:
        share = np.asarray(file["sftof"][:], np.float64)
        weights = np.asarray(file["areacello"][:], np.float64) * share.reshape(-1, *q.shape[1:])[-1]
    return float(np.average(q.mean(axis=0), weights=weights))


def main() -> None:
    """Reads a run, writes the climatology, says its mean."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("run", type=Path, help="folder of a run with prescribed sea")
    parser.add_argument("out", type=Path)
    parser.add_argument("--skip", type=float, default=0.0, help="days to leave out [day]")
    args = parser.parse_args()
    q, where, calendar = monthly(args.run / "ocean.nc", args.skip)
    write(args.out, q, where, calendar)
    mean = sea_mean(args.run / "ocean.nc", q)
    print(f"{args.out}: mean over the sea {mean:.2f} W m-2, from {q.min():.0f} to {q.max():.0f}")


if __name__ == "__main__":
    main()
