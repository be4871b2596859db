"""Levels and latitudes that cannot be, a top that a scheme cannot have: one sentence each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tiny import DRY, changed, run

Refused = Callable[..., list[str]]
CLOSED = {"a": [2000.0, 6000.0, 9000.0, 0.0], "b": [0.0, 0.05, 0.3, 1.0]}
"""Three layers below a lid at 20 hPa."""

LEVELS: list[tuple[Any, str]] = [
    (
        {"sigma": [0.0, 0.5, 0.3, 1.0]},
        "levels not increasing downward: atmosphere.levels; expected interface pressure that "
        "increases downward, also at ps = 500 hPa; found layer 1 has no thickness",
    ),
    (
        {"sigma": [1.0, 0.5, 0.0]},
        "impossible levels: atmosphere.levels; expected equally long lists a and b, top first, "
        "ending with a = 0 and b = 1 at the ground, or b = 0 everywhere above it; found 3 values "
        "of a, 3 of b, ending 0 and 0",
    ),
    (
        {"a": [0.0, 1e4, 5e4], "b": [0.0, 0.0, 0.0]},
        "levels of a part of the atmosphere: atmosphere.levels; expected b = 0 and a of 0 or more "
        "at the top, b = 1 and a = 0 at the ground; found a from 0 to 50000 Pa, b from 0 to 0",
    ),
    (
        {"a": [0.0, 1e4, 2e4, 0.0], "b": [0.0, 0.3, 0.25, 1.0]},
        "b of the levels falls downward: atmosphere.levels; expected values that do not fall from "
        "the top to the ground; found [0.0, 0.3, 0.25, 1.0]",
    ),
]
NO_LEVELS: list[Any] = [3, [0.0, 1.0], {"a": [0.0, 1.0]}, {"sigma": [0, "x", 1]}, {"sigma": [0, 1]}]


@pytest.mark.parametrize(("levels", "sentence"), LEVELS)
def test_levels_that_cannot_be_are_refused(refused: Refused, levels: Any, sentence: str) -> None:
    assert refused(change={"atmosphere.levels": levels}) == [sentence]


@pytest.mark.parametrize("levels", NO_LEVELS)
def test_what_is_no_set_of_levels_is_refused(refused: Refused, levels: Any) -> None:
    (sentence,) = refused(change={"atmosphere.levels": levels})
    assert sentence.startswith("no set of levels: atmosphere.levels; expected a name such as")
    assert sentence.endswith(f"found {levels!r}")


@pytest.mark.parametrize(
    ("number", "what"),
    [(17, "odd number of latitudes"), (10, "too few latitudes for the truncation")],
)
def test_latitudes_that_do_not_go_with_the_truncation_are_refused(
    refused: Refused, number: int, what: str
) -> None:
    (sentence,) = refused(change={"atmosphere.latitudes": number})
    assert sentence.startswith(f"{what}: atmosphere; expected an even number of at least 12 for ")
    assert sentence.endswith(f"found {number}")


PLUGIN = """
from coupler.interface.component import Needs, Tendency, reads, tendencies_of
from coupler.interface.registry import scheme

@scheme("stratosphere", "log_pressure")
class LogPressure(Tendency):
    inputs = reads("ta phalf")
    tendencies = tendencies_of("ta")
    needs = Needs(closed_top=True)

    def compute(self, x, tend, flux, diag, now):
        assert x.phalf[0].min() > 0.0
        tend.ta[...] = 1e-6
"""


def test_a_top_at_zero_pressure_is_refused_where_a_scheme_needs_another(
    refused: Refused, tmp_path: Path
) -> None:
    plugin = tmp_path / "log_pressure.py"
    plugin.write_text(PLUGIN)
    with_scheme = {"plugins": [str(plugin)], "physics.stratosphere": "log_pressure"}
    assert refused(change=with_scheme) == [
        "a top at zero pressure: stratosphere=log_pressure; expected a pressure above 0 at the "
        "uppermost interface, which this scheme needs; found 0 Pa with atmosphere.levels = sigma5; "
        "list the interfaces as atmosphere.levels: {a: [.. Pa], b: [..]}"
    ]
    closed = {**with_scheme, "atmosphere.levels": CLOSED, "days": "2 h", "output.interval": "1 h"}
    simulation = run(tmp_path / "closed", changed(DRY, closed))
    columns = simulation.model.atmosphere.columns()
    assert np.all(columns["phalf"][0] == 2000.0) and columns["ta"].shape[0] == 3
    assert np.isfinite(columns["zghalf"]).all()


def test_an_even_number_of_latitudes_makes_the_grid(tmp_path: Path) -> None:
    case = changed(DRY, {"atmosphere.latitudes": 12, "days": "1 h", "output.interval": "1 h"})
    simulation = run(tmp_path, case)
    assert simulation.model.atmosphere.columns()["ta"].shape == (5, 12, 24)
