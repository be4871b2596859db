r"""Linear response of a scheme: the derivative of its rates with respect to the state of a column.

    M_{(a,i),(b,j)} = d (rate of a at level i) / d (b at level j);  a: ua va ta hus, b: and ps

with everything that follows from the state following it (`columns`). Of a network that torch can
differentiate in its inputs it is exact (``autograd``; held against a difference, and not used where
the two disagree); of anything else it is the centred difference [F(x + e) - F(x - e)] / 2e with
steps e of `STEPS`, and `curvature` says how far the scheme is from linear over such a step.

Brenowitz, N. D., T. Beucler, M. Pritchard, C. S. Bretherton (2020), J. Atmos. Sci. 77, 4357-4375,
doi:10.1175/JAS-D-20-0082.1; Kuang, Z. (2010), J. Atmos. Sci. 67, 941-962.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray
from torch import Tensor

from coupler.compare.stability.columns import STATE, UNITS, Columns, Function, reads_of
from coupler.driver.bound import with_top
from coupler.interface.component import Tendency
from coupler.interface.constants import SECONDS_PER_DAY
from coupler.interface.divergence import divergence
from coupler.interface.errors import DataError
from coupler.interface.units import conversion

F64 = NDArray[np.float64]
STEPS = {"ua": 1.0, "va": 1.0, "ta": 0.5, "hus": 0.02, "ps": 100.0}
"""Of differences, in SI units; of humidity a part of what is there, at least of 1e-5."""
_RATES = {"ua": "m s-2", "va": "m s-2", "ta": "K s-1", "hus": "s-1"}
_PER = {"ua": "m-1 s", "va": "m-1 s", "ta": "K-1", "hus": "", "ps": "Pa-1"}
_AGREE = 0.02
"""Largest relative disagreement of a block of autograd with that of differences."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Response:
    """The response of a scheme in each of some columns."""

    method: Literal["autograd", "differences"]
    columns: Columns
    blocks: Mapping[tuple[str, str], F64]
    """By rate and by what it responds to: [SI], shape [column, level, level or 1]."""
    rates: Mapping[str, F64]
    """In the base state [SI s-1], shape [level, column]."""
    curvature: float = float("nan")
    """Root mean square of F(x+e) + F(x-e) - 2 F(x) over that of F(x+e) - F(x-e)."""
    why: str = ""
    """Why there was no autograd."""

    @property
    def outputs(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(a for a, _ in self.blocks))

    def block(self, rate: str, of: str) -> F64:
        """[column, level, level or 1]; zeros where there is no response."""
        k = self.columns.levels.nlev
        empty = np.zeros((self.columns.ncol, k, 1 if of == "ps" else k))
        return self.blocks.get((rate, of), empty)

    def matrix(self, rates: Sequence[str], of: Sequence[str]) -> F64:
        """Blocks side by side, [column, rates x level, of x level]."""
        return np.concatenate(
            [np.concatenate([self.block(a, b) for b in of], axis=2) for a in rates], axis=1
        )

    def growth(self) -> F64:
        """Largest growth rate of the scheme alone in each column [day-1]: the largest real part of
        an eigenvalue of its response to what it changes itself."""
        own = [n for n in STATE if n in self.outputs]
        if not own:
            return np.zeros(self.columns.ncol)
        square = self.matrix(own, own)
        return np.asarray(np.linalg.eigvals(square).real.max(axis=-1) * SECONDS_PER_DAY)

    def signs(self) -> dict[str, float]:
        """Share of cases with the sign that physics wants, by what is wanted; by mass.

        ``drying with humidity``: moister air at a level, and the column loses water.
        ``heating with instability``: warmer air below 850 hPa, and the air above 700 hPa is heated.
        """
        c, found = self.columns, {}
        mass = np.diff(c.fields["phalf"], axis=0).T
        p = c.fields["pfull"].T
        if ("hus", "hus") in self.blocks:
            total = np.einsum("ci,cij->cj", mass, self.blocks["hus", "hus"])
            found["drying with humidity"] = _share(total < 0.0, mass, total != 0.0)
        if ("ta", "ta") in self.blocks and "hus" in self.outputs:
            aloft = np.einsum("ci,cij->cj", mass * (p < 700e2), self.blocks["ta", "ta"])
            found["heating with instability"] = _share(
                aloft > 0.0, mass * (p > 850e2), aloft != 0.0
            )
        return {n: x for n, x in found.items() if np.isfinite(x)}

    def dataset(self) -> xr.Dataset:
        """All of it, with units."""
        data: dict[str, Any] = {}
        for (a, b), block in self.blocks.items():
            dims = ["column", "level", "level_of"]
            values = block
            if b == "ps":
                dims, values = dims[:2], block[..., 0]
            unit = "s-1" if UNITS[a] == UNITS[b] else f"{_RATES[a]} {_PER[b]}".strip()
            about = {"units": unit, "long_name": f"response of the rate of {a} to {b}"}
            data[f"d{a}_d{b}"] = (dims, values, about)
        for of, rate in self.rates.items():
            data[f"rate_{of}"] = (("level", "column"), rate, {"units": _RATES[of]})
        data["growth"] = ("column", self.growth(), {"units": "day-1"})
        fields = self.columns.fields
        for name in ("ua", "va", "ta", "hus"):
            if name in fields:
                data[name] = (("level", "column"), fields[name], {"units": UNITS[name]})
        out = xr.Dataset(data, coords={
            "column": list(self.columns.names),
            "lat": ("column", fields["lat"], {"units": "degrees_north"}),
            "pfull": (("level", "column"), fields["pfull"], {"units": "Pa"}),
        })  # fmt: skip
        out.attrs = {"method": self.method, "curvature": self.curvature, "why": self.why}
        return out


