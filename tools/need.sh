#!/usr/bin/env bash
# tools/need.sh COMMAND[=PACKAGE] ...
#
# Makes sure that commands exist. One that is missing is installed from its Debian/Ubuntu package
# where that is possible without asking anything (root, or sudo without a password); otherwise one
# sentence names it. The exit status is 1 if a command is still missing, so the caller decides
# whether that matters.
set -euo pipefail

missing=()
for item in "$@"; do
    command -v "${item%%=*}" >/dev/null 2>&1 || missing+=("$item")
done
[ ${#missing[@]} -eq 0 ] && exit 0

as_root=none
if command -v apt-get >/dev/null 2>&1; then
    if [ "$(id -u)" -eq 0 ]; then
        as_root=""
    elif command -v sudo >/dev/null 2>&1 && sudo -n true 2>/dev/null; then
        as_root="sudo -n"
    fi
fi

if [ "$as_root" != none ]; then
    echo "Installing ${missing[*]##*=} with apt-get."
    log=$(mktemp)
    # shellcheck disable=SC2086  # as_root is a command of zero or two words
    if ! { $as_root apt-get update -q && DEBIAN_FRONTEND=noninteractive $as_root apt-get install \
        -q -y --no-install-recommends "${missing[@]##*=}"; } >"$log" 2>&1; then
        tail -n 5 "$log"
    fi
    rm -f "$log"
fi

status=0
for item in "${missing[@]}"; do
    if ! command -v "${item%%=*}" >/dev/null 2>&1; then
        echo "${item%%=*} is missing and could not be installed here;" \
            "install the package '${item##*=}' of your system to use what needs it."
        status=1
    fi
done
exit $status
