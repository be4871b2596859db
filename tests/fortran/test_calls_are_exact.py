"""Every layout, kind and section gives the same bits as the scheme called from Python."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cftime
import numpy as np
import pytest
from c_library import COLUMNS, LEVELS, NCOL, NLEV, OK, Mirrored, Server, Session
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from coupler.driver.discovery import shipped_bundles
from coupler.interface.component import Arrays, Host, Now
from coupler.interface.constants import Planet
from coupler.interface.grid import Grid
from emulators.component import emulator_class

SHAPE = (5, 3)
"""The columns as longitudes and latitudes."""


@pytest.fixture(scope="module", params=[4, 8], ids=["real32", "real64"])
def session(request: pytest.FixtureRequest, library: Any, server: Path) -> Iterator[Session]:
    s = Session(library, server, kind=request.param)
    assert s.status == OK, s.error
    yield s
    assert s.close() == OK


def section(draw: Any, extents: tuple[int, ...], dtype: str, rng: np.random.Generator) -> Any:
    """An array of these extents: whole or a section, in either order in memory, also backward."""
    steps = [draw(st.sampled_from([1, 1, 2, -1, -3])) for _ in extents]
    lead = [draw(st.integers(0, 2)) for _ in extents]
    big = [abs(s) * n + o for n, s, o in zip(extents, steps, lead, strict=True)]
    order = draw(st.sampled_from("FC"))
    whole = np.asarray(rng.standard_normal(big), dtype=dtype, order=order)
    cut = []
    for n, s, o in zip(extents, steps, lead, strict=True):
        first = o if s > 0 else o + (n - 1) * -s
        last = first + s * n
        cut.append(slice(first, last if last >= 0 else None, s))
    found = whole[tuple(cut)]
    assert found.shape == extents
    return found


@st.composite
def host(draw: Any, rows: int) -> tuple[Any, int, bool]:
    """A host's array, its layout, and whether it counts upward; rows 1: a field of columns."""
    rng = np.random.default_rng(draw(st.integers(0, 10_000)))
    dtype = draw(st.sampled_from(["f4", "f8"]))
    columns = draw(st.sampled_from([(NCOL,), SHAPE, (5, 1, 3), (1, 3, 5)]))
    if rows == 1:
        return section(draw, columns, dtype, rng), draw(st.sampled_from([0, COLUMNS])), False
    layout = draw(st.sampled_from([COLUMNS, LEVELS]))
    extents = (*columns, rows) if layout == COLUMNS else (rows, *columns)
    array = section(draw, extents, dtype, rng)
    return array, draw(st.sampled_from([0, layout])), draw(st.booleans())


def seen(array: Any, rows: int, upward: bool) -> Any:
    """The array as the scheme should see it, [level, column]."""
    if rows == 1:
        return array.ravel(order="F")
    if array.shape[0] == rows:
        flat = array.reshape(rows, NCOL, order="F")
    else:
        flat = array.reshape(NCOL, rows, order="F").T
    return flat[::-1] if upward else flat


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(ua=host(NLEV), ta=host(NLEV), ps=host(1), tend=host(NLEV), flux=host(NLEV + 1), prc=host(1))
def test_any_section_of_any_kind_gives_the_bits_of_the_python_call(
    session: Session, ua: Any, ta: Any, ps: Any, tend: Any, flux: Any, prc: Any
) -> None:
    slot = np.dtype(f"f{session.options.kind}")
    for name, units, given_ in (
        ("ua", "m s-1", ua),
        ("ta", "K", ta),
        ("ps", "Pa", ps),
        ("tendency ua", "m s-2", tend),
        ("xgwdparam", "Pa", flux),
        ("prl", "kg m-2 s-1", prc),
    ):
        assert session.declare(name, units, *given_) == OK, session.error
    before = [a.copy() for a, _, _ in (ua, ta, ps)]
    assert session.run() == OK, session.error
    for (array, _, _), kept in zip((ua, ta, ps), before, strict=True):
        np.testing.assert_array_equal(array, kept)
    x, t = (seen(a, NLEV, up).astype(slot) for a, _, up in (ua, ta))
    wanted = (x * slot.type(2.0)).astype(tend[0].dtype)
    np.testing.assert_array_equal(seen(tend[0], NLEV, tend[2]), wanted)
    through = np.concatenate([seen(ps[0], 1, False).astype(slot)[None], t]).astype(flux[0].dtype)
    np.testing.assert_array_equal(seen(flux[0], NLEV + 1, flux[2]), through)
    assert np.unique(prc[0]).size == 1