def _share(good: NDArray[np.bool_], weight: F64, counts: NDArray[np.bool_]) -> float:
    w = weight * counts
    return float((w * good).sum() / w.sum()) if w.sum() > 0.0 else float("nan")


def response(component: Tendency, columns: Columns) -> Response:
    """The response of a scheme in all columns.

    Args:
        component: not yet set up; it is now.
        columns: of which it is taken.
    """
    by_steps = differences(component, columns)
    if not hasattr(component, "bundle"):
        return by_steps
    exact = autograd(component, columns)
    if isinstance(exact, str):
        return _because(by_steps, exact)
    wrong = _disagreement(by_steps, exact)
    if not wrong <= _AGREE:
        return _because(by_steps, f"it is not the derivative of the scheme, by {wrong:.2g}")
    return exact


def _because(found: Response, why: str) -> Response:
    return Response(**{**vars(found), "why": f"no autograd: {why}"})


def _disagreement(one: Response, other: Response) -> float:
    """Root mean square difference, block by block and in units of it; the largest."""
    worst = 0.0
    for key, block in one.blocks.items():
        size = float(np.sqrt(np.mean(block**2)))
        if size > 0.0:
            apart = other.blocks.get(key, np.zeros_like(block)) - block
            worst = max(worst, float(np.sqrt(np.mean(apart**2))) / size)
    return worst


