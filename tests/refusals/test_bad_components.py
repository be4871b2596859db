"""Components that do not fit together get a clear sentence each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tiny import COUPLED, plugin, write_case, write_small_bundle

from coupler.cli import main
from coupler.interface.grid import HybridLevels

Refused = Callable[..., list[str]]


RAIN = """
from coupler.interface.component import Tendency, gives, reads
from coupler.interface.registry import scheme

@scheme("drizzle", "{name}")
class Rain(Tendency):
    inputs = reads("{reads}")
    diagnostics = gives("{gives}")

    def compute(self, x, tend, flux, diag, now):
        pass
"""


def test_two_components_that_claim_one_output_are_refused(refused: Refused, tmp_path: Path) -> None:
    plugin = tmp_path / "drizzle.py"
    plugin.write_text(RAIN.format(name="drizzle", reads="ta", gives="rlut pfull"))
    assert refused(
        base=COUPLED, change={"plugins": ["drizzle.py"], "physics.drizzle": "drizzle"}
    ) == [
        "two components claim one output: rlut; found radiation=grey and drizzle=drizzle; leave "
        "one of them out of the case",
        "two components claim one output: pfull; found atmosphere and drizzle=drizzle; leave one "
        "of them out of the case",
    ]


def test_an_input_that_nobody_provides_is_refused_with_who_could(
    refused: Refused, tmp_path: Path
) -> None:
    found = refused(base=COUPLED, surface=None)
    assert found[0] == (
        "an input that nobody provides: ts of radiation=grey; add a component that provides it: "
        "surface=slab or tiles=mosaic"
    )
    assert {s.split(" of ")[0] for s in found} == {
        f"an input that nobody provides: {name}" for name in ("ts", "albs")
    }
    plugin = tmp_path / "thirsty.py"
    plugin.write_text(RAIN.format(name="thirsty", reads="ta tos", gives=""))
    (sentence,) = refused(change={"plugins": ["thirsty.py"], "physics.drizzle": "thirsty"})
    assert sentence.startswith(
        "an input that nobody provides: tos of drizzle=thirsty; add a component that provides it, "
        "or a file as boundary.tos; "
    )
    first = {"drizzle": "wants_rain", **COUPLED["physics"]}
    plugin.write_text(RAIN.format(name="wants_rain", reads="rlut", gives=""))
    assert refused(base=COUPLED, change={"plugins": ["thirsty.py"], "physics": first}) == [
        "an input that nobody provides: rlut of drizzle=wants_rain; radiation=grey provides it: "
        "put radiation before it in the case"
    ]


def test_a_misspelt_surface_is_not_also_missed_by_all_who_need_it(refused: Refused) -> None:
    assert refused(base=COUPLED, surface={"scheme": "slap"}) == [
        "unknown scheme: surface=slap; did you mean 'slab'?"
    ]


NINE = HybridLevels.named("hybrid9")


def test_a_bundle_whose_channels_do_not_match_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(
        tmp_path / "odd", NINE, ta={"units": "Pa"}, xgwdparam={"units": "hPa"}
    )
    assert refused("--swap", f"gravity_wave={folder}", base=COUPLED) == [
        "wrong unit of a bundle's channel: odd: ta; expected K; found Pa",
        "wrong unit of a bundle's channel: odd: xgwdparam; expected Pa; found hPa",
    ]


def test_a_bundle_on_other_levels_is_refused_unless_it_may_be_interpolated(
    refused: Refused, tmp_path: Path
) -> None:
    folder = write_small_bundle(tmp_path / "five", HybridLevels.named("sigma5"))
    swap = ("--swap", f"gravity_wave={folder}")
    (sentence,) = refused(*swap, base=COUPLED)
    assert sentence.startswith("levels of a bundle differ from the host's: five; expected 5 levels")
    case = write_case(tmp_path / "case.yaml", COUPLED)
    regrid = ("--set", "gravity_wave.levels=regrid", "--out", str(tmp_path / "regrid"))
    assert main(["check", str(case), *swap, *regrid]) == 0


def test_what_is_no_bundle_or_a_damaged_one_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path / "small", NINE)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    (sentence,) = refused("--swap", f"gravity_wave={folder}", base=COUPLED)
    assert sentence.startswith("corrupted file in a bundle: TMP/small/weights.safetensors")
    weights.unlink()
    (sentence,) = refused("--swap", f"gravity_wave={folder}", base=COUPLED)
    assert sentence.startswith("not a bundle, files are missing: TMP/small; expected a folder with")
    (sentence,) = refused("--swap", f"radiation={folder}", base=COUPLED)
    assert sentence.startswith("not a bundle")


def test_a_bundle_of_another_process_is_refused(refused: Refused, tmp_path: Path) -> None:
    folder = write_small_bundle(tmp_path / "small", NINE)
    assert refused("--swap", f"radiation={folder}", base=COUPLED) == [
        "bundle of another process: radiation=TMP/small; expected radiation; found gravity_wave; "
        "swap gravity_wave for it"
    ]


def test_a_class_of_which_nothing_can_be_made_is_one_sentence_among_the_others(
    refused: Refused, tmp_path: Path
) -> None:
    changes = plugin(tmp_path, "without_compute", "pass")
    file = tmp_path / "without_compute.py"
    file.write_text(file.read_text().replace("def compute", "def computes"))
    tail = "; see docs/add-a-component.md for what its class must have"
    first, second = refused(change={**changes, "seed": "many"})
    assert first == "bad value: seed; expected a whole number; found 'many'"
    assert second.startswith(
        "component cannot be made: test_forcing=without_compute; found TypeError: Can't "
        "instantiate abstract class Forcing "
    )
    assert "compute" in second.partition("Forcing")[2] and second.endswith(tail)
    changes = plugin(tmp_path, "fails_at_once", "pass")
    file = tmp_path / "fails_at_once.py"
    file.write_text(file.read_text() + "\n    def __init__(self, parameters):\n        1 / 0\n")
    line = file.read_text().splitlines().index("        1 / 0") + 1
    assert refused(change=changes) == [
        "component cannot be made: test_forcing=fails_at_once; found ZeroDivisionError: division "
        f"by zero (TMP/fails_at_once.py, line {line}){tail}"
    ]


def test_a_scheme_in_the_shadow_of_nothing_is_refused(refused: Refused) -> None:
    alone = {"scheme": "held_suarez", "mode": "shadow"}
    assert refused(change={"physics.radiation": alone}) == [
        "shadow needs a reference: radiation; add --swap radiation=SCHEME or a reference to the "
        "case"
    ]
