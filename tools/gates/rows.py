"""What a gate gives: numbers beside a reference, free tables, pictures."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Row:
    """One number of one gate."""

    what: str
    ours: float
    reference: str
    """What the paper or an independent model has."""
    low: float
    high: float
    """Where ours has to be."""
    form: str = ".2e"

    @property
    def good(self) -> bool:
        """Whether the number is where it has to be; never for one that is not finite."""
        return bool(self.low <= self.ours <= self.high)

    def cells(self) -> list[str]:
        """The row as the page shows it."""
        if self.low == float("-inf"):
            gate = f"at most {self.high:{self.form}}"
        elif self.high == float("inf"):
            gate = f"at least {self.low:{self.form}}"
        elif self.low in (0.0, -self.high):
            gate = f"below {self.high:.3g}"
        else:
            gate = f"{self.low:{self.form}} to {self.high:{self.form}}"
        return [
            self.what, f"{self.ours:{self.form}}", self.reference, gate,
            "yes" if self.good else "**no**",
        ]  # fmt: skip

    def to_json(self) -> dict[str, Any]:
        """As stored: infinite limits as null, which JSON has."""
        data = asdict(self)
        for name in ("ours", "low", "high"):
            if not -1e300 < data[name] < 1e300:
                data[name] = None
        return data

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> Row:
        """Inverse of `to_json`."""
        inf = float("inf")
        missing = {"ours": float("nan"), "low": -inf, "high": inf}
        return cls(**{n: missing[n] if v is None else v for n, v in data.items()})


def below(what: str, ours: float, reference: str, limit: float, form: str = ".2e") -> Row:
    """Size of a number that ought to be zero."""
    return Row(what=what, ours=float(abs(ours)), reference=reference, low=0.0, high=limit,
               form=form)  # fmt: skip


def near(what: str, ours: float, reference: float, within: float, form: str = ".2e") -> Row:
    """A number of the reference, met within an absolute tolerance."""
    return Row(
        what=what, ours=float(ours), reference=f"{reference:{form}}", low=reference - within,
        high=reference + within, form=form,
    )  # fmt: skip


def factor(what: str, ours: float, reference: float, by: float) -> Row:
    """An error of the reference, met within a factor."""
    return Row(
        what=what, ours=float(ours), reference=f"{reference:.2e}", low=reference / by,
        high=reference * by,
    )  # fmt: skip


def at_most(what: str, ours: float, reference: str, limit: float, form: str = ".2e") -> Row:
    """An error no larger than a limit; smaller is better."""
    return Row(what=what, ours=float(ours), reference=reference, low=float("-inf"), high=limit,
               form=form)  # fmt: skip


def at_least(what: str, ours: float, reference: str, limit: float, form: str = ".2e") -> Row:
    """A number that has to be as large as a limit."""
    return Row(what=what, ours=float(ours), reference=reference, low=limit, high=float("inf"),
               form=form)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table beside the gates, of what has no gate."""

    caption: str
    head: list[str]
    body: list[list[str]]

    def lines(self) -> list[str]:
        """In Markdown."""
        rows = [self.head, ["---"] * len(self.head), *self.body]
        return [self.caption, "", *("| " + " | ".join(row) + " |" for row in rows)]


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A picture for the page."""

    name: str
    """Of the file, without folder."""
    caption: str
    png: bytes


@dataclass(frozen=True, kw_only=True)
class Data:
    """Numbers that other gates use; the page does not show them."""

    numbers: dict[str, Any]
