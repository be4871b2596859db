"""What the commands around a run print: whole, also on a terminal of 80 columns."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from coupler.cli import main
from coupler.input.fetch import FILES
from coupler.interface.registry import SCHEMES

Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def eighty_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")


def printed(capsys: Capture, *arguments: str) -> str:
    """What a command prints; nothing of it is cut or wider than the terminal."""
    assert main(list(arguments)) == 0
    text = capsys.readouterr().out
    assert "…" not in text
    if arguments[0] != "data":  # whose lines are addresses and licences, one each
        assert max(map(len, text.splitlines())) <= 80
    return text


def flowing(text: str) -> str:
    return " ".join(text.split())


def test_the_list_of_schemes_has_each_with_its_sentence(capsys: Capture) -> None:
    text = printed(capsys, "schemes")
    ours = [
        (p, s, cls)
        for p, known in SCHEMES.items()
        for s, cls in known.items()
        if cls.__module__.startswith("physics")
    ]
    assert len(ours) >= 14
    for process, scheme, cls in ours:
        assert re.search(rf"\b{process}\b", text)
        assert re.search(rf"\b{scheme}\b", text)
        assert cls.__doc__
    assert "isthmus schemes PROCESS shows inputs, outputs and parameters." in text


def test_a_process_is_shown_with_fields_units_defaults_and_meaning(capsys: Capture) -> None:
    text = printed(capsys, "schemes", "gravity_wave")
    assert "gravity_wave=ad99: Momentum fluxes of Alexander and Dunkerton (1999)" in text
    assert "Called every 10800 s unless the case gives an interval." in flowing(text)
    assert "Conserves momentum by column to 1e-12." in flowing(text)
    for pattern in (
        r"reads +ua +m s-1 +Eastward Wind",
        r"pfull +Pa +Pressure on Model Levels",
        r"changes +utendnogw +m s-2 +Tendency of Eastward Wind",
        r"flux +xgwdparam +Pa +Eastward Gravity-wave Momentum Flux",
        r"source_pressure +31500 Pa +Waves start in the highest",
        r"wide_half_width_tropics +35 m s-1 +The same where abs\(lat\) <=",
    ):
        assert re.search(pattern, text), pattern
    assert "smoother for steps of phase speed above 2 m/s. (layer, split)" in flowing(
        "\n".join(line[45:] for line in text.splitlines())
    )
    for name in SCHEMES["gravity_wave"]["ad99"].Parameters.model_fields:
        assert name in text
    surface = printed(capsys, "schemes", "surface")
    assert re.search(r"file +sftlf +1 +Land Area Fraction \(optional\)", surface)
    assert re.search(r"sea_albedo +0\.31 +Albedo of sea", surface)


def test_an_unknown_process_is_refused_with_the_near_one(capsys: Capture) -> None:
    assert main(["schemes", "gravity_waves"]) == 2
    said = capsys.readouterr().err
    assert said == "isthmus: unknown process: gravity_waves; did you mean 'gravity_wave'?\n"


def test_info_says_what_a_run_depends_on(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    text = printed(capsys, "info")
    for pattern in (
        r"isthmus +\d+\.\d+",
        r"python +3\.\d+",
        r"torch +\d",
        r"netCDF4 +\d",
        r"torch threads +1",
        r"cores +\d+",
        r"processor +\S",
        r"schemes +\d+ of \d+ processes",
    ):
        assert re.search(pattern, text), pattern
    assert f"(0 of {len(FILES)} files, isthmus data list)" in flowing(text)


def test_the_list_of_data_has_state_meaning_and_licence(
    capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ISTHMUS_DATA", str(tmp_path))
    text = printed(capsys, "data", "list")
    assert f"folder: {tmp_path} (set ISTHMUS_DATA for another)" in text
    assert "missing  neuralgcm/era5_tl31_19590102T00.nc\n         ERA5 state of 1959-01-02" in text
    assert len(re.findall(r"^missing ", text, re.M)) == len(FILES)
    assert all(remote.licence in text for remote in FILES.values())


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (
            ["run"],
            [
                "CASE.yaml the case, see cases/",
                "--set KEY=VALUE change a key of the case, dotted: atmosphere.dt='15 min'",
                "--swap PROCESS=SCHEME use another scheme, bundle folder, FILE.py:NAME or",
                "--resume go on from the newest good restart in the folder, or begin if it is",
                "--overwrite replace the run that is in --out",
                "--plugin FILE.py a Python file with schemes, see",
                "isthmus run cases/aquaplanet_t21.yaml",
            ],
        ),
        (["check"], ["say everything that is wrong with a case, without a step"]),
        ([], ["run a case", "what can be swapped for what", "this run against that one"]),
    ],
)
def test_help_says_what_each_option_does(
    capsys: Capture, command: list[str], words: list[str]
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, "--help"])
    assert caught.value.code == 0
    text = flowing(capsys.readouterr().out)
    for sentence in words:
        assert sentence in text


def test_a_wrong_option_is_an_error_of_the_command_line(capsys: Capture) -> None:
    for wrong in (["--swap", "radiation="], ["--set", "days"], ["--resume", "--overwrite"]):
        with pytest.raises(SystemExit) as caught:
            main(["run", "case.yaml", *wrong])
        assert caught.value.code == 2
    said = capsys.readouterr().err
    assert "expected PROCESS=SCHEME, found 'radiation='" in said
    assert "expected KEY=VALUE, found 'days'" in said
    assert "not allowed with argument --resume" in said


@pytest.mark.parametrize("count", ["0", "-1", "two"])
def test_a_number_of_threads_that_cannot_be_is_refused(capsys: Capture, count: str) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["run", "case.yaml", "--threads", count])
    assert stop.value.code == 2
    said = flowing(capsys.readouterr().err)
    assert f"--threads: expected a whole number of at least 1, found '{count}'" in said
