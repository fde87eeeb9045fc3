"""Time and memory of weights between a huge raster and a climate grid, beside CDO.

    python benchmarks/huge.py [SOURCE] [DESTINATION] [FOLDER]

Runs `ai4land weights SOURCE DESTINATION` (default r9040x8962 r288x180: 81 million cells) and, if it is in PATH, CDO's
`gencon` of the same grids, one after the other, each in its own process. The program prints CPU seconds, wall seconds
and the peak resident memory of each process, the size of the file, and how much both sets of weights differ. The files
are written to FOLDER (default: a temporary one) and removed.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from pathlib import Path

import netCDF4
import numpy as np
from weights import measured

#: Number of slices of links that are compared, spread over the file, and their length.
_SLICES, _LENGTH = 20, 200_000


def compare(ours: Path, theirs: Path) -> None:
    """Print how much the weights differ. Both files hold the links by destination and then by source."""
    same, worst = True, 0.0
    with netCDF4.Dataset(ours) as one, netCDF4.Dataset(theirs) as other:
        counts = one["S"].size, other["src_address"].size
        for start in np.linspace(0, max(0, counts[0] - _LENGTH), _SLICES).astype(int) if len(set(counts)) == 1 else ():
            part = slice(start, start + _LENGTH)
            for mine, yours in (("row", "dst_address"), ("col", "src_address")):
                same &= bool((one[mine][part] == other[yours][part]).all())
            worst = max(worst, float(np.abs(one["S"][part] - other["remap_matrix"][part, 0]).max()))
    print(
        f"links: {counts[0]} and {counts[1]}; {'the same cells' if same else 'OTHER CELLS'}, weights within {worst:.1e}"
    )


def main() -> None:
    source, destination = (sys.argv[1:3] + ["r9040x8962", "r288x180"][len(sys.argv[1:3]) :])[:2]
    with tempfile.TemporaryDirectory(dir=sys.argv[3] if len(sys.argv) > 3 else None) as folder:
        ours, theirs = Path(folder, "ours.nc"), Path(folder, "theirs.nc")
        command = [sys.executable, "-m", "ai4land_coupler.cli", "weights", source, destination]
        measured("ai4land weights", [*command, "-o", str(ours)])
        print(f"  file: {ours.stat().st_size / 1e9:.2f} GB")
        cdo = shutil.which("cdo")
        if cdo is None:
            print("cdo is not in PATH: skipped")
            return
        grids = [f"gencon,{destination}", f"-const,1,{source}"]
        measured("cdo gencon, 1 thread", [cdo, "-s", "-P", "1", *grids, str(theirs)])
        print(f"  file: {theirs.stat().st_size / 1e9:.2f} GB")
        compare(ours, theirs)


if __name__ == "__main__":
    main()
