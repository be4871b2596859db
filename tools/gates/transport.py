"""Gates of tracer transport in prescribed winds, and of chemistry on top of it."""

from __future__ import annotations

from collections.abc import Iterator

from gates.rows import Row, Table, at_least, at_most, below
from physics.dynamics.prescribed import Numbers, dcmip_11, nair_lauritzen, terminator

_HEAD = ["", "l1", "l2", "linf", "least", "greatest", "change of mass"]


def _cells(label: str, n: Numbers) -> list[str]:
    return [label, f"{n.l1:.3f}", f"{n.l2:.3f}", f"{n.linf:.3f}", f"{n.low:.4f}", f"{n.high:.4f}",
            f"{n.drift:+.1e}"]  # fmt: skip


def _bounded(label: str, n: Numbers) -> Iterator[Row]:
    yield below(f"{label}: beyond its first bounds", n.beyond, "0", 1e-12)
    yield below(f"{label}: mass, relative change", n.drift, "0", 1e-12)


def two_dimensions(quick: bool) -> Iterator[Row | Table]:
    """Deformational flow of Nair and Lauritzen (2010) that brings two Gaussian hills back.

    Monotone transport on the grid, as humidity has it, which clips the tops of the hills. The
    reference is a cubic semi-Lagrangian scheme in 256 steps. Spectral transport is the contrast:
    closer for what is smooth, useless for what is sharp.
    """
    body = []
    for nlat, steps, peer in ((32, 128, None), (64, 256, 0.24), (128, 512, 0.021))[
        : 2 if quick else 3
    ]:
        found = nair_lauritzen(nlat, steps)
        t = (2 * nlat - 1) // 3
        hills, cylinders = found["hills"], found["cylinders"]
        if peer is not None:
            yield at_most(f"hills, grid of T{t}, l2", hills.l2, f"{peer:g}", peer, ".3f")
        yield from _bounded(f"hills, T{t}", hills)
        yield from _bounded(f"slotted cylinders, T{t}", cylinders)
        yield below(f"constant, T{t}: largest error", found["constant"].linf, "0", 1e-12)
        label = f"T{t}, {steps} steps, "
        body += [_cells(label + "hills" + (f" (reference {peer:g})" if peer else ""), hills),
                 _cells(label + "cylinders", cylinders)]  # fmt: skip
        if nlat == 64:
            spectral = nair_lauritzen(nlat, steps, scheme="spectral")
            body += [_cells(label + "hills, spectral", spectral["hills"]),
                     _cells(label + "cylinders, spectral", spectral["cylinders"])]  # fmt: skip
            yield at_least("control: spectral transport undershoots the cylinders",
                           0.1 - spectral["cylinders"].low, "", 0.05, ".3f")  # fmt: skip
    yield Table(caption="After one period:", head=_HEAD, body=body)


def three_dimensions(quick: bool) -> Iterator[Row | Table]:
    """DCMIP 2012 test 1-1: deformation in three dimensions that returns after 12 days.

    q1: two cosine blobs; q2 = 0.9 - 0.8 q1^2, whose relation only mixing may bend, to the inside.
    """
    body = []
    sizes = ((32, 20, 288),) if quick else ((32, 20, 288), (64, 30, 576), (128, 60, 1152))
    errors = []
    for nlat, levels, steps in sizes:
        found = dcmip_11(nlat, levels, steps)
        label = f"T{(2 * nlat - 1) // 3}L{levels}"
        yield from _bounded(f"{label}, q1", found.q1)
        yield from _bounded(f"{label}, q2", found.q2)
        yield below(f"{label}, constant: largest error", found.constant.linf, "0", 1e-12)
        yield at_most(f"{label}, q2(q1) outside curve and chord", max(found.above, found.below),
                      "0", 0.02, ".4f")  # fmt: skip
        errors.append(found.q1.l2)
        body += [_cells(f"{label}, {steps} steps, q1", found.q1), _cells("q2", found.q2)]
    if len(errors) > 1:
        yield at_most("l2 of q1, finest over coarsest", errors[-1] / errors[0], "", 0.6, ".2f")
    yield Table(caption="After 12 days:", head=_HEAD, body=body)


def chemistry(quick: bool) -> Iterator[Row | Table]:
    """Terminator chemistry of Lauritzen et al. (2015) in the deformational flow, 12 days.

    X + 2 X2 does not react and has to stay uniform where X and X2 are as sharp as the terminator.
    """
    body = []
    for nlat, steps in ((32, 288),) if quick else ((32, 288), (64, 576), (128, 1152)):
        found = terminator(nlat, steps)
        label = f"T{(2 * nlat - 1) // 3}"
        yield at_most(f"{label}, X + 2 X2: largest error at any step", found.worst, "", 2e-2)
        yield at_least(f"{label}, least X or X2, of the total", found.low, "0", 0.0, ".1e")
        body.append([label, f"{found.l2:.1e}", f"{found.linf:.1e}", f"{found.worst:.1e}"])
    head = ["", "l2, day 12", "linf, day 12", "linf, any step"]
    yield Table(caption="Error of X + 2 X2:", head=head, body=body)
