"""The page of a bad emulator on purpose: AD99, itself again, the shipped emulator, a spoilt one.

    python tools/compare_results.py [--members 8] [--days 60] [--jobs N] [--work DIR]

Spoils the shipped emulator of gravity waves (its drag five times too strong), runs
``isthmus compare full`` on ``cases/aquaplanet_t21.yaml`` with all three against AD99, and writes
docs/results/compare.md from the report's numbers, with a picture of the report's first screen where
there is a browser. Runs lie in DIR and are not made again; the report stays beside them.
"""

from __future__ import annotations

import argparse
import json
import math
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from spoil_bundle import spoil  # noqa: E402

from coupler.interface.files import write_whole  # noqa: E402

CASE, BUNDLE, DRAG = "cases/aquaplanet_t21.yaml", "emulators/bundles/gw_column", 5.0
PAGE = ROOT / "docs" / "results" / "compare.md"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def browser() -> str | None:
    """The first browser that is there."""
    return next((found for name in BROWSERS if (found := shutil.which(name))), None)


def compared(work: Path, members: int, days: float, jobs: int | None) -> tuple[dict[str, Any], str]:
    """The report's numbers, and how long the last call took."""
    strong = work / "strong"
    if not strong.is_dir():
        work.mkdir(parents=True, exist_ok=True)
        spoil(ROOT / BUNDLE, strong, drag=DRAG, flip=False)
    runs = work / "report.work" / "runs"
    before = len(list(runs.glob("*"))) if runs.is_dir() else 0
    command = [
        sys.executable, "-m", "coupler", "compare", "full", CASE, "--members", str(members),
        "--days", f"{days:g}", "--report", str(work / "report.html"),
        "--candidates", "again=ad99", "emulator=gw_column", f"strong={strong}",
    ]  # fmt: skip
    command += ["--jobs", str(jobs)] if jobs else []
    began = time.perf_counter()
    subprocess.run(command, cwd=ROOT, check=True)
    minutes = (time.perf_counter() - began) / 60.0
    took = f"The call took {minutes:.0f} minutes" + (f" with `--jobs {jobs}`" if jobs else "")
    took += "; it found runs of an earlier one." if before else "."
    return json.loads((work / "report.json").read_text(encoding="utf-8")), took


def picture(report: Path, path: Path) -> bool:
    """The first screen of a report as a PNG; whether there is a browser."""
    program = browser()
    if program is None:
        return False
    subprocess.run(
        [program, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
         "--window-size=1200,1000", f"--screenshot={path}", report.resolve().as_uri()],
        check=True, capture_output=True,
    )  # fmt: skip
    return True


def numbers(report: dict[str, Any]) -> list[str]:
    """Lines of the table, a candidate each."""
    lines = []
    for verdict in report["verdicts"]:
        name = verdict["name"]
        skill = [_mean_r2(report[kind].get(name)) for kind in ("offline", "shadow")]
        scores = report["online"].get(name) or []
        stars = sum(bool(s["significant"]) for s in scores)
        ends = [e["found"] for e in verdict["evidence"] if "reached the end" in e["what"]]
        noise = [
            float(s["over_noise"]) for s in scores if math.isfinite(s["over_noise"] or math.nan)
        ]
        middle = f"{statistics.median(noise):.2f}" if noise else "-"
        words = [verdict[key] for key in ("before", "after", "word")]
        starred = f"{stars} of {len(scores)}"
        cells = [f"`{name}`", *words, *skill, "".join(ends), starred, middle]
        lines.append("| " + " | ".join(cells) + " |")
    return lines


def _mean_r2(answers: dict[str, Any] | None) -> str:
    if not answers:
        return "-"
    found = [float(o["r2"]) for o in answers["outputs"]]
    return f"{sum(found) / len(found):.3f}"


def page(report: dict[str, Any], took: str, command: str, picture_name: str | None) -> str:
    """The text."""
    made, runs = report["versions"], report["runs"]
    spent = sum(float(run["wall"] or 0.0) for run in runs) / 60.0
    lines = [
        "# A bad emulator on purpose",
        "",
        f"Made by `{command}` with Isthmus {made['isthmus']}, commit `{made['commit']}`: "
        f"{len(runs)} runs, {spent:.0f} minutes of processes. {took}",
        "",
        f"`isthmus compare full {CASE}`: {report['members']} members of {report['days']:g} days of "
        "Alexander and Dunkerton (1999), the reference; as many of the same scheme from other "
        "starts (`again`, the A/A test), of the shipped network (`emulator`), and of that network "
        f"with its drag {DRAG:g} times too strong (`strong`, "
        f"`python tools/spoil_bundle.py {BUNDLE} strong --drag {DRAG:g}`), whose pattern is right, "
        "so that its correlation is as good as the other's.",
        "",
        "| | before the runs | after | verdict | R2 offline | in the shadow | members that lived "
        "| metrics with a star | median distance over weather's |",
        "|---|---|---|---|---|---|---|---|---|",
        *numbers(report),
        "",
        "A star is a difference at 5 % for all metrics of a candidate together "
        "([how](../compare.md#what-is-claimed-and-what-is-not)); the A/A test ought to have none. "
        "R2 is the mean over outputs.",
        "",
        *(f"- `{v['name']}`: {v['why']}" for v in report["verdicts"] if v["why"]),
        "",
    ]
    if picture_name:
        lines += ["The first screen of the report:", "", f"![First screen]({picture_name})", ""]
    return "\n".join(lines)


def good(report: dict[str, Any]) -> bool:
    """Whether the spoilt one is flagged before and after, and the A/A test is quiet."""
    verdicts = {v["name"]: v for v in report["verdicts"]}
    again = report["online"]["again"]
    quiet = sum(not s["significant"] for s in again) >= 0.95 * len(again) > 0
    strong = verdicts["strong"]
    flagged = strong["before"] == "bad" and (strong["after"] == "bad" or "blows" in strong["word"])
    return quiet and flagged and verdicts["emulator"]["before"] != "bad"


def main() -> int:
    """The command; exit status 1 where the report does not show what it has to."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--members", type=int, default=8)
    parser.add_argument("--days", type=float, default=60.0)
    parser.add_argument("--jobs", type=int, help="runs at a time; as many as there are cores")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "compare")
    parser.add_argument("--out", type=Path, default=PAGE)
    args = parser.parse_args()
    report, took = compared(args.work.resolve(), args.members, args.days, args.jobs)
    command = "python tools/compare_results.py"
    command += f" --members {args.members}" if args.members != 8 else ""
    command += f" --days {args.days:g}" if args.days != 60.0 else ""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    image = args.out.with_suffix(".png")
    seen = picture(args.work.resolve() / "report.html", image)
    text = page(report, took, command, image.name if seen else None)
    write_whole(args.out, text)
    print(text)
    return 0 if good(report) else 1


if __name__ == "__main__":
    sys.exit(main())
