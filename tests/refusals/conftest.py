"""A changed case is run and must be refused."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tiny import DRY, changed, write_case

from coupler.cli import main

Refused = Callable[..., list[str]]


@pytest.fixture
def refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Refused:
    """Runs a changed case, sees that it is refused and nothing written; returns the sentences."""

    def run(*arguments: str, base: dict[str, Any] = DRY, **changes: Any) -> list[str]:
        case = write_case(tmp_path / "case.yaml", changed(base, changes.pop("change", changes)))
        out = tmp_path / "out"
        before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
        if "--out" not in arguments:
            arguments = (*arguments, "--out", str(out))
        status = main(["run", str(case), "--quiet", *arguments])
        said = capsys.readouterr()
        assert status == 2, said
        assert said.out == ""
        assert "Traceback" not in said.err
        assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before
        text = said.err.rstrip("\n").replace(str(tmp_path), "TMP")
        if text.startswith("isthmus: "):
            return [text.removeprefix("isthmus: ")]
        first, *rest = text.split("\n  - ")
        assert re.fullmatch(rf"isthmus run: {len(rest)} problems", first)
        return rest

    return run
