"""The C library through ctypes, and servers for it."""

from __future__ import annotations

import ctypes
import os
import signal
import socket as sockets
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
PLUGIN = Path(__file__).resolve().parent / "served.py"
NCOL, NLEV = 15, 7

OK, NO_SERVER, REFUSED, GONE, LATE, FAILED, NOT_FINITE, VERSION, FIELD, ORDER = range(10)
MEMORY, ARGUMENT, SYSTEM, PENDING = 10, 11, 12, 100
STOP, ZERO, HOLD, CALLBACK = range(4)
COLUMNS, LEVELS = 1, 2

_P, _I, _D, _L = ctypes.c_void_p, ctypes.c_int, ctypes.c_double, ctypes.c_int64
_TEXT = ctypes.c_char_p
FALLBACK = ctypes.CFUNCTYPE(None, _I, _P)


class Options(ctypes.Structure):
    """``isthmus_options``."""

    _fields_ = (
        ("size", ctypes.c_size_t),
        ("scheme", _TEXT),
        ("socket", _TEXT),
        ("transport", _I),
        ("launch", _I),
        ("command", _TEXT),
        ("settings", _TEXT),
        ("policy", _I),
        ("startup", _D),
        ("deadline", _D),
        ("spin", _D),
        ("kind", _I),
        ("ncol", _I),
        ("nlev", _I),
        ("row", _I),
        ("a", _P),
        ("b", _P),
        ("group", _TEXT),
        ("members", _I),
        ("member", _I),
        ("calendar", _TEXT),
        ("seed", _L),
        ("gravity", _D),
        ("radius", _D),
        ("lat", _P),
        ("lon", _P),
        ("nstatic", _I),
        ("static_names", ctypes.POINTER(_TEXT)),
        ("static_values", ctypes.POINTER(_P)),
    )


class CArray(ctypes.Structure):
    """``isthmus_array``."""

    _fields_ = (
        ("base", _P),
        ("kind", _I),
        ("rank", _I),
        ("extent", _L * 4),
        ("stride", _L * 4),
        ("layout", _I),
        ("upward", _I),
    )


class Info(ctypes.Structure):
    """``isthmus_field_info``."""

    _fields_ = (
        ("name", ctypes.c_char * 49),
        ("units", ctypes.c_char * 25),
        ("role", ctypes.c_char * 12),
        ("rows", _I),
        ("declared", _I),
    )


def load(path: Path) -> Any:
    """The shared library with its signatures."""
    lib = ctypes.CDLL(str(path))
    lib.isthmus_defaults.restype = Options
    lib.isthmus_open.argtypes = [ctypes.POINTER(_L), ctypes.POINTER(Options)]
    lib.isthmus_close.argtypes = [ctypes.POINTER(_L)]
    lib.isthmus_declare.argtypes = [_L, _TEXT, _TEXT, ctypes.POINTER(CArray)]
    lib.isthmus_alloc.argtypes = [_L, _TEXT, _TEXT, _I, ctypes.POINTER(_P), ctypes.POINTER(_L)]
    lib.isthmus_alloc.argtypes += [ctypes.POINTER(_I)]
    lib.isthmus_field.argtypes = [_L, _I, ctypes.POINTER(Info)]
    lib.isthmus_set_time.argtypes = [_L, ctypes.POINTER(_I), _L, _D, _D]
    lib.isthmus_register_callback.argtypes = [_L, FALLBACK, _P]
    for name in ("run", "post", "test", "wait"):
        getattr(lib, f"isthmus_{name}").argtypes = [_L]
    lib.isthmus_last_error.argtypes = [_L]
    lib.isthmus_last_error.restype = _TEXT
    lib.isthmus_status_name.argtypes = [_I]
    lib.isthmus_status_name.restype = _TEXT
    return lib


def described(array: np.ndarray, layout: int = 0, upward: bool = False) -> CArray:
    """A numpy array of the extents (first, second, ...) as a Fortran program would describe it."""
    size = array.itemsize if array.dtype.kind == "f" else 0
    found = CArray(base=array.ctypes.data, kind=size, rank=array.ndim, layout=layout)
    found.upward = int(upward)
    for i, (n, s) in enumerate(zip(array.shape, array.strides, strict=True)):
        found.extent[i], found.stride[i] = n, s
    return found