def test_what_lies_between_the_elements_of_a_section_is_left_alone(
    library: Any, server: Path
) -> None:
    m = Mirrored(library, server)
    whole = np.full((2 * NCOL, 3 * NLEV), 5.0, order="F")
    assert m.session.declare("tendency ua", "m s-2", whole[1::2, ::3]) == OK
    assert m.session.run() == OK
    np.testing.assert_array_equal(whole[1::2, ::3], 2.0 * m.ua)
    whole[1::2, ::3] = 5.0
    assert (whole == 5.0).all()
    m.session.close()


def test_memory_of_the_channel_itself_can_be_worked_in(library: Any, server: Path) -> None:
    s = Session(library, server, kind=8)
    ua, ta = s.alloc("ua", "m s-1", 8), s.alloc("ta", "K", 8)
    flux, tend = s.alloc("xgwdparam", "Pa", 8), s.alloc("tendency ua", "m s-2", 8)
    ps = np.linspace(3.0, 4.0, NCOL)
    assert s.declare("ps", "Pa", ps) == OK
    for step in range(3):
        ua[...], ta[...] = step + 1.5, np.arange(NLEV)[:, None] - step
        assert s.run() == OK, s.error
        np.testing.assert_array_equal(tend, 2.0 * ua)
        np.testing.assert_array_equal(flux[1:], ta)
        np.testing.assert_array_equal(flux[0], ps)
    del ua, ta, flux, tend
    s.close()


def test_the_host_may_go_on_between_post_and_wait(library: Any, server: Path) -> None:
    m = Mirrored(library, server)
    prl = np.zeros(NCOL)
    assert m.session.declare("prl", "kg m-2 s-1", prl) == OK
    date = (ctypes.c_int * 6)(2003, 5, 17, 3, 20, 40)
    assert library.isthmus_set_time(m.session.handle, date, 12, 100.0, 30.0) == OK
    assert m.session.post() == OK
    kept = m.ua.copy()
    m.ua[...] = 0.0
    while m.session.test() != OK:
        pass
    assert m.session.wait() == OK
    np.testing.assert_array_equal(m.dua, 2.0 * kept)
    np.testing.assert_array_equal(prl, 12 + 100.0 + 30.0 + 5)
    m.session.close()


@pytest.mark.parametrize("kind", [4, 8])
def test_an_emulator_called_through_the_bridge_gives_the_bits_of_the_python_call(
    library: Any, tmp_path: Path, kind: int
) -> None:
    folder = shipped_bundles()["gw_column"]
    cls = emulator_class(folder)
    levels, dtype = cls.bundle.spec.levels.hybrid(), np.dtype(f"f{kind}")
    rng = np.random.default_rng(5)
    k = levels.nlev
    half = levels.half_pressure(np.full(NCOL, 1.0e5))
    x = {
        "ua": 20.0 * rng.standard_normal((k, NCOL)),
        "va": 10.0 * rng.standard_normal((k, NCOL)),
        "ta": 230.0 + 5.0 * rng.standard_normal((k, NCOL)),
        "pfull": 0.5 * (half[1:] + half[:-1]),
        "lat": np.linspace(-70.0, 70.0, NCOL),
    }
    x = {n: np.ascontiguousarray(a, dtype) for n, a in x.items()}
    component = cls()
    host_ = Host(
        grid=Grid.column(count=NCOL), levels=levels, planet=Planet(), dtype=dtype, seed=0,
        static={"lat": x["lat"]},
    )  # fmt: skip
    component.setup(host_)
    flux = Arrays(**{f.name: host_.empty("interface", "column") for f in cls.fluxes})
    diag = Arrays(**{f.name: host_.empty(*f.dims) for f in cls.diagnostics})
    now = Now(date=cftime.datetime(2000, 1, 1), step=0, seconds=0.0, dt=1.0)
    component.compute(Arrays(**x), Arrays(), flux, diag, now)

    server = Server(tmp_path / "emulator.sock", "gw_column")
    lat = x["lat"].astype(float)
    s = Session(library, server.socket, nlev=k, a=levels.a, b=levels.b, kind=kind, lat=lat)
    fluxes = {n: np.zeros((NCOL, k + 1), dtype) for n in ("xgwdparam", "ygwdparam")}
    for port in cls.inputs:
        if port.name != "lat":  # said in `open`
            assert s.declare(port.name, port.units, x[port.name].T) == OK, s.error
    for name, array in fluxes.items():
        assert s.declare(name, "Pa", array) == OK, s.error
    assert s.run() == OK, s.error
    for name, array in fluxes.items():
        assert np.abs(array).max() > 1e-5
        np.testing.assert_array_equal(array.T, getattr(flux, name))
    s.close()
    server.close()