def differences(component: Tendency, columns: Columns) -> Response:
    """By centred differences: all levels of one variable in one call."""
    k, n = columns.levels.nlev, columns.ncol
    function = Function(component, columns, 2 * k + 1)
    base = {of: np.repeat(x[..., None, :], 2 * k + 1, axis=-2) for of, x in columns.state().items()}
    blocks: dict[tuple[str, str], F64] = {}
    rates: dict[str, F64] = {}
    bent = steep = 0.0
    at = np.arange(k)
    for of in reads_of(component):
        step = np.full((k, n), STEPS[of])
        if of == "hus":
            step = np.maximum(STEPS[of] * base["hus"][:, 0], 1e-5 * STEPS[of])
        changed = {**base, of: base[of].copy()}
        if of == "ps":
            step = step[:1]
            changed[of][1] += step[0]
            changed[of][2] -= step[0]
            up, down = slice(1, 2), slice(2, 3)
        else:
            changed[of][at, 1 + at] += step
            changed[of][at, 1 + k + at] -= step
            up, down = slice(1, 1 + k), slice(1 + k, 1 + 2 * k)
        for rate, value in function.rates(changed).items():
            plus, minus, here = value[:, up], value[:, down], value[:, :1]
            slope = (plus - minus) / (2.0 * step)
            blocks[rate, of] = np.ascontiguousarray(slope.transpose(2, 0, 1))
            scale = float(np.sqrt(np.mean(here**2))) or 1.0
            bent += float(np.mean((plus + minus - 2.0 * here) ** 2)) / scale**2
            steep += float(np.mean((plus - minus) ** 2)) / scale**2
            rates[rate] = here[:, 0]
    for (rate, of), x in blocks.items():
        if not np.isfinite(x).all():
            raise DataError.of(
                f"a response of {rate} to {of} that is not finite", component.scheme,
                expected="rates for states near those of the run", found="NaN or infinity",
                remedy="look at the scheme with isthmus evaluate, or at its guard",
            )  # fmt: skip
    return Response(
        method="differences",
        columns=columns,
        blocks={key: x for key, x in blocks.items() if x.any()},
        rates=rates,
        curvature=float(np.sqrt(bent / steep)) if steep > 0.0 else float("nan"),
    )


def autograd(component: Tendency, columns: Columns) -> Response | str:
    """By reverse mode through the network of a bundle, or a sentence why that is not possible."""
    bundle: Any = component.bundle  # type: ignore[attr-defined]
    network, spec = bundle.network, bundle.spec
    if columns.levels.nlev != spec.levels.nlev:
        return "its levels are not the host's"
    if not network.differentiable_in_inputs:
        kind = spec.weights.format
        ends = f"inputs of {spec.architecture.name} are prepared without gradients"
        if kind != "safetensors":
            ends = f"its weights are a program of the format {kind}"
        return f"torch cannot differentiate its network in its inputs, {ends}"
    k, n = columns.levels.nlev, columns.ncol
    state = {
        of: torch.from_numpy(x).requires_grad_(bool(x.size)) for of, x in columns.state().items()
    }
    given = {name: torch.from_numpy(x) for name, x in columns.fields.items()}
    full = columns.completed(state, given["orog"])
    inputs = {}
    for port in component.inputs:
        factor, offset = conversion(port.field.units, port.units)
        value = full.get(port.name, given.get(port.name))
        if value is None:
            return f"no {port.name} at hand"
        inputs[port.name] = (value * factor + offset).to(torch.float32)
    fluxes = network({c.name: inputs[c.name] for c in spec.inputs})
    rates: dict[str, Tensor] = {}
    for f in (with_top(f, columns.top) for f in component.fluxes):
        scale = columns.planet.gravity / (columns.planet.cp_dry if f.of == "ta" else 1.0)
        flux = fluxes[f.name].double()
        rate = scale * divergence(flux, full["phalf"], top=f.top, dump_above=f.dump_above)
        rates[f.of] = rates[f.of] + rate if f.of in rates else rate
    if "ta" not in rates and {"ua", "va"} & rates.keys():
        half_dt = 0.5 * columns.now.dt
        work = [(full[of] + half_dt * r) * r for of, r in rates.items() if of in ("ua", "va")]
        rates["ta"] = -sum(work, torch.zeros(())) / columns.planet.cp_dry
    blocks = {(a, b): np.zeros((n, k, 1 if b == "ps" else k)) for a in rates for b in STATE}
    for a, rate in rates.items():
        for i in range(k):  # columns do not see each other: one backward pass gives all of them
            slopes = torch.autograd.grad(
                rate[i].sum(), list(state.values()), retain_graph=True, allow_unused=True
            )
            for b, slope in zip(state, slopes, strict=True):
                if slope is not None:
                    blocks[a, b][:, i] = slope.reshape(-1, n).numpy().T
    return Response(
        method="autograd",
        columns=columns,
        blocks={key: x for key, x in blocks.items() if x.any()},
        rates={a: r.detach().numpy() for a, r in rates.items()},
    )
