"""Time and memory of weights between a huge raster and a climate grid, beside CDO.

    python benchmarks/huge.py [SOURCE] [DESTINATION] [--folder FOLDER]

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
from runner import Pairs, Report, arguments, at_most, process_cost

#: Number of slices of links that are compared, spread over the file, and their length.
_SLICES, _LENGTH = 20, 200_000


def compare(ours: Path, theirs: Path) -> str:
    """How much the weights differ. Both files hold the links by destination and then by source."""
    same, worst = True, 0.0
    with netCDF4.Dataset(ours) as one, netCDF4.Dataset(theirs) as other:
        counts = one["S"].size, other["src_address"].size
        for start in np.linspace(0, max(0, counts[0] - _LENGTH), _SLICES).astype(int) if len(set(counts)) == 1 else ():
            part = slice(start, start + _LENGTH)
            for mine, yours in (("row", "dst_address"), ("col", "src_address")):
                same &= bool((one[mine][part] == other[yours][part]).all())
            worst = max(worst, float(np.abs(one["S"][part] - other["remap_matrix"][part, 0]).max()))
    cells = "the same cells" if same else "OTHER CELLS"
    return f"links: {counts[0]} and {counts[1]}; {cells}, weights within {worst:.1e}"


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("source", nargs="?", default="r9040x8962")
    parser.add_argument("destination", nargs="?", default="r288x180")
    parser.add_argument("--folder", type=Path, help="where the files go; default: a temporary folder")
    options = parser.parse_args()
    report, source, destination = Report("huge.py", options), options.source, options.destination
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        ours, theirs = Path(folder, "ours.nc"), Path(folder, "theirs.nc")
        command = [sys.executable, "-m", "ai4land_coupler.cli", "weights", source, destination, "-o", ours]
        mine = process_cost(command)
        report.process("ai4land weights", mine)
        report.value("  ai4land weights, file", ours.stat().st_size / 1e9, "GB")
        cdo = shutil.which("cdo")
        if cdo is None:
            report.note("cdo is not in PATH: not compared")
        else:
            yours = process_cost([cdo, "-s", "-P", "1", f"gencon,{destination}", f"-const,1,{source}", theirs])
            report.process("cdo gencon, 1 thread", yours)
            report.value("  cdo gencon, file", theirs.stat().st_size / 1e9, "GB")
            both = Pairs([mine.cpu], [yours.cpu])
            report.ratio("ours / CDO, processor time", both, names=("ours", "CDO"), goal=at_most(1))
            report.note(compare(ours, theirs))
    report.end()


if __name__ == "__main__":
    main()
