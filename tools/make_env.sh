#!/usr/bin/env bash
# tools/make_env.sh FOLDER EXTRAS [PYTHON]
#
# Creates a virtual environment in FOLDER and installs this checkout into it (editable), with the
# versions that constraints.txt pins. PYTHON may name an interpreter; otherwise the first Python
# 3.11 or newer on PATH is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

folder=$1
extras=$2
python=${3:-}

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null
}

if [ -z "$python" ]; then
    for candidate in python3.12 python3.11 python3.13 python3; do
        if new_enough "$candidate"; then
            python=$candidate
            break
        fi
    done
fi
if [ -z "$python" ] || ! new_enough "$python"; then
    echo "Isthmus needs Python 3.11 or newer; found ${python:-none} on PATH." \
        "Install one, or name it: make env PYTHON=/path/to/python3.11" >&2
    exit 1
fi

# Only the examples and tests of the Fortran bridge need it: go on without.
tools/need.sh gfortran || true

# An environment whose creation was interrupted is made anew.
if ! "$folder/bin/python" -m pip --version >/dev/null 2>&1; then
    rm -rf "$folder"
    if ! "$python" -m venv "$folder"; then
        echo "$python cannot make virtual environments; on Debian and Ubuntu install the package" \
            "'python3-venv' and run the command again." >&2
        exit 1
    fi
fi

echo "Installing Isthmus into $folder (a few minutes the first time; torch is the large part)."
"$folder/bin/python" -m pip install -qq --disable-pip-version-check \
    -c constraints.txt -e ".[$extras]"
