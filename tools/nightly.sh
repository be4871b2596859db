#!/usr/bin/env bash
# What takes too long for every change: the slow tests, and every published test case at full length.
#
#   tools/nightly.sh [FOLDER]      blocks of long runs and the log go to FOLDER (default runs/nightly)
#
# Gates whose code has not changed since they were stored are not run again; the climates go on where
# an earlier night stopped. The page and its numbers in docs/results are rewritten: commit them when
# they changed. Ends with status 1 when a test fails or a gate is missed.
set -uo pipefail
cd "$(dirname "$0")/.."
folder=${1:-runs/nightly}
mkdir -p "$folder"
export OMP_NUM_THREADS=1 NUMBA_NUM_THREADS=1
if [ -z "${ISTHMUS_DATA:-}" ] && [ -d ../shared/data ]; then
    ISTHMUS_DATA=$(cd ../shared/data && pwd)
    export ISTHMUS_DATA
fi
python=$PWD/.venv/bin/python
[ -x "$python" ] || python=$(command -v python3)

failed=0
"$python" -m pytest -m slow 2>&1 | tee "$folder/slow-tests.log" || failed=1
"$python" tools/dynamical_core_results.py --work "$folder/gates" 2>&1 | tee "$folder/gates.log" \
    || failed=1
git status --short docs/results
exit $failed
