"""Calling a Fortran routine on the coupler's arrays.

An array whose precision and order are the routine's own is passed as it lies in memory. One that
differs goes through a buffer, in one pass each way. The first call is watched: every array lies
between guard zones as large as itself, so that a routine compiled for other kinds or extents than
its declaration says is found out before it writes over the model's memory.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from coupler.interface.component import Array, Arrays, Host, Now
from coupler.interface.errors import ContractError, Problem, UnstableError
from fortran_bridge.declaration import Argument, Declaration
from fortran_bridge.packing import each_column, pointer_routine, to_columns, to_levels

_GUARD = np.uint8(0xA5)
_KINDS = {"real64": "float64", "real32": "float32", "int32": "int32", "int64": "int64"}
_C_TYPES: dict[str, Any] = {
    "float64": ctypes.c_double,
    "float32": ctypes.c_float,
    "int32": ctypes.c_int32,
    "int64": ctypes.c_int64,
}


def kind_problems(declaration: Declaration, dtype: np.dtype[Any], name: str) -> list[Problem]:
    """Arrays that the routine wants in another precision than the case has."""
    return [
        Problem(
            what="a Fortran array of another kind than the case's",
            name=f"{a.name} of {name}",
            expected=f"kind: {'real64' if dtype == 'float64' else 'real32'}, as the case's "
            f"precision {dtype}",
            found=f"kind: {a.kind or declaration.kind}",
            remedy=f"set precision: {_dtype(a, declaration, dtype)} in the case, or kinds: convert "
            "beside the scheme to have it converted at every call",
        )
        for a in declaration.arguments
        if a.is_array and _dtype(a, declaration, dtype) != dtype
    ]


def _dtype(a: Argument, declaration: Declaration, host: np.dtype[Any]) -> np.dtype[Any]:
    integer = a.role in ("size", "status") or a.time == "step"
    kind = a.kind or ("int32" if integer else declaration.kind)
    return host if kind == "host" else np.dtype(_KINDS[kind])


@dataclass(kw_only=True)
class _Place:
    """Where one array argument lies while the routine runs."""

    argument: Argument
    array: Array | None
    """The coupler's array; None for an input that is missing."""
    buffer: Array | None = None
    """What the routine gets instead of it."""
    zone: Array | None = None
    """The bytes around the buffer, and the buffer, at the first call."""
    turned: bool = False
    """Whether the buffer is [column, level]."""

    @property
    def passed(self) -> Array | None:
        return self.array if self.buffer is None else self.buffer

    def load(self) -> None:
        """Brings the buffer up to date; an output arrives zeroed."""
        if self.buffer is None or self.array is None:
            return
        if self.argument.role != "input":
            self.buffer.fill(0)
        elif self.turned:
            to_columns(self.array, self.buffer)
        else:
            np.copyto(self.buffer, self.array, casting="same_kind")

    def store(self) -> None:
        """Brings what the routine returned to the coupler's array."""
        if self.buffer is None or self.array is None or self.argument.role == "input":
            return
        if self.turned:
            to_levels(self.buffer, self.array)
        else:
            np.copyto(self.array, self.buffer, casting="same_kind")

    def pointer(self) -> int | None:
        """Address of column 0, None for an absent argument."""
        return None if self.passed is None else self.passed.ctypes.data

    def stride(self) -> int:
        """Bytes from one column to the next."""
        a = self.passed
        return 0 if a is None else a.strides[0]

    def broken(self) -> str:
        """What the first call did to it that it must not, or nothing."""
        if self.zone is None or self.buffer is None:
            return ""
        size = self.buffer.nbytes
        edges = (self.zone[:size], self.zone[-size:])
        if any((edge != _GUARD).any() for edge in edges):
            return "written outside of its bounds"
        if self.argument.role == "input":
            before = np.empty_like(self.buffer)
            copy = _Place(argument=self.argument, array=self.array, buffer=before)
            copy.turned = self.turned
            copy.load()
            if before.tobytes() != self.buffer.tobytes():
                return "changed, although it is an input"
        return ""


