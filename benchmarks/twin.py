"""Time and memory of a twin on the grid of HILDA+ v1.0, made in blocks.

``python twin.py [DEGREES] [PROCESSES] [YEARS]``: the columns from 10 E eastward, from pole to pole. 36 degrees are a
tenth of the globe. Prints cells, seconds, the largest memory of all processes together (shared pages count once), and
the size of the files.
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

from ai4land_coupler.experiments.twin import TwinOptions, generate


def memory_of_tree() -> int:
    """Proportional set size of this process and its children (bytes)."""
    parents = {int(p.name): _parent(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
    me = {int(Path("/proc/self").resolve().name)}
    while more := {pid for pid, parent in parents.items() if parent in me} - me:
        me |= more
    return sum(map(_share, me))


def _parent(folder: Path) -> int:
    try:
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _share(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:")), 0)


def main(degrees: float = 36, processes: int = 2, years: int = 2) -> None:
    options = TwinOptions(
        lon0=10, lon1=10 + degrees, lat0=-90, lat1=90, published_grid=True, first_year=2014, last_year=2013 + years
    )
    peak, over = [0], threading.Event()

    def watch() -> None:
        while not over.wait(1):
            peak[0] = max(peak[0], memory_of_tree())

    thread = threading.Thread(target=watch)
    thread.start()
    start, last = time.perf_counter(), [0.0]

    def progress(done: int, total: int) -> None:
        now = time.perf_counter()
        if now - last[0] > 20 or done == total:
            last[0] = now
            print(f"{done} of {total} after {now - start:.0f} s, {peak[0] / 2**20:.0f} MiB", flush=True)

    with tempfile.TemporaryDirectory(dir=".") as folder:
        report = generate(options, folder, progress, processes=processes, side=None if degrees > 2 else 20)
        seconds = time.perf_counter() - start
        size = {
            part: sum(f.stat().st_size for f in Path(folder, part).iterdir()) for part in ("hilda", "luh2", "static")
        }
    over.set()
    thread.join()
    print(f"{report.cells} cells, {report.land_cells} of them dry land, {years} years, {processes} processes")
    print(f"{seconds:.0f} s, peak {peak[0] / 2**20:.0f} MiB, files {size}")


if __name__ == "__main__":
    main(*map(float, sys.argv[1:2]), *map(int, sys.argv[2:]))
