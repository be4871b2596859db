"""The page of a bad emulator on purpose, from a report's numbers."""

import copy
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import compare_results as tool  # noqa: E402


def verdict(name, before, after, word):
    lived = {"what": "members that reached the end", "found": "8 of 8"}
    return {"name": name, "before": before, "after": after, "word": word, "why": f"why {name}",
            "evidence": [lived]}  # fmt: skip


def scores(stars, number=40):
    return [
        {"significant": i < stars, "over_noise": None if i == 0 else 1.0 + i} for i in range(number)
    ]


REPORT = {
    "versions": {"isthmus": "0.1.0", "commit": "abc"}, "members": 8, "days": 60.0,
    "verdicts": [
        verdict("again", "good", "good", "good"), verdict("emulator", "good", "good", "good"),
        verdict("strong", "bad", "bad", "bad"),
    ],
    "offline": {"emulator": {"outputs": [{"r2": 0.9}, {"r2": 0.7}]}}, "shadow": {},
    "runs": [{"wall": 90.0}, {"wall": None}, {"wall": 60.0}],
    "online": {"again": scores(2), "emulator": scores(0), "strong": scores(40)},
}  # fmt: skip


def test_a_row_has_verdict_skill_stars_and_distance_of_a_candidate():
    row = next(line for line in tool.numbers(REPORT) if "`emulator`" in line)
    # The mean of both outputs; the median of 2, 3, ... 40.
    assert row == "| `emulator` | good | good | good | 0.800 | - | 8 of 8 | 0 of 40 | 21.00 |"
    text = tool.page(REPORT, "The call took 9 minutes.", "python tools/compare_results.py", None)
    assert "`abc`: 3 runs, 2 minutes of processes. The call took 9 minutes." in text
    assert "- `strong`: why strong" in text and "First screen" not in text
    assert "![First screen](x.png)" in tool.page(REPORT, "", "", "x.png")


def test_it_is_good_only_with_a_quiet_repeat_and_a_flag_before_and_after():
    assert tool.good(REPORT)  # 2 of 40 stars are 5 %
    for change in (
        lambda r: r["online"].update(again=scores(3)),
        lambda r: r["verdicts"][2].update(before="good"),
        lambda r: r["verdicts"][2].update(after="good"),
        lambda r: r["verdicts"][1].update(before="bad"),
    ):
        other = copy.deepcopy(REPORT)
        change(other)
        assert not tool.good(other)
