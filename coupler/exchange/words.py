"""Words in shared memory that two processes read and write without a lock.

All are 64 bits wide and used with sequential consistency: who publishes writes its word and then
looks whether the other sleeps; who goes to sleep says so and then looks at the word once more. In a
total order of these accesses one of the two sees the other, so that no wake-up is lost. Python's
own memory accesses promise no such order, hence compiled atomics.

Addresses are plain integers; who calls keeps the memory alive.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic

from coupler.interface.jit import njit

intrinsic: Any = _intrinsic


def _pointer(builder: Any, address: Any) -> Any:
    return builder.inttoptr(address, ir.IntType(64).as_pointer())


@intrinsic  # type: ignore[untyped-decorator]
def _load(_: Any, __: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(builder, args[0]), "seq_cst", 8)

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _store(_: Any, __: Any, ___: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], _pointer(builder, args[0]), "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


@njit()
def load(address: int) -> int:
    """The word at an address."""
    return int(_load(address))


@njit()
def store(address: int, value: int) -> None:
    """Writes the word at an address."""
    _store(address, value)


@njit()
def publish(address: int, value: int, sleeps: int) -> int:
    """Writes a word; returns whether the other side said at `sleeps` that it sleeps."""
    _store(address, value)
    return int(_load(sleeps))


@njit(nogil=True)
def spin(address: int, wanted: int, turns: int) -> bool:
    """Looks at a word up to `turns` times until it is at least `wanted`."""
    for _ in range(turns):  # noqa: SIM110 (numba compiles this loop, not a generator)
        if _load(address) >= wanted:
            return True
    return False


@njit(nogil=True)
def spin_all(first: int, stride: int, gone: int, members: int, wanted: int, turns: int) -> bool:
    """The same for the words of all members that are not gone (word at `gone` from their own)."""
    for _ in range(turns):
        ready = 0
        for i in range(members):
            address = first + i * stride
            if _load(address) < wanted and _load(address + gone) == 0:
                break
            ready += 1
        if ready == members:
            return True
    return False
