"""Does every fault of tests/parallel/test_fault_table.py and writes docs/results/faults.md.

    python tools/fault_table.py [--out docs/results/faults.md]

Each line is written by the test that did it; a test that fails leaves no page.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from coupler.interface.files import write_whole

ROOT = Path(__file__).resolve().parents[1]
TESTS = ROOT / "tests" / "parallel" / "test_fault_table.py"
PAGE = """# Faults, and what the run did

`python tools/fault_table.py` does each of these to runs in real processes
([tests/parallel/test_fault_table.py](../../tests/parallel/test_fault_table.py)) and wrote this page
on {date}: {machine}, load {load:.1f}. For every line it was
checked that the job ended within its deadline, that no process and nothing in `/dev/shm` was left,
and, where records had been written, that they are those of an undisturbed run.

A full disk is a limit on the size of files, set while the run is under way.
Times go from the fault to the end of the job; those of faults that the case itself brings along are
of the whole job, its start included.

| fault | what the run did | took [s] | deadline [s] |
|---|---|---|---|
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "results" / "faults.md")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", str(TESTS), f"--junitxml={report}"]
        command += ["-o", "junit_family=xunit1"]
        status = subprocess.run(command, cwd=ROOT).returncode
        if status:
            return status
        lines = []
        for case in ET.parse(report).iter("testcase"):
            about = {p.get("name"): p.get("value") for p in case.iter("property")}
            line = [about[name] for name in ("fault", "did", "took", "deadline")]
            lines.append(f"| {' | '.join(map(str, line))} |")
    page = PAGE.format(
        date=datetime.date.today().isoformat(),
        machine=f"{platform.machine()}, {os.cpu_count()} cores",
        load=load,
    )
    write_whole(args.out, page + "\n".join(lines) + "\n")
    print(f"{len(lines)} faults, written to {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
