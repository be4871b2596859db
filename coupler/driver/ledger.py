r"""The books of an exchange: every joule and kilogram between air, sea, ice, land and rivers.

At each exchange, of water [kg m-2] and energy [J m-2], global means:

.. math::
   r_{sharing} &= \textstyle\sum_m (\text{offered}_m) + \Delta(\text{on its way}) - \text{given} \\
   r_{m, exchange} &= \text{received}_m - \text{offered}_m \\
   r_m &= \Delta(\text{stored}_m) - \text{received}_m + \text{passed on}_m - \text{sources}_m \\
   r_{air} &= \Delta W + \text{given} - \text{made}

*given* is what the air lost to the ground as a whole, *offered* what was collected of it for a
model's part of the cells, before remapping, with what other models passed on to it; *received* what
arrived. The residuals are the gaps between neighbours in that chain, so that one which is not zero
names the scheme, the exchange or the model that lost something. Their sum is the residual of the
whole. In files and messages of a run with several types of surface, the sharing is ``surface``.

Where no model takes water (``surface: slab``, which receives heat alone), the ground is a boundless
sea: what the air gave it is its account, ``water_of_the_sea``, and the air's residual is held.

The energy of the air is in `coupler.diagnostics.budgets`: its dynamics lose some.

A contract (`coupler.contracts`) says how large a residual may be and what happens then.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator, Mapping

import numpy as np

from coupler.contracts import BudgetChoice
from coupler.driver.links import Coupling
from coupler.interface.component import Array, ColumnModel, Now
from coupler.interface.errors import Problem, UnstableError
from coupler.interface.fields import FIELDS
from coupler.interface.parallel import Rows, Spread

_log = logging.getLogger(__name__)

GIVEN = {
    "water": (("pr", 1.0), ("evspsbl", -1.0)),
    "energy": (
        ("rsds", 1.0),
        ("rsus", -1.0),
        ("rlds", 1.0),
        ("rlus", -1.0),
        ("hfss", -1.0),
        ("hfls", -1.0),
    ),
}
"""What the air gives to the ground, with the sign of each of its terms."""
UNITS = {"water": "kg m-2", "energy": "J m-2"}
_RATES = {"water": "kg m-2 s-1", "energy": "W m-2"}
_NONE = np.zeros(1)


def carried(coupling: Coupling, q: str) -> dict[str, float]:
    """What a model receives of a quantity, with 1 for a flux into it and -1 for one out of it.

    A model without types of surface beside it takes the air's fluxes as they are in `GIVEN`.
    """
    between = {link.name for link in coupling.between}
    whole = {} if coupling.model.parts(coupling.received) else dict(GIVEN[q])
    found = {}
    for f, _ in coupling.received.items():
        if FIELDS[f].carries == q:
            found[f] = -1.0 if FIELDS[f].positive == "up" and f not in between else 1.0
        elif f in whole:
            found[f] = whole[f]
    return found


class Ledger:
    """Keeps the books of all couplings of a run."""

    def __init__(
        self,
        couplings: Mapping[str, Coupling],
        atmosphere: ColumnModel,
        pool: Mapping[str, Array],
        rows: Rows,
        choice: BudgetChoice,
    ) -> None:
        """Opens the books; they stay empty in a run whose models have no stores.

        Args:
            couplings: by name, those that exchange.
            atmosphere: the other side.
            pool: live arrays of the air's fluxes ``[column]``.
            rows: latitudes at hand.
            choice: tolerances and policies.
        """
        self._others, self._pool = tuple(couplings), frozenset(pool)
        self._couplings = {n: c for n, c in couplings.items() if c.model.stores()}
        self._atmosphere, self._rows, self._choice = atmosphere, rows, choice
        self.terms = {
            q: [(pool[n], s) for n, s in terms]
            for q, terms in GIVEN.items()
            if self._couplings and all(n in pool for n, _ in terms)
        }
        columns = rows.own.size * atmosphere.grid.lon.size
        self._given = {q: np.zeros(columns) for q in self.terms}
        self._flows = {
            n: {q: carried(c, q) for q in self.terms} for n, c in self._couplings.items()
        }
        self._takers = {
            q: [n for n in self._couplings if self._flows[n][q] or q in self._stores(n)]
            for q in self.terms
        }
        self._boundless = {q: np.zeros(1) for q, takers in self._takers.items() if not takers}
        """What went to a ground that no model keeps account of, since the start."""
        self._sharing = "sharing" if "surface" in self._couplings else "surface"
        names = ["air", self._sharing]
        for n in self._couplings:
            names += [n, f"{n}_exchange"]
        self._names = names
        self._residual = {q: np.zeros(len(names)) for q in self.terms}
        """Sums since the last record."""
        self._count, self._made = np.zeros(2), np.zeros(1)
        """Time since the last record, time since the last exchange [s]; water made in the air."""
        self._worst = np.zeros(2)
        """Largest relative residual of all water, largest of energy [W m-2], since the start."""
        self._fixed = {f"{q}.{n}": np.zeros(2) for q in self.terms for n in self._takers[q]}
        """What is owed, and what was handed over since the last record."""
        self._parts: dict[str, dict[str, Array]] = {}
        self._way = {q: np.zeros(1) for q in self.terms}
        self._air = np.zeros(1)
        self._stored: dict[str, dict[str, float]] = {}
        self._book: dict[str, dict[str, tuple[float, float]]] = {}
        self._said: set[str] = set()
        self.open()

    def open(self) -> None:
        """Begins with what all models hold now; on all ranks."""
        for name in self._couplings:
            self._measure(name)
            self._stored[name] = self._stores(name)
        for q, way in self._way.items():
            way[0] = sum(self._transit(n, q) for n in self._takers[q])
        self._air[0] = self._atmosphere.water() or 0.0 if self.terms else 0.0

    # -- measuring ----------------------------------------------------------------------------

    def _mean(self, own: Array) -> float:
        grid = self._atmosphere.grid
        plane = own.reshape(self._rows.own.size, grid.lon.size)
        return grid.mean(self._rows.globe(plane))

    def _measure(self, name: str) -> None:
        """The fractions of a model on the atmosphere's grid, own rows."""
        c = self._couplings[name]
        self._parts[name] = {
            f: c.back.apply(part.astype(np.float64))[self._rows.own]
            for f, part in c.model.parts(c.received).items()
        }

    def _stores(self, name: str) -> dict[str, float]:
        model = self._couplings[name].model
        return {q: model.grid.mean(a) for q, a in model.stores().items() if q in self.terms}

    def _transit(self, name: str, q: str) -> float:
        """What was collected for a model and did not arrive yet."""
        c, flows = self._couplings[name], self._flows[name][q]
        plane = np.zeros((self._rows.own.size, self._atmosphere.grid.lon.size))
        sums = c.sums.memory()
        for f in c.sums.names:
            if f in flows:
                plane += flows[f] * self._parts[name].get(f, 1.0) * sums[f"{f}.sum"]
        return self._mean(plane) + sum(
            link.giver.grid.mean(link.total) for link in c.between if link.field.carries == q
        )

    def _received(self, name: str, q: str) -> float:
        c = self._couplings[name]
        parts = c.model.parts(c.received)
        between = {link.name for link in c.between}
        total = np.zeros(c.model.grid.shape)
        for f, s in self._flows[name][q].items():
            share = 1.0 if f in between else parts.get(f, 1.0)
            total += s * share * getattr(c.received, f)
        return c.model.dt * c.model.grid.mean(total)

    def _passed_on(self, name: str, q: str) -> float:
        m = self._couplings[name].model
        fields = m.fields()
        return m.dt * sum(m.grid.mean(fields[f.name]) for f in m.provides if f.carries == q)

    # -- keeping ------------------------------------------------------------------------------

    def collect(self, dt: float) -> None:
        """Adds what the air gave in a step of `dt` [s]."""
        for q, terms in self.terms.items():
            for array, s in terms:
                self._given[q] += (s * dt) * array
        if self.terms:
            self._made += self._atmosphere.water_made()
            self._count += dt

    @contextlib.contextmanager
    def exchange(self, name: str) -> Iterator[None]:
        """Around the moment in which a model receives."""
        if name not in self._couplings:
            yield
            return
        offered = {q: self._transit(name, q) for q in self.terms if name in self._takers[q]}
        yield
        book = {}
        for q, amount in offered.items():
            received = self._received(name, q)
            if self._policy(q) == "fix":
                owed = self._fixed[f"{q}.{name}"]
                missing = amount - received + owed[0]
                self._hand_over(name, q, missing)
                owed[:] = 0.0, owed[1] + missing
                received = self._received(name, q)
            book[q] = amount, received
        self._book[name] = book

    def _policy(self, q: str) -> str:
        policy: str = getattr(self._choice, q).policy
        return policy

    def _hand_over(self, name: str, q: str, amount: float) -> None:
        """Adds an amount, a global mean, to the first flux that the model receives, evenly."""
        c = self._couplings[name]
        parts, grid = c.model.parts(c.received), c.model.grid
        for f, s in self._flows[name][q].items():
            share = grid.mean(np.broadcast_to(parts.get(f, 1.0), grid.shape))
            if share > 0.0:
                array = getattr(c.received, f)
                array += s * amount / (share * c.model.dt)
                return

    def close(self, due: Mapping[str, Coupling], now: Now) -> None:
        """Draws the balance after the models that were due have stepped."""
        if not self.terms:
            return
        seconds, air = float(self._count[1]), self._atmosphere.water()
        ours = [n for n in due if n in self._couplings]
        for n in ours:
            self._measure(n)
        place = {n: i for i, n in enumerate(self._names)}
        for q in self.terms:
            given = self._mean(self._given[q])
            found = np.zeros(len(self._names))
            way = sum(self._transit(n, q) for n in self._takers[q])
            takers = [n for n in ours if n in self._takers[q]]
            passed = {n: self._passed_on(n, q) for n in takers}
            offered = sum(self._book[n][q][0] for n in takers)
            if q in self._boundless:
                self._boundless[q] += given
            else:
                found[place[self._sharing]] = (
                    offered + way - float(self._way[q][0]) - given - sum(passed.values())
                )
            for n in takers:
                stored, (gave, got) = self._stores(n), self._book[n][q]
                m = self._couplings[n].model
                sources = m.sources()
                source = m.dt * m.grid.mean(sources[q]) if q in sources else 0.0
                change = stored.get(q, 0.0) - self._stored[n].get(q, 0.0)
                found[place[n]] = change - got + passed[n] - source
                found[place[f"{n}_exchange"]] = got - gave
                self._stored[n] |= {q: stored[q]} if q in stored else {}
                if self._policy(q) == "fix":
                    self._fixed[f"{q}.{n}"][0] -= found[place[n]]
                    found[place[f"{n}_exchange"]] = 0.0  # what was handed over is in the record
            if q == "water" and air is not None:
                found[place["air"]] = air - float(self._air[0]) + given - float(self._made[0])
            self._way[q][0] = way
            self._residual[q] += found
            self._judge(q, found, seconds, way, now)
            self._given[q].fill(0.0)
        self._air[0] = air or 0.0
        self._count[1], self._made[0] = 0.0, 0.0

    def _judge(self, q: str, found: Array, seconds: float, way: float, now: Now) -> None:
        """Holds the residuals of an exchange against their contract."""
        contract = getattr(self._choice, q)
        scale, unit = (self.total(way), "") if q == "water" else (seconds, " W m-2")
        # gaps of opposite sign are gaps: the sum alone would let them cancel
        gaps, slot = np.abs(found) / scale, 0 if q == "water" else 1
        self._worst[slot] = max(self._worst[slot], gaps.max(), abs(found.sum()) / scale)
        if contract.policy == "fix":
            gaps[2:] = 0.0  # those of models and exchanges are handed over; nobody mends the others
        index = int(np.argmax(gaps))
        worst = float(gaps[index])
        if worst <= contract.tolerance:
            return
        text = (
            f"{q} is not conserved in {self._spoken(self._names[index])}",
            f"budgets.{q}",
            f"at most {contract.tolerance:g}{unit}" + (" of all water" if q == "water" else ""),
            f"{worst:.3g}{unit} at {now.date}",
        )
        if contract.policy == "raise":
            raise UnstableError.of(
                text[0],
                text[1],
                expected=text[2],
                found=text[3],
                remedy="look at the named component, or set policy to 'warn'"
                + (" or 'fix'" if index > 1 else ""),
            )
        if text[0] not in self._said and self._rows.parallel.rank == 0:
            self._said.add(text[0])
            _log.warning("isthmus: warning: %s: expected %s, found %s", text[0], *text[2:])

    def total(self, way: float) -> float:
        """All water of the model [kg m-2]."""
        return (
            (self._atmosphere.water() or 0.0)
            + abs(way)
            + sum(abs(s.get("water", 0.0)) for s in self._stored.values())
            + abs(float(self._boundless.get("water", _NONE)[0]))
        )

    def advice(self) -> list[Problem]:
        """Contracts of the case that hold nothing, or not all of its models."""
        found = []
        for q in sorted(self._choice.model_fields_set & GIVEN.keys()):
            silent = [n for n in self._others if n not in self._couplings]
            if q not in self.terms:
                lacks = [n for n, _ in GIVEN[q] if n not in self._pool]
                why = f"no {', '.join(lacks)}" if lacks else "no model that keeps account"
            elif q == "energy" and silent:
                why = f"no account of {', '.join(silent)}"
            else:
                continue
            found.append(
                Problem(
                    what="a contract without all that it is to hold",
                    name=f"budgets.{q}",
                    expected=f"{', '.join(n for n, _ in GIVEN[q])} and models that keep account",
                    found=why,
                    remedy="add what is missing (precipitation: total gives pr; models without "
                    "lag keep account), or leave the contract out",
                )
            )
        return found

    # -- telling ------------------------------------------------------------------------------

    def take(self) -> dict[str, tuple[float, str, str]]:
        """Numbers for ``budgets.nc`` since the last time: value, units, long name by name."""
        seconds = float(self._count[0])
        if not self.terms or seconds == 0.0:
            return {}
        found: dict[str, tuple[float, str, str]] = {}
        for q in self.terms:
            for n, stored in self._stored.items():
                if q in stored:
                    found[f"{q}_of_{n}"] = stored[q], UNITS[q], f"{q} stored in {n}, global mean"
            if q in self._boundless:
                what = f"{q} that the air gave to the sea since the start, global mean"
                found[f"{q}_of_the_sea"] = float(self._boundless[q][0]), UNITS[q], what
            found[f"{q}_on_its_way"] = (
                float(self._way[q][0]),
                UNITS[q],
                f"{q} between models at the last exchange, global mean",
            )
            for n, value in zip(self._names, self._residual[q], strict=True):
                ours = n == "air" if q in self._boundless else n != "air" or q == "water"
                if ours:
                    what = f"{q} that {self._spoken(n)} made of nothing, global mean"
                    found[f"{q}_residual_{n}"] = float(value) / seconds, _RATES[q], what
            if self._policy(q) == "fix":
                for n in self._takers[q]:
                    fix = self._fixed[f"{q}.{n}"]
                    what = f"{q} handed to {n} to close its budget, global mean"
                    found[f"{q}_fix_{n}"] = float(fix[1]) / seconds, _RATES[q], what
                    fix[1] = 0.0
            self._residual[q].fill(0.0)
        found["water_residual_worst"] = (
            float(self._worst[0]),
            "1",
            "largest relative residual of all water in one exchange since the start",
        )
        found["energy_residual_worst"] = (
            float(self._worst[1]),
            "W m-2",
            "largest residual of energy in one exchange since the start, global mean",
        )
        self._count[0] = 0.0
        return found

    def worst(self) -> dict[str, float]:
        """Largest residuals since the start, for ``run.json``."""
        if not self.terms:
            return {}
        names = ("water_residual_worst", "energy_residual_worst")
        return dict(zip(names, self._worst.tolist(), strict=True))

    def lines(self) -> list[str]:
        """Closing lines of a run."""
        if not self.terms:
            return []
        return [
            f"largest residual of an exchange: {self._worst[0]:.1e} of all water, "
            f"{self._worst[1]:.1e} W m-2 of energy"
        ]

    def memory(self) -> dict[str, Array]:
        """What a restart between two exchanges needs."""
        own = {"count": self._count, "made": self._made, "worst": self._worst, "air": self._air}
        own |= {f"way.{q}": a for q, a in self._way.items()}
        own |= {f"given.{q}": a for q, a in self._given.items()}
        own |= {f"fixed.{n}": a for n, a in self._fixed.items()}
        own |= {f"boundless.{q}": a for q, a in self._boundless.items()}
        return own | {f"residual.{q}": a for q, a in self._residual.items()}

    def spread(self) -> dict[str, Spread]:
        """How the columns lie on the ranks."""
        from coupler.interface.parallel import Along

        columns = self._rows.columns(self._atmosphere.grid.lon.size)
        return {f"given.{q}": Along(columns, -1) for q in self._given}

    def may_lack(self) -> tuple[str, ...]:
        """All of it: restarts of runs that kept no books before are gone on with."""
        return tuple(self.memory())

    def restore(self, memory: Mapping[str, Array]) -> None:
        """Takes back what `memory` gave, or begins anew; the models have been restored before."""
        own = self.memory()
        if not own.keys() <= memory.keys():
            self.open()
            return
        for name, array in own.items():
            array[...] = memory[name]
        for name in self._couplings:
            self._measure(name)
            self._stored[name] = self._stores(name)

    def _spoken(self, name: str) -> str:
        if name == self._sharing:
            return "the sharing of the air's fluxes among types of surface"
        if name == "air":
            return "the air"
        head, _, tail = name.partition("_exchange")
        return f"the exchange between air and {head}" if name.endswith("_exchange") else head + tail
