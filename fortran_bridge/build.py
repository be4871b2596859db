"""Builds the C and Fortran library: ``isthmus bridge build --to PREFIX``.

Into PREFIX go ``lib/libisthmus.a`` and ``.so``, ``include/isthmus.h``, ``include/isthmus.mod`` for
the compiler that was used, and ``lib/pkgconfig/isthmus.pc``. CMakeLists.txt beside this file does
the same.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from coupler.interface.errors import ConfigError

HERE = Path(__file__).resolve().parent
HEADER = HERE / "include" / "isthmus.h"
C_SOURCE = HERE / "src" / "isthmus.c"
FORTRAN_SOURCE = HERE / "src" / "isthmus.f90"

_PKG_CONFIG = """\
prefix={prefix}
libdir=${{prefix}}/lib
includedir=${{prefix}}/include

Name: isthmus
Description: Schemes and emulators of Isthmus for C and Fortran programs
Version: {version}
Cflags: -I${{includedir}}
Libs: -L${{libdir}} -listhmus -lpthread
"""


def build(
    to: Path,
    *,
    cc: str | None = None,
    fc: str | None = None,
    flags: Sequence[str] = ("-O2", "-g"),
    version: str = "0",
) -> list[Path]:
    """Compiles and installs the library; returns what was written.

    Args:
        to: folder to install into; made if it is missing.
        cc: C compiler; default: ``$CC`` or cc.
        fc: Fortran compiler; default: ``$FC`` or gfortran.
        flags: of both compilers.
        version: for pkg-config.

    Raises:
        ConfigError: when a compiler is missing or fails.
    """
    c, f = _compiler(cc, "CC", "cc"), _compiler(fc, "FC", "gfortran")
    include, lib = to / "include", to / "lib"
    for folder in (include, lib / "pkgconfig"):
        folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(HEADER, include / HEADER.name)
    objects = [lib / "isthmus_c.o", lib / "isthmus_fortran.o"]
    # The C side's Fortran entry needs the Fortran compiler's header of descriptors.
    where = ["-I", str(HEADER.parent), *_descriptor_header(f)]
    _call([*c, *flags, "-std=c11", "-fPIC", *where, "-c", str(C_SOURCE), "-o", str(objects[0])])
    module = ["-J", str(include), "-I", str(include)]
    _call([*f, *flags, "-fPIC", *module, "-c", str(FORTRAN_SOURCE), "-o", str(objects[1])])
    static, shared = lib / "libisthmus.a", lib / "libisthmus.so"
    static.unlink(missing_ok=True)
    _call(["ar", "rcs", str(static), *map(str, objects)])
    _call([*f, *flags, "-shared", "-o", str(shared), *map(str, objects), "-lpthread"])
    for item in objects:
        item.unlink()
    description = lib / "pkgconfig" / "isthmus.pc"
    description.write_text(_PKG_CONFIG.format(prefix=to.resolve(), version=version))
    return [include / HEADER.name, include / "isthmus.mod", static, shared, description]


def _compiler(given: str | None, variable: str, usual: str) -> list[str]:
    command = shlex.split(given or os.environ.get(variable) or usual)
    if shutil.which(command[0]) is None:
        raise ConfigError.of(
            "no such compiler",
            command[0],
            remedy=f"install gcc and gfortran, or name one: {variable}=/path/to/compiler",
        )
    return command


def _descriptor_header(fortran: Sequence[str]) -> list[str]:
    """Where the Fortran compiler keeps ISO_Fortran_binding.h, if not where C looks."""
    asked = [*fortran, "-print-file-name=include/ISO_Fortran_binding.h"]
    said = subprocess.run(asked, capture_output=True, text=True).stdout.strip()
    return ["-idirafter", str(Path(said).parent)] if Path(said).is_absolute() else []


def _call(command: Sequence[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise ConfigError.of(
            "the bridge does not compile",
            shlex.join(command),
            found=done.stderr.strip()[-2000:] or f"status {done.returncode}",
        )
