"""The C library under the address and undefined-behaviour sanitizers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from c_library import ROOT, environment

HERE = Path(__file__).resolve().parent
SANITIZE = "-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined -fno-sanitize-recover=all"


def sanitized(library: str, *tests: str) -> subprocess.CompletedProcess[str]:
    """Those tests in a process of their own, with a library that was built with the sanitizers."""
    runtime = subprocess.run(
        ["gcc", f"-print-file-name={library}"], capture_output=True, text=True, check=True
    )
    env = environment() | {
        "LD_PRELOAD": runtime.stdout.strip(),
        # Python keeps what it allocated until the end: leaks are another test's affair.
        "ASAN_OPTIONS": "detect_leaks=0:abort_on_error=1",
        "UBSAN_OPTIONS": "print_stacktrace=1",
        "ISTHMUS_TEST_FLAGS": SANITIZE,
    }
    env.pop("PYTEST_XDIST_WORKER", None)  # it is no worker
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, env=env, cwd=ROOT, capture_output=True, text=True)


def test_exact_calls_and_refusals_are_clean_under_the_sanitizers() -> None:
    faults = str(HERE / "test_bridge_faults.py")
    names = "wrong_field or out_of_order or listed or options or go_on or follow or killed"
    done = sanitized(
        "libasan.so", str(HERE / "test_calls_are_exact.py"), faults, "-k",
        f"exact or section or memory_of or {names}",
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    assert " passed" in done.stdout


@pytest.mark.slow
def test_everything_is_clean_under_the_sanitizers() -> None:
    tests = [str(HERE / n) for n in ("test_calls_are_exact.py", "test_bridge_faults.py")]
    done = sanitized("libasan.so", *tests)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]


def test_the_sanitizers_see_a_write_beyond_an_array(tmp_path: Path) -> None:
    source = tmp_path / "beyond.c"
    source.write_text("int main(int n, char **v) { int a[2]; a[n + 1] = (int)(long)v; return *a; }")
    made = str(tmp_path / "beyond")
    subprocess.run(["gcc", *SANITIZE.split(), "-w", "-o", made, str(source)], check=True)
    env = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    assert subprocess.run([made], env=env, capture_output=True).returncode != 0
