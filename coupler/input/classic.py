"""Whether a classic netCDF file is whole.

The netCDF library fills what is missing of a truncated classic file with zeros and says nothing;
HDF5 notices by itself. The size that a classic file must have follows from its header, see "NetCDF
Classic Format Specification" (Unidata, https://docs.unidata.ucar.edu/netcdf-c/current/
file_format_specifications.html).
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

_MAGIC = {b"CDF\x01": (4, 4), b"CDF\x02": (4, 8), b"CDF\x05": (8, 8)}
"""Bytes of a count and of a file offset, by format version."""
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}
"""Bytes of the external types, by type number."""
_STREAMING = {4: 2**32 - 1, 8: 2**64 - 1}


class _Header:
    """Reads the big-endian header of a classic file."""

    def __init__(self, file: BinaryIO, count_bytes: int, offset_bytes: int) -> None:
        self.file, self.count_bytes, self.offset_bytes = file, count_bytes, offset_bytes

    def number(self, size: int) -> int:
        raw = self.file.read(size)
        value: int = struct.unpack(">I" if size == 4 else ">Q", raw)[0]
        return value

    def count(self) -> int:
        return self.number(self.count_bytes)

    def skip_padded(self, size: int) -> None:
        self.file.seek(size + (-size) % 4, 1)

    def list_length(self) -> int:
        self.number(4)  # tag
        return self.count()

    def skip_attributes(self) -> None:
        for _ in range(self.list_length()):
            self.skip_padded(self.count())
            size = _SIZES[self.number(4)]
            self.skip_padded(size * self.count())


def missing_bytes(path: Path) -> int:
    """Bytes that a classic netCDF file lacks; 0 when it is whole or of another format."""
    with path.open("rb") as file:
        widths = _MAGIC.get(file.read(4))
        if widths is None:
            return 0
        try:
            needed = _needed(_Header(file, *widths))
        except (struct.error, KeyError):
            return 1  # ends inside its header
    return max(0, needed - path.stat().st_size)


def _needed(header: _Header) -> int:
    records = header.count()
    lengths = []
    for _ in range(header.list_length()):
        header.skip_padded(header.count())
        lengths.append(header.count())
    header.skip_attributes()
    ends: list[tuple[int, int]] = []
    in_records: list[tuple[int, int]] = []
    for _ in range(header.list_length()):
        header.skip_padded(header.count())
        dims = [lengths[header.count()] for _ in range(header.count())]
        header.skip_attributes()
        size = _SIZES[header.number(4)]
        header.count()  # the stored size is not reliable for large variables
        begin = header.number(header.offset_bytes)
        is_record = bool(dims) and dims[0] == 0
        for length in dims[1:] if is_record else dims:
            size *= length
        (in_records if is_record else ends).append((begin, size))
    extents = [begin + size for begin, size in ends]
    if records not in (0, _STREAMING[header.count_bytes]):
        # Variables lie side by side in a record, each padded to four bytes unless it is alone.
        padded = [size + (-size) % 4 for _, size in in_records]
        stride = in_records[0][1] if len(in_records) == 1 else sum(padded)
        extents += [begin + (records - 1) * stride + size for begin, size in in_records]
    return max([header.file.tell(), *extents])