class Call:
    """One routine with its arguments, ready to be called again and again."""

    def __init__(
        self,
        name: str,
        address: int,
        declaration: Declaration,
        host: Host,
        parameters: Mapping[str, float],
    ) -> None:
        """Prepares everything that does not change.

        Args:
            name: ``process=routine``, for messages.
            address: of the routine.
            declaration: of its arguments.
            host: the column model.
            parameters: values of the arguments with that role.
        """
        self.name, self.address = name, address
        self.declaration, self.host = declaration, host
        self._by_column = declaration.call == "column"
        self._watched = False
        self._bound: tuple[Arrays, ...] = ()
        self._places: list[_Place] = []
        self._numbers = {
            a.name: np.full(
                host.ncol if self._by_column and a.role == "status" else 1,
                self._constant(a, parameters),
                _dtype(a, declaration, host.dtype),
            )
            for a in declaration.arguments
            if not a.is_array
        }
        self._status = next((a for a in declaration.arguments if a.role == "status"), None)

    def _constant(self, a: Argument, parameters: Mapping[str, float]) -> float:
        host = self.host
        sizes = {
            "level": host.nlev,
            "interface": host.nlev + 1,
            "column": 1 if self._by_column else host.ncol,
            "latitude": host.grid.lat.size,
            "longitude": host.grid.lon.size,
        }
        if a.size is not None:
            return sizes[a.size]
        if a.constant is not None:
            return float(getattr(host.planet, a.constant))
        return parameters[a.name] if a.parameter is not None else 0.0

    def __call__(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        """Calls the routine once, or once for every column.

        Raises:
            ContractError: when the first call shows that the declaration is wrong.
            UnstableError: when the routine sets its status.
        """
        watched = not self._watched
        given = (x, tend, flux, diag)
        if not self._is_bound(given):
            self._bind(given, watched=watched)
        for a in self.declaration.arguments:
            if a.time is not None:
                self._numbers[a.name][0] = getattr(now, a.time)
        for place in self._places:
            place.load()
        if self._status is not None:
            self._numbers[self._status.name].fill(0)
        self._go()
        if watched:
            self._judge()
        for place in self._places:
            place.store()
        self._complain()

    def _is_bound(self, given: tuple[Arrays, ...]) -> bool:
        return bool(self._bound) and all(
            old is new for old, new in zip(self._bound, given, strict=True)
        )

    def _go(self) -> None:
        if self._by_column:
            self._loop(self._routine, self._base, self._stride, self.host.ncol)
            return
        for i, number in self._by_value:
            self._arguments[i] = number.item()
        self._routine(*self._arguments)

    def _bind(self, given: tuple[Arrays, ...], *, watched: bool) -> None:
        """Takes the addresses of the arrays; they stay for as long as the same ones are given."""
        kept = {p.argument.name: p for p in self._places if p.zone is None}
        self._places = [
            self._place(a, given, kept.get(a.name), watched=watched)
            for a in self.declaration.arguments
            if a.is_array
        ]
        # The binding holds the arrays: their memory must outlive it.
        self._bound, self._watched = given, True
        places = {p.argument.name: p for p in self._places}
        arguments = self.declaration.arguments
        if self._by_column:
            n = len(arguments)
            self._base, self._stride = np.zeros(n, np.uint64), np.zeros(n, np.uint64)
            for i, a in enumerate(arguments):
                if a.name in places:
                    self._base[i] = places[a.name].pointer() or 0
                    self._stride[i] = places[a.name].stride()
                else:
                    number = self._numbers[a.name]
                    self._base[i] = number.ctypes.data
                    self._stride[i] = number.itemsize if number.size > 1 else 0
            self._routine: Any = pointer_routine(self.address, n)
            self._loop = each_column(n)
            return
        types: list[Any] = []
        self._arguments: list[Any] = []
        self._by_value: list[tuple[int, Array]] = []
        for i, a in enumerate(arguments):
            types.append(ctypes.c_void_p)
            if a.name in places:
                self._arguments.append(places[a.name].pointer())
            elif a.by == "reference":
                self._arguments.append(self._numbers[a.name].ctypes.data)
            else:
                number = self._numbers[a.name]
                types[i] = _C_TYPES[number.dtype.name]
                self._arguments.append(number.item())
                self._by_value.append((i, number))
        self._routine = ctypes.CFUNCTYPE(None, *types)(self.address)

    def _place(
        self, a: Argument, given: tuple[Arrays, ...], old: _Place | None, *, watched: bool
    ) -> _Place:
        x, tend, flux, diag = given
        group = {"input": x, "tendency": tend, "flux": flux, "diagnostic": diag}[a.role]
        name = str(getattr(a, a.role))
        if a.optional and name not in group:
            return _Place(argument=a, array=None)
        array: Array = getattr(group, name)
        dtype = _dtype(a, self.declaration, self.host.dtype)
        layout = a.layout or self.declaration.layout
        turned = array.ndim == 2 and (self._by_column or layout == "level_column")
        direct = array.dtype == dtype and not turned and array.flags.c_contiguous
        place = _Place(argument=a, array=array, turned=turned)
        if direct and not watched:
            return place
        shape = array.shape[::-1] if turned else array.shape
        if watched:
            size = int(np.prod(shape)) * dtype.itemsize
            place.zone = np.full(3 * size, _GUARD)
            place.buffer = place.zone[size : 2 * size].view(dtype).reshape(shape)
        elif old is not None and old.buffer is not None:
            place.buffer = old.buffer
        else:
            place.buffer = np.zeros(shape, dtype)
        return place

    def _judge(self) -> None:
        """What the first call did outside of what was declared."""
        broken = [(p.argument, said) for p in self._places if (said := p.broken())]
        self._bound = ()  # from now on without guard zones
        if broken:
            raise ContractError(
                *(
                    Problem(
                        what="a Fortran routine that is not what its declaration says",
                        name=f"{a.name} of {self.name}",
                        expected="kind, extents and intent as declared",
                        found=said,
                        remedy="compare the order, kinds and extents of the routine's arguments "
                        "with the declaration",
                    )
                    for a, said in broken
                )
            )

    def _complain(self) -> None:
        if self._status is None:
            return
        values = self._numbers[self._status.name]
        bad = np.flatnonzero(values)
        if not bad.size:
            return
        status = int(values[bad[0]])
        known = self._status.status
        meaning = known.get(status, "") if isinstance(known, dict) else ""
        where = f" in column {bad[0]}" if self._by_column else ""
        raise UnstableError.of(
            "a Fortran routine could not go on",
            self.name,
            expected=f"{self._status.name} = 0",
            found=f"{self._status.name} = {status}" + (f" ({meaning})" if meaning else "") + where,
            remedy="look at the process before this one, or swap this scheme",
        )
