"""The page as a browser shows it, at the width of a desk and of a hand."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from compare_results import browser
from made_up_study import STRONG

PROBE = """
<script>
window.addEventListener("load", function () {
  var of = document.documentElement, first = document.querySelector(".verdict.bad");
  var box = first.getBoundingClientRect();
  document.body.setAttribute("data-probe", JSON.stringify({
    inner: window.innerWidth, scroll: of.scrollWidth, height: window.innerHeight,
    bottom: Math.round(box.bottom), said: first.innerText,
    images: Array.prototype.map.call(document.images, function (i) { return i.naturalWidth; }),
    sortable: document.querySelectorAll("table.sort th[title=sort]").length
  }));
});
</script>
"""


def _browser() -> str:
    return browser() or pytest.fail("no browser: tools/need.sh chromium installs one")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_verdict_is_on_the_first_screen_and_nothing_sticks_out(
    written: Path, tmp_path: Path, width: int
) -> None:
    probed = tmp_path / "probed.html"
    # Chromium's window is at least 500 wide: a frame of the wanted width is looked at instead.
    inner = written.read_text().replace("</body>", PROBE + "</body>")
    probed.write_text(inner)
    frame = tmp_path / "frame.html"
    frame.write_text(
        f"<body style='margin:0'><iframe src='probed.html' width='{width}' height='844' "
        "style='border:0'></iframe><script>addEventListener('load',function(){"
        "document.body.setAttribute('data-probe',"
        "document.querySelector('iframe').contentDocument.body.getAttribute('data-probe'))})"
        "</script></body>"
    )
    command = [_browser(), "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
               "--allow-file-access-from-files", f"--user-data-dir={tmp_path / 'profile'}",
               "--virtual-time-budget=8000", "--dump-dom", frame.as_uri()]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=True)
    match = re.search(r'data-probe="([^"]+)"', done.stdout)
    assert match, done.stderr[-2000:]
    seen = json.loads(match[1].replace("&quot;", '"').replace("&gt;", ">").replace("&lt;", "<"))
    assert seen["inner"] == width
    assert seen["scroll"] <= width  # only tables and pictures scroll sideways, in their own boxes
    assert seen["bottom"] <= seen["height"]  # who is bad, and why, without scrolling
    assert STRONG in seen["said"]
    assert "blows up" in seen["said"]
    assert "amplitude" in seen["said"]
    assert len(seen["images"]) >= 6
    assert min(seen["images"]) > 300
    assert seen["sortable"] > 3
