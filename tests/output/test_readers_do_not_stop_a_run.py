"""A file that somebody is looking at while the run appends to it."""

import os
import subprocess
import sys

READER = """
import sys
import netCDF4
file = netCDF4.Dataset(sys.argv[1])
print("open", flush=True)
sys.stdin.readline()
"""
WRITER = """
import sys
import cftime, numpy as np
from coupler.interface.fields import FIELDS
from coupler.interface.grid import Grid
from coupler.output.netcdf import OutputFile
start = cftime.DatetimeNoLeap(2000, 1, 1)
file = OutputFile(sys.argv[1], Grid.regular(3, 5), None, [FIELDS["ps"]], start)
print("made", flush=True)
sys.stdin.readline()
file.append({"ps": np.full((3, 5), 1e5)}, 0.0, 86400.0)
print(file.records, flush=True)
"""


def run_beside_a_reader(path, **locking):
    """Exit status and last line of a writer whose file another process holds open."""
    plain = {k: v for k, v in os.environ.items() if k != "HDF5_USE_FILE_LOCKING"}
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, path], text=True, env=plain | locking, **pipes
    )
    assert writer.stdout.readline() == "made\n"
    reader = subprocess.Popen([sys.executable, "-c", READER, path], text=True, env=plain, **pipes)
    assert reader.stdout.readline() == "open\n"
    said, _ = writer.communicate("go\n", timeout=60)
    reader.communicate("end\n", timeout=60)
    return writer.returncode, said


def test_a_reader_that_holds_the_file_open_does_not_stop_the_run(tmp_path):
    assert run_beside_a_reader(str(tmp_path / "a.nc")) == (0, "1\n")


def test_with_the_locks_of_hdf5_it_would(tmp_path):
    status, _ = run_beside_a_reader(str(tmp_path / "a.nc"), HDF5_USE_FILE_LOCKING="TRUE")
    assert status != 0