class Session:
    """One session; keeps what it was told of alive."""

    def __init__(self, lib: Any, socket: Path | str, **options: Any) -> None:
        self.lib, self.handle = lib, _L(0)
        self.kept: list[Any] = []
        o = lib.isthmus_defaults()
        o.ncol, o.nlev = NCOL, NLEV
        o.socket = str(socket).encode()
        nlev = options.get("nlev", NLEV)
        half = {"a": np.zeros(nlev + 1), "b": np.linspace(0.0, 1.0, nlev + 1)}
        for name, value in (half | options).items():
            if isinstance(value, np.ndarray):
                self.kept.append(value)
                value = value.ctypes.data
            setattr(o, name, value.encode() if isinstance(value, str) else value)
        self.options = o
        self.status = lib.isthmus_open(ctypes.byref(self.handle), ctypes.byref(o))

    @property
    def error(self) -> str:
        return str(self.lib.isthmus_last_error(self.handle).decode())

    def declare(
        self, name: str, units: str, array: np.ndarray, layout: int = 0, upward: bool = False
    ) -> int:
        self.kept.append(array)
        d = described(array, layout, upward)
        return int(
            self.lib.isthmus_declare(self.handle, name.encode(), units.encode(), ctypes.byref(d))
        )

    def alloc(self, name: str, units: str, kind: int) -> np.ndarray:
        place, pitch, rows = _P(), _L(), _I()
        status = self.lib.isthmus_alloc(
            self.handle, name.encode(), units.encode(), kind, ctypes.byref(place),
            ctypes.byref(pitch), ctypes.byref(rows),
        )  # fmt: skip
        assert status == 0, self.error
        size = pitch.value // kind * rows.value
        whole = (ctypes.c_char * (size * kind)).from_address(place.value or 0)
        values = np.frombuffer(whole, f"f{kind}").reshape(rows.value, -1)
        return values[:, : self.options.ncol]

    def run(self) -> int:
        return int(self.lib.isthmus_run(self.handle))

    def post(self) -> int:
        return int(self.lib.isthmus_post(self.handle))

    def test(self) -> int:
        return int(self.lib.isthmus_test(self.handle))

    def wait(self) -> int:
        return int(self.lib.isthmus_wait(self.handle))

    def close(self) -> int:
        return int(self.lib.isthmus_close(ctypes.byref(self.handle)))


class Mirrored:
    """A session with the mirror scheme and arrays for all of its fields."""

    def __init__(self, lib: Any, socket: Path, **options: Any) -> None:
        self.session = s = Session(lib, socket, **options)
        n = options.get("ncol", NCOL)
        rng = np.random.default_rng(3)
        self.ua = np.asfortranarray(rng.standard_normal((n, NLEV)))
        self.ta = np.asfortranarray(rng.standard_normal((n, NLEV)))
        self.ps = rng.standard_normal(n)
        self.dua, self.flux = np.full_like(self.ua, 7.0), np.full((n, NLEV + 1), 7.0, order="F")
        self.prc = np.full(n, 7.0)
        for name, units, array in (
            ("ua", "m s-1", self.ua),
            ("ta", "K", self.ta),
            ("ps", "Pa", self.ps),
            ("tendency ua", "m s-2", self.dua),
            ("flux xgwdparam", "Pa", self.flux),
            ("diagnostic prc", "kg m-2 s-1", self.prc),
        ):
            status = s.declare(name, units, array)
            assert status == s.status, (name, s.error)

    def is_answer(self) -> bool:
        """Whether the outputs are what the scheme makes of the inputs."""
        right = np.array_equal(self.dua, 2.0 * self.ua)
        right &= np.array_equal(self.flux[:, 1:], self.ta)
        return bool(right and np.array_equal(self.flux[:, 0], self.ps))

    def outputs(self) -> np.ndarray:
        return np.concatenate([self.dua.ravel(), self.flux.ravel()])


def environment() -> dict[str, str]:
    """What a server needs; no sanitizer is preloaded into it."""
    own = {k: v for k, v in os.environ.items() if k != "LD_PRELOAD"}
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    return {**own, "PYTHONPATH": path, "ISTHMUS_COMMAND": f"{sys.executable} -m coupler"}


class Server:
    """``isthmus serve`` in a process of its own."""

    def __init__(self, socket: Path, what: str = "test_bridge=mirror", *more: str) -> None:
        self.socket = socket
        command = [sys.executable, "-m", "coupler", "serve", what, "--socket", str(socket), *more]
        if what.startswith("test_bridge"):
            command += ["--plugin", str(PLUGIN)]
        # A test that fails may forget it: it ends with this object, by the end of its lifeline.
        self._lifeline, theirs = sockets.socketpair()
        self.process = subprocess.Popen(
            [*command, "--lifeline", str(theirs.fileno())],
            env=environment(),
            pass_fds=[theirs.fileno()],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        theirs.close()
        assert self.process.stdout is not None and self.process.stderr is not None
        ready = self.process.stdout.readline()
        if not ready.startswith("ready"):
            raise AssertionError(self.process.stderr.read())

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self._lifeline.close()
        self.process.communicate()

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
        self._lifeline.close()
        self.process.communicate(timeout=30)


def until(what: Any, seconds: float = 20.0) -> bool:
    """Whether something comes true in time."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if what():
            return True
        time.sleep(0.02)
    return False
