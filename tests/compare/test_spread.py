"""Members of a candidate as a forecast of the reference's."""

import numpy as np
import pytest

from coupler.compare.metrics import Vector
from coupler.compare.online import score
from coupler.compare.spread import spread

Members = dict[int, dict[str, Vector]]
CELLS = 300


def _members(seed: int, n: int, *, wide: float = 1.0, shift: float = 0.0) -> Members:
    rng = np.random.default_rng(seed)
    weight = np.linspace(1.0, 2.0, CELLS)
    return {
        m: {
            f"{group} {k}": Vector(values=shift + wide * rng.normal(size=CELLS), order=2,
                                   weight=weight / weight.sum(), group=group, units="K")
            for k in range(3) for group in ("map", "zonal mean", "spectrum")
        }
        for m in range(1, n + 1)
    }  # fmt: skip


def test_members_like_the_reference_hold_it_as_it_holds_itself() -> None:
    reference = _members(1, 9)
    got = spread(_members(2, 9), reference, reference[1])
    assert got is not None
    assert got.members == 8
    # 6 fields of 300 cells and 9 truths: standard errors of about 0.01.
    assert got.crps == pytest.approx(1.0, abs=0.04)
    assert got.ratio == pytest.approx(1.0, abs=0.04)
    assert got.expected == pytest.approx(7 / 9)
    assert got.share == pytest.approx(7 / 9, abs=0.03)
    itself = spread(reference, reference, reference[1])
    assert itself is not None and itself.crps == 1.0


def test_members_that_are_too_sure_or_elsewhere_do_not() -> None:
    reference = _members(1, 9)
    sure = spread(_members(2, 9, wide=0.2), reference, reference[1])
    away = spread(_members(2, 9, shift=3.0), reference, reference[1])
    assert sure is not None and away is not None
    # E|x - y| - E|x - x'|/2 of normals: (2 sqrt(1 + s^2) - s sqrt(2)) / sqrt(2) against sqrt(2) / 2
    # in the same unit, with s = 0.2: 1.24.
    assert sure.crps == pytest.approx(2.0 * np.sqrt(1.04) / np.sqrt(2.0) - 0.2, abs=0.04)
    assert sure.ratio == pytest.approx(0.2 * np.sqrt(1.125) / np.sqrt(1.0 + 0.04 / 8), abs=0.02)
    assert sure.share < 0.3
    assert away.crps > 4.0 and away.ratio < 0.4 and away.share < 0.1


def test_a_member_is_not_held_against_the_one_of_its_own_start() -> None:
    """A copy of the reference is as good as the reference and not perfect."""
    reference = _members(1, 4)
    copy = spread(dict(reference), reference, reference[1])
    assert copy is not None
    assert copy.crps == 1.0
    assert copy.share < 0.75


def test_too_few_members_say_nothing() -> None:
    reference = _members(1, 9)
    assert spread(_members(2, 2), reference, reference[1]) is None  # one is left for two truths
    assert spread(_members(2, 9), dict(list(reference.items())[:2]), reference[1]) is None
    assert spread({}, reference, reference[1]) is None


def test_scores_of_a_candidate_have_it_with_what_is_known_to_all() -> None:
    assert score("x", _members(2, 5), _members(1, 5)).spread is not None
    assert score("x", _members(2, 2), _members(1, 2)).spread is None
