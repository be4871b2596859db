"""The folder of a run: what lies where."""

from __future__ import annotations

import os
from pathlib import Path

from coupler.interface.errors import ConfigError
from coupler.where import BESIDE

_MARKS = ("case.resolved.yaml", "run.json", "atmosphere.nc")


class RunFolder:
    """Paths of one run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def case(self) -> Path:
        return self.path / "case.resolved.yaml"

    @property
    def report(self) -> Path:
        return self.path / "run.json"

    @property
    def atmosphere(self) -> Path:
        return self.path / "atmosphere.nc"

    @property
    def surface(self) -> Path:
        return self.path / "surface.nc"

    @property
    def budgets(self) -> Path:
        return self.path / "budgets.nc"

    @property
    def restart(self) -> Path:
        return self.path / "restart"

    def record(self, process: str) -> Path:
        return self.path / f"record_{process}.nc"

    def holds_a_run(self) -> bool:
        """Whether another run's files are here."""
        return any((self.path / name).exists() for name in _MARKS) or self.has_restart()

    def has_restart(self) -> bool:
        """Whether a run can be continued from here."""
        return any(self.restart.glob("restart_*.safetensors"))

    def refuse_if_unusable(self) -> None:
        """Refuses what cannot become a folder with files of ours.

        Raises:
            ConfigError: when it is a file, or lies below a file or in a folder without permission.
        """
        there = next(p for p in (self.path.absolute(), *self.path.absolute().parents) if p.exists())
        if not there.is_dir():
            raise ConfigError.of(
                "output folder is a file" if there == self.path.absolute() else "no folder to be",
                str(self.path),
                expected="a folder, or a place where one can be made",
                found=f"the file {there}",
                remedy="give another --out",
            )
        if not os.access(there, os.W_OK | os.X_OK):
            raise ConfigError.of(
                "no permission to write the output",
                str(self.path),
                found=f"{there} cannot be written to",
                remedy="give another --out",
            )

    def refuse_if_taken(self) -> None:
        """Refuses to write over another run.

        Raises:
            ConfigError: when the folder holds a run.
        """
        if self.holds_a_run():
            raise ConfigError.of(
                "output folder holds another run",
                str(self.path),
                remedy="give --resume to go on, --overwrite to replace it, or another --out",
            )

    def refuse_if_not_resumable(self) -> None:
        """Refuses to begin again over a run that cannot be continued; an empty folder is fine.

        Raises:
            ConfigError: when the folder holds a run without a restart.
        """
        if self.holds_a_run() and not self.has_restart():
            raise ConfigError.of(
                "nothing to resume",
                str(self.path),
                expected="a file restart/restart_*.safetensors",
                found="a run that wrote no restart",
                remedy="begin again with --overwrite, or give another --out",
            )

    def clear(self) -> None:
        """Removes the files of the run that was here, and nothing else."""
        files = [self.case, self.report, self.atmosphere, self.budgets]
        files += [self.path / f"{name}.nc" for name in BESIDE]
        files += self.path.glob("record_*.nc")
        files += self.path.glob("timeline.*")
        files += self.restart.glob("*.safetensors")
        for file in files:
            file.unlink(missing_ok=True)
