"""Declarations that do not fit are reported together, by name."""

from __future__ import annotations

from coupler.driver.negotiate import Plan, negotiate
from coupler.interface.component import (
    Arrays,
    Model,
    Now,
    Tendency,
    flux_of,
    gives,
    reads,
    tendencies_of,
)


class _Base(Tendency):
    def compute(self, x: Arrays, tend: Arrays, flux: Arrays, diag: Arrays, now: Now) -> None:
        tend.ta[...] = 0.0


class Rain(_Base):
    inputs = reads("ta hus")
    diagnostics = gives("pr")


class Wet(_Base):
    inputs = reads("ta", pfull="hPa")
    diagnostics = gives("pr")


class NeedsRain(_Base):
    inputs = reads("pr ts")


class BadUnit(_Base):
    inputs = reads("", pfull="K")


class Ocean(Model):
    receives = reads("hfls")
    provides = gives("ts")
    boundary = reads("tos")

    def fields(self) -> dict:
        return {}

    def step(self, received: Arrays, now: Now) -> None:
        pass


ATMOSPHERE = ("ua", "ta", "hus", "pfull")


def plan(process: str, cls: type[Tendency], *, plain: bool = True) -> Plan:
    return Plan(process=process, label="x", cls=cls, plain=plain)


def told(*plans: Plan, models: dict | None = None, boundary: dict | None = None) -> list[str]:
    return [str(p) for p in negotiate(plans, ATMOSPHERE, models or {}, boundary or {})]


class Deep(_Base):
    inputs = reads("ta")
    diagnostics = gives("pr tas")


class Dry(_Base):
    inputs = reads("ta")


class NeedsBoth(_Base):
    inputs = reads("pr tas")


def test_of_a_blend_others_see_fluxes_of_either_and_the_rest_only_where_both_give_it() -> None:
    def mixed(cls: type[Tendency], partner: type[Tendency]) -> list[str]:
        reference = Plan(process="rain", label="ref", cls=cls, plain=True, partner=partner)
        return told(plan("rain", partner, plain=False), reference, plan("b", NeedsBoth))

    assert mixed(Deep, Deep) == []
    for pair in ((Deep, Dry), (Dry, Deep)):
        (sentence,) = mixed(*pair)
        assert "an input that nobody provides: tas of b=x" in sentence
    assert "only one of the blended schemes of rain gives it" in mixed(Deep, Dry)[0]


class Wave(_Base):
    inputs = reads("ua")
    fluxes = (flux_of("ua", "xgwdparam"),)


class Push(_Base):
    inputs = reads("ua")
    tendencies = tendencies_of("ua va")


def test_what_the_atmosphere_does_not_have_cannot_be_changed() -> None:
    (sentence,) = told(plan("a", Push))
    assert sentence.startswith("a tendency of a field that the atmosphere does not have: va of a=x")
    (sentence,) = told(plan("b", Wave))
    assert sentence.startswith("a flux through an atmosphere without pressure: xgwdparam of b=x")
    have = (*ATMOSPHERE, "va", "phalf")
    assert negotiate([plan("a", Push), plan("b", Wave)], have, {}, {}) == []


def test_components_that_fit_give_no_sentence() -> None:
    assert told(plan("a", Rain), plan("b", _Base)) == []


def test_two_components_with_one_output_are_both_named() -> None:
    (sentence,) = told(plan("a", Rain), plan("b", Wet))
    assert "two components claim one output: pr; found a=x and b=x" in sentence


def test_a_shadow_may_give_what_the_acting_scheme_gives() -> None:
    assert told(plan("a", Wet, plain=False), plan("a", Rain)) == []


def test_an_input_that_nobody_provides_is_named_with_who_wants_it() -> None:
    found = told(plan("c", NeedsRain))
    assert len(found) == 2
    assert "an input that nobody provides: pr of c=x" in found[0]


def test_an_input_from_a_later_scheme_says_to_move_it() -> None:
    found = told(
        plan("c", NeedsRain), plan("a", Rain), models={"ocean": Ocean}, boundary={"ocean": ["tos"]}
    )
    assert any("a=x provides it: put a before it in the case" in s for s in found)
    assert not any("ts of c" in s for s in found), "the ocean provides ts"


def test_a_unit_of_another_kind_is_refused() -> None:
    (sentence,) = told(plan("d", BadUnit))
    assert "pfull of d=x; expected a unit convertible from 'Pa'; found 'K'" in sentence


def test_a_model_is_given_the_units_of_the_table_alone() -> None:
    class Other(Ocean):
        receives = reads("rsds", pr="mm day-1", hfls="W/m2")
        boundary = reads("", tos="degC")

    have = (*ATMOSPHERE, "rsds", "pr", "hfls")
    problems = negotiate([], have, {"ocean": Other}, {"ocean": ["tos"]})
    found = "a model takes fields in the units of the table: {} of ocean; expected {}; found {}; "
    assert [
        str(p).removesuffix("leave the units out and convert in the model") for p in problems
    ] == [
        found.format("pr", "'kg m-2 s-1'", "'mm day-1'"),
        found.format("tos", "'K'", "'degC'"),
    ]


def test_a_model_without_its_inputs_and_boundary_is_refused() -> None:
    found = told(models={"ocean": Ocean})
    assert any("an input that nobody provides: hfls of ocean" in s for s in found)
    assert any("missing boundary field: tos of ocean" in s for s in found)
