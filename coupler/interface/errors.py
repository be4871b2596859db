"""Errors that say what, which name, what was expected, what was found and what to do.

A :class:`Problem` is one such sentence. A :class:`CouplerError` carries one or many of them, so
that everything that is wrong with a case is reported at once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches


@dataclass(frozen=True, kw_only=True)
class Problem:
    """One thing that is wrong, as a sentence."""

    what: str
    """What is wrong, for example ``unknown key``."""
    name: str
    """Which name it concerns, for example ``atmosphere.trunction``."""
    expected: str = ""
    found: str = ""
    remedy: str = ""
    """What to do about it, as an imperative."""

    def __str__(self) -> str:
        text = f"{self.what}: {self.name}"
        if self.expected:
            text += f"; expected {self.expected}"
        if self.found:
            text += f"; found {self.found}"
        if self.remedy:
            text += f"; {self.remedy}"
        return text


class CouplerError(Exception):
    """Base of all errors that Isthmus raises on purpose."""

    def __init__(self, *problems: Problem) -> None:
        self.problems = problems
        super().__init__("\n".join(str(p) for p in problems))

    @classmethod
    def of(
        cls, what: str, name: str, *, expected: str = "", found: str = "", remedy: str = ""
    ) -> CouplerError:
        """The error with one problem."""
        return cls(Problem(what=what, name=name, expected=expected, found=found, remedy=remedy))


class ConfigError(CouplerError):
    """A case, recipe or option is wrong."""


class DataError(CouplerError):
    """A file is missing, truncated or does not hold what it should."""


class ContractError(CouplerError):
    """Components do not fit together, or one broke what it declared."""


class ExchangeError(CouplerError):
    """Moving data to another grid or process failed."""


class UnstableError(CouplerError):
    """The model state left the range in which it means anything."""


class BadValue(ValueError):
    """What a validator of parameters raises: the parts of a `Problem` without its name.

    A `ValueError`, because pydantic collects those and knows the name of the key.
    """

    def __init__(self, what: str, *, expected: str = "", found: str = "", remedy: str = "") -> None:
        self.what, self.expected, self.found, self.remedy = what, expected, found, remedy
        super().__init__(str(self.problem("value")))

    def problem(self, name: str) -> Problem:
        """The problem, concerning `name`."""
        return Problem(
            what=self.what,
            name=name,
            expected=self.expected,
            found=self.found,
            remedy=self.remedy,
        )


def nearest(name: str, known: Iterable[str]) -> str:
    """A hint naming the known names closest to `name`, or all of them when few."""
    known = sorted(known)
    close = get_close_matches(name, known, n=3, cutoff=0.55)
    if close:
        return "did you mean " + " or ".join(repr(c) for c in close) + "?"
    if len(known) > _MANY:
        return f"known: {', '.join(known[:_MANY])} and {len(known) - _MANY} more"
    return "known: " + ", ".join(known) if known else "none is known"


_MANY = 20
"""More known names than this are not all listed."""
