"""What correctors of a run did, and how much that is of what the schemes do.

    share of the flow       mean effort over the mean rain, or outgoing longwave, that it acts on
    share of the tendency   root mean square effort of output intervals over the size of what the
                            schemes do, the mean over area and time of int |sum dx/dt| c dp/g
                            (x: temperature with c = cp, or humidity with c = 1)
    largest in a step       over the same

An effort that grows is an early sign of trouble, and one that is large in single steps does not
show in a mean. The corrector of dry air tells a difference of pressure, which is no tendency and
has no share.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
import yaml
from numpy.typing import NDArray

from coupler.compare.answers import layer_thickness
from coupler.compare.metrics import Vector
from coupler.compare.opening import opened
from coupler.compare.statistics.distances import area_weights
from coupler.interface.constants import SECONDS_PER_DAY, Planet
from coupler.interface.fields import tendency_field

F64 = NDArray[np.float64]
_WATER = ("mean precipitation", SECONDS_PER_DAY)
_FLOWS = {
    "corrector_energy": ("mean outgoing longwave", 1.0),
    "corrector_moisture": _WATER,
    "corrector_moisture_of_air": _WATER,
    "corrector_clamp_hus": _WATER,
}
"""The flow that an effort is a share of, and the effort's unit in that of the flow."""
_ACTS_ON = {"corrector_energy": "ta", **dict.fromkeys(list(_FLOWS)[1:], "hus")}


def efforts(
    folder: Path, record: Mapping[str, Any], vectors: Mapping[str, Vector]
) -> dict[str, tuple[float, str]]:
    """Value and unit by quantity, for one run; empty for one without correctors.

    Args:
        folder: of the run.
        record: its ``run.json``.
        vectors: its metrics, of which flows are taken.
    """
    series = _series(folder / "budgets.nc")
    if not series:
        return {}
    told = record.get("budgets") or {}
    sizes = tendency_sizes(folder) if series.keys() & _ACTS_ON.keys() else {}
    found: dict[str, tuple[float, str]] = {}
    for key, (values, unit) in series.items():
        label, effort = key.replace("_", " "), float(told.get(key, values[-1]))
        found[label] = (effort, unit)
        flow, scale = _FLOWS.get(key, ("", 1.0))
        known = vectors.get(flow)
        if known is not None and known.values[0] > 0.0:
            share = scale * effort / float(known.values[0])
            found[f"{label}, share of {flow.removeprefix('mean ')}"] = (share, "1")
        size = sizes.get(_ACTS_ON.get(key, ""), 0.0)
        if size > 0.0:
            rms = float(np.sqrt(np.mean(values**2)))
            found[f"{label}, rms, share of the tendency"] = (rms / size, "1")
        if f"{key}_largest" in told:
            largest = float(told[f"{key}_largest"])
            found[f"{label}, largest in a step"] = (largest, unit)
            if size > 0.0:
                found[f"{label}, largest in a step, share of the tendency"] = (largest / size, "1")
    return found


def _series(path: Path) -> dict[str, tuple[F64, str]]:
    if not path.is_file():
        return {}
    with opened(path) as data:
        return {
            str(n): (np.asarray(x.values, np.float64), str(x.attrs.get("units", "")))
            for n, x in data.data_vars.items()
            if str(n).startswith("corrector_") and x.dims == ("time",) and x.size
        }


def tendency_sizes(folder: Path) -> dict[str, float]:
    """Size of the sum of all schemes' tendencies in the output of a run.

    Of ``ta`` [W m-2] and ``hus`` [kg m-2 s-1], where any scheme's is among the output.
    """
    case = yaml.safe_load((folder / "case.resolved.yaml").read_text())
    planet = Planet(**(case.get("planet") or {}))
    processes = [str(p) for p in case.get("physics") or {}]
    found = {}
    with opened(folder / "atmosphere.nc") as data:
        for of, capacity in (("ta", planet.cp_dry), ("hus", 1.0)):
            names = [tendency_field(p, of).name for p in processes]
            present = [n for n in names if n in data and data[n].ndim == 4]
            if present:
                found[of] = _size(data, present, capacity / planet.gravity)
    return found


def _size(data: xr.Dataset, names: list[str], factor: float) -> float:
    total = sum((data[n].values for n in names), start=np.zeros(1, np.float32))
    column = (np.abs(total) * layer_thickness(data)).sum(axis=1, dtype=np.float64)
    bounds = data.get("lat_bnds")
    area = area_weights(data["lat"].values, None if bounds is None else bounds.values)
    return factor * float(column.mean(axis=(0, 2)) @ area)
