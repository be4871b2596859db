"""A case: what is wrong is said in sentences, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from coupler.config import Case, Ramp, parse_value, read_yaml, validate, with_changes
from coupler.interface.errors import ConfigError

GOOD = {
    "title": "t",
    "days": 3,
    "atmosphere": {"scheme": "spectral", "truncation": "T21", "dt": "20 min"},
    "physics": {
        "radiation": "grey",
        "gravity_wave": {"scheme": "ad99", "interval": "3 h", "p_src": "315 hPa"},
    },
}


def sentences(raw: dict) -> list[str]:
    return [str(p) for p in validate(raw)[1]]


def test_a_good_case_is_accepted_and_reads_back_from_its_own_yaml(tmp_path: Path) -> None:
    case, problems = validate(GOOD)
    assert problems == []
    assert case is not None
    file = tmp_path / "case.yaml"
    file.write_text(case.to_yaml())
    again, problems = validate(read_yaml(file))
    assert problems == []
    assert again == case


def test_loose_keys_of_a_scheme_are_its_parameters() -> None:
    case, _ = validate(GOOD)
    assert case is not None
    choice = case.physics["gravity_wave"]
    assert choice.parameters == {"p_src": "315 hPa"}
    assert choice.interval == 10800.0


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"dayz": 3}, "unknown key: dayz; did you mean 'days'"),
        ({"output": {"intervall": 1}}, "unknown key: output.intervall; did you mean 'interval'?"),
        ({"days": "3 kg"}, "wrong unit: days; expected a unit convertible to 'day'; found '3 kg'"),
        (
            {"days": "3 dayz"},
            "unknown unit: days; expected a unit convertible to 'day'; found '3 dayz'",
        ),
        ({"days": [3]}, "not a number: days; expected a number [day], or text with a number"),
        ({"days": -1}, "bad value: days; expected greater than 0; found -1"),
        ({"days": True}, "a unit convertible to 'day'; found True"),
        ({"seed": "many"}, "bad value: seed; expected a whole number; found 'many'"),
        ({"precision": "float16"}, "precision; expected 'float32' or 'float64'; found 'float16'"),
        ({"start": "next year"}, "not a date: start; expected YYYY-MM-DD"),
        ({"restart": {"keep": 0}}, "restart.keep; expected greater than or equal to 1; found 0"),
        ({"physics": {"radiation": {"scheme": "grey", "mode": "aply"}}}, "'apply', 'shadow'"),
        ({"days": 1e9}, "bad value: days; expected less than or equal to 10000000; found 10000000"),
        ({"restart": {"interval": 1e305}}, "restart.interval; expected less than or equal to 1000"),
        (
            {"physics": {"radiation": {"scheme": "grey", "parameters": 3, "tau": 2}}},
            "bad value: physics.radiation.parameters; expected a mapping of keys; found 3",
        ),
        (
            {"physics": {"gravity_wave": {"scheme": "ad99", "weight": 0.3}}},
            "a weight that nothing is mixed by: physics.gravity_wave.weight; expected mode: blend "
            "beside it; found mode: apply; set mode to blend, or leave this out",
        ),
        (
            {"physics": {"gravity_wave": {"scheme": "ad99", "weight": {"over": "5 h"}}}},
            "a weight that nothing is mixed by: physics.gravity_wave.weight",
        ),
        (
            {"physics": {"gravity_wave": {"scheme": "x", "top": {"policy": "zero", "above": 50}}}},
            "a pressure that nothing is absorbed above: physics.gravity_wave.top.above; expected "
            "policy: dump beside it; found policy: zero; set policy to dump, or leave this out",
        ),
        ({"boundary": {"orog": {"file": "x.nc"}}}, "missing key: boundary.orog.variable"),
    ],
)
def test_each_wrong_entry_is_named(change: dict, sentence: str) -> None:
    found = sentences({**GOOD, **change})
    assert any(sentence in s for s in found), found


def test_a_weight_is_taken_where_it_mixes_and_kept_where_a_process_is_off() -> None:
    for mode in ("blend", "off"):
        choice = {"scheme": "ad99", "reference": "wms", "weight": 0.3, "mode": mode}
        case, problems = validate({**GOOD, "physics": {"gravity_wave": choice}})
        assert problems == []
        assert case is not None and case.physics["gravity_wave"].weight == 0.3


def test_all_that_is_wrong_comes_at_once() -> None:
    found = sentences({**GOOD, "dayz": 3, "days": "3 kg", "seed": -1, "output": {"fields": 3}})
    assert len(found) == 4


def test_a_missing_atmosphere_is_named() -> None:
    assert any("missing key: atmosphere" in s for s in sentences({"title": "t"}))


def test_a_swap_keeps_the_old_scheme_as_reference_and_the_interval() -> None:
    raw, problems = with_changes(GOOD, swap={"gravity_wave": "gw_column"})
    assert problems == []
    case, _ = validate(raw)
    assert case is not None
    choice = case.physics["gravity_wave"]
    assert choice.scheme == "gw_column"
    assert choice.interval == 10800.0
    assert choice.parameters == {}
    assert choice.reference is not None
    assert choice.reference.scheme == "ad99"
    assert choice.reference.parameters == {"p_src": "315 hPa"}


def test_a_process_is_left_out_by_swapping_it_for_off() -> None:
    for before in (GOOD["physics"]["gravity_wave"], "ad99"):
        raw = {**GOOD, "physics": {**GOOD["physics"], "gravity_wave": before}}
        changed, problems = with_changes(raw, swap={"gravity_wave": "off"})
        case, found = validate(changed)
        assert not problems and not found and case is not None
        assert case.physics["gravity_wave"].scheme == "ad99"
        assert case.physics["gravity_wave"].mode == "off"


def test_swapping_an_absent_process_names_the_near_ones() -> None:
    _, problems = with_changes(GOOD, swap={"gravity_waves": "x"})
    assert "does not have: gravity_waves; did you mean 'gravity_wave'?" in str(problems[0])


def test_settings_reach_processes_without_their_prefix_and_shorthands() -> None:
    raw, _ = with_changes(GOOD, set={"gravity_wave.mode": "shadow", "radiation.tau": 2})
    assert raw["physics"]["gravity_wave"]["mode"] == "shadow"
    assert raw["physics"]["radiation"] == {"scheme": "grey", "tau": 2}
    assert GOOD["physics"]["radiation"] == "grey", "the given case must not change"


def test_set_values_are_read_as_yaml() -> None:
    assert parse_value("3") == 3
    assert parse_value("20 min") == "20 min"
    assert parse_value("[ua, va]") == ["ua", "va"]
    assert parse_value("true") is True
    assert parse_value("{a: ") == "{a: "
    assert parse_value("0b_") == "0b_"


@pytest.mark.parametrize("date", ["2000-02-30", "0000-01-01", "2000-01-01"])
def test_a_date_without_quotes_is_text_whatever_calendar_it_is_of(
    tmp_path: Path, date: str
) -> None:
    file = tmp_path / "case.yaml"
    file.write_text(f"title: t\natmosphere: spectral\ncalendar: 360_day\nstart: {date}\n")
    assert read_yaml(file)["start"] == parse_value(date) == date
    case, problems = validate(read_yaml(file))
    assert problems == []
    assert case is not None and case.start == date


def test_a_ramp_goes_linearly_and_stays() -> None:
    ramp = Ramp(over=100.0)
    assert [ramp.at(t) for t in (0.0, 25.0, 100.0, 500.0)] == [0.0, 0.25, 1.0, 1.0]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("a: [1", "not valid YAML"),
        ("a: 0b_", "not valid YAML"),
        ("- 1\n- 2", "expected a mapping of keys; found list"),
    ],
)
def test_files_that_are_no_case_are_refused(tmp_path: Path, text: str, sentence: str) -> None:
    file = tmp_path / "bad.yaml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=sentence.replace("[", r"\[")):
        read_yaml(file)


def test_a_missing_case_file_names_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "earth_t31.yaml").write_text("title: x")
    with pytest.raises(ConfigError, match=r"no such case file.*did you mean 'earth_t31\.yaml'"):
        read_yaml(tmp_path / "earth_t13.yaml")


def test_cases_are_frozen() -> None:
    case = Case.model_validate(GOOD)
    with pytest.raises(ValueError, match="frozen"):
        case.days = 3  # type: ignore[misc]
