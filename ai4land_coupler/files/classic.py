"""Finds where the data of a netCDF file in a classic format end: the library reads zeros after the end of such a file.

The formats CDF-1, CDF-2 and CDF-5 are specified in the netCDF User's Guide, appendix "File Format Specifications"
(https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html). Names below are those of its grammar.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import BinaryIO

#: First bytes -> bytes of a NON_NEG (a count or length) and of an OFFSET (the place of a variable).
_SIZES = {b"CDF\x01": (4, 4), b"CDF\x02": (4, 8), b"CDF\x05": (8, 8)}
#: nc_type -> bytes of a value.
_TYPES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 4, 6: 8, 7: 1, 8: 2, 9: 4, 10: 8, 11: 8}


def refuse_truncated(path: Path) -> None:
    """Raise ``OSError`` if a file in a classic format ends before its data. Other formats report this themselves."""
    with path.open("rb") as file:
        sizes = _SIZES.get(file.read(4))
        if sizes is None:
            return
        length = os.fstat(file.fileno()).st_size
        try:
            end = _Header(file, *sizes).end_of_data(length)
        except (EOFError, KeyError, IndexError) as error:
            raise OSError(f"the file ends before its data: its header is cut or damaged ({error})") from error
    if length < end:
        raise OSError(f"the file ends before its data: it has {length} of {end} bytes")


class _Header:
    """Reads the header of a file from the byte after its first four."""

    def __init__(self, file: BinaryIO, count: int, offset: int) -> None:
        self._file, self._count, self._offset = file, count, offset

    def end_of_data(self, length: int) -> int:
        """The number of bytes that a file with this header needs; ``length``: those that it has."""
        records = self._number(self._count)
        dims = [self._dimension() for _ in range(self._list())]
        self._skip_attributes()
        fixed, in_record = [], []
        for _ in range(self._list()):
            self._skip(self._number(self._count))
            shape = [dims[self._number(self._count)] for _ in range(self._number(self._count))]
            self._skip_attributes()
            size = _TYPES[self._number(4)]
            self._number(self._count)  # vsize; the shape tells the same, also where vsize is too small for it
            begin = self._number(self._offset)
            if shape[:1] == [0]:  # The length of the record dimension is written as 0.
                in_record.append((begin, size * math.prod(shape[1:])))
            elif size * math.prod(shape):
                fixed.append(begin + size * math.prod(shape))
        if in_record and records == 2 ** (8 * self._count) - 1:
            records = 0  # STREAMING: the length of the file says how many records there are.
        if in_record and records:
            # Each variable is padded to four bytes in a record, unless it is the only one.
            one = in_record[0][1] if len(in_record) == 1 else sum(size + -size % 4 for _, size in in_record)
            fixed += [begin + (records - 1) * one + size for begin, size in in_record]
        return max(fixed, default=0)

    def _dimension(self) -> int:
        self._skip(self._number(self._count))
        return self._number(self._count)

    def _skip_attributes(self) -> None:
        for _ in range(self._list()):
            self._skip(self._number(self._count))
            size = _TYPES[self._number(4)]
            self._skip(size * self._number(self._count))

    def _list(self) -> int:
        """The number of elements of a list, whose tag comes first."""
        self._number(4)
        return self._number(self._count)

    def _number(self, size: int) -> int:
        found = self._file.read(size)
        if len(found) < size:
            raise EOFError("no more bytes")
        return int.from_bytes(found, "big")

    def _skip(self, size: int) -> None:
        """Skip text or values, which are padded to four bytes."""
        self._file.seek(size + -size % 4, os.SEEK_CUR)
