"""Words in shared memory that two processes read and write without a lock.

All are 64 bits wide and used with sequential consistency: who publishes writes its word and then
looks whether the other sleeps; who goes to sleep says so and then looks at the word once more. In a
total order of these accesses one of the two sees the other, so that no wake-up is lost. Python's
own memory accesses promise no such order, hence compiled atomics.

Addresses are plain integers; who calls keeps the memory alive.
"""

from __future__ import annotations

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as _intrinsic

from coupler.exchange import protocol as p
from coupler.interface.component import Array
from coupler.interface.jit import njit

# Offsets in a member's block, as constants of the compiled functions.
POSTED, CLIENT_SLEEPS, FLAGS, CALL = p.POSTED, p.CLIENT_SLEEPS, p.FLAGS, p.CALL_AT
DONE, STATUS, GONE, BEGAN, ENDED = p.DONE, p.STATUS, p.GONE, p.BEGAN, p.ENDED
RESTORE_FLAG, CALL_WORDS = p.RESTORE, -(-p.CALL.size // 8)
READY, OTHER_TIME, RESTORE, APART = 1, 2, 4, 8
"""What `gather` found: all have posted; at another time than last time; the memory is to be taken
up first; members at different calls or times."""

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


@intrinsic  # type: ignore[untyped-decorator]
def _read(_: Any, __: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.load_atomic(_pointer(builder, args[0]), "monotonic", 8)

    return types.int64(types.int64), generate


@intrinsic  # type: ignore[untyped-decorator]
def _write(_: Any, __: Any, ___: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        builder.store_atomic(args[1], _pointer(builder, args[0]), "monotonic", 8)
        return context.get_dummy_value()

    return types.void(types.int64, types.int64), generate


_PAUSES = {"x86_64": ("llvm.x86.sse2.pause", []), "aarch64": ("llvm.aarch64.hint", [1])}


@intrinsic  # type: ignore[untyped-decorator]
def _relax(_: Any) -> Any:
    """Leaves the core to its other thread, and the word to who is about to write it."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        name, values = _PAUSES.get(platform.machine(), ("llvm.donothing", []))
        i32 = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [i32] * len(values))
        function = builder.module.globals.get(name) or ir.Function(builder.module, kind, name)
        builder.call(function, [i32(value) for value in values])
        return context.get_dummy_value()

    return types.void(), generate


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
    for _ in range(turns):
        if _load(address) >= wanted:
            return True
        _relax()
    return False


@njit()  # keeps the interpreter: giving it up and taking it back can cost a microsecond
def gather(plan: Array, wanted: int, turns: int) -> int:
    """Looks up to `turns` times whether all members of a group that are there have posted.

    Args:
        plan: int64; address of the first member's block, bytes from one to the next, members,
            address of a copy of the last call's record, 64 bytes.
        wanted: number of the call.
        turns: how often to look at most.

    Returns:
        0 when not, else bits: `READY`, and about the call what `OTHER_TIME`, `RESTORE` and `APART`
        say. The copy is brought up to date.
    """
    first, stride, members, kept = plan[0], plan[1], plan[2], plan[3]
    for _ in range(turns):
        ready = 0
        for i in range(members):
            block = first + i * stride
            if _load(block + POSTED) < wanted and _load(block + GONE) == 0:
                break
            ready += 1
        if ready == members:
            break
        _relax()
    else:
        return 0
    found = READY
    one = 0
    for i in range(members):
        block = first + i * stride
        if _load(block + GONE) != 0:
            continue
        if _load(block + POSTED) != wanted:
            found |= APART
        if _load(block + FLAGS) & RESTORE_FLAG != 0:
            found |= RESTORE
        for k in range(CALL_WORDS):
            word = _read(block + CALL + 8 * k)
            if k == CALL_WORDS - 1:
                word &= 0xFFFFFFFF  # the record ends within a word
            if one == 0 and _read(kept + 8 * k) != word:
                found |= OTHER_TIME
                _write(kept + 8 * k, word)
            elif one != 0 and _read(kept + 8 * k) != word:
                found |= APART
        one = 1
    return int(found)


@njit()
def answer(plan: Array, number: int, status: int, began: int, ended: int) -> int:
    """Tells all members that are there of an answer; returns how many of them sleep."""
    sleepers = 0
    for i in range(plan[2]):
        block = plan[0] + i * plan[1]
        if _load(block + GONE) != 0:
            continue
        _write(block + STATUS, status)
        _write(block + BEGAN, began)
        _write(block + ENDED, ended)
        _store(block + DONE, number)
        if _load(block + CLIENT_SLEEPS) != 0:
            sleepers += 1
    return sleepers
