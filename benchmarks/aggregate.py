"""Time of class fractions on a host grid: one pass over the codes, compared with one float field per class.

    python benchmarks/aggregate.py [RESOLUTION_DEGREES]

Both sides use the same weights in one run: `RegridPlan.aggregate` on int8 codes, and a scipy CSR product with seven
float64 fields made from the codes (as in a component without codes).
"""

from __future__ import annotations

import time

import numpy as np
from runner import Report, arguments, at_most, pairs

from ai4land_coupler.core.grid import LatLonGrid
from ai4land_coupler.grids import latlon_mesh
from ai4land_coupler.regrid.apply import RegridPlan
from ai4land_coupler.regrid.backends.yac import YacRegridOptions, _create

CLASSES = 7


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("resolution", type=float, nargs="?", default=0.02, help="of the land grid, degrees")
    options = parser.parse_args()
    report, size = Report("aggregate.py", options), options.resolution
    land = LatLonGrid(-10.0, size, round(20 / size), 60.0, -size, round(12 / size))
    host = LatLonGrid(-12.0, 0.7, 40, 61.0, -0.7, 20)
    ids = np.arange(land.size)
    begin = time.perf_counter()
    weights = _create(YacRegridOptions()).build(latlon_mesh(land, "land", ids), latlon_mesh(host, "host"))
    made = time.perf_counter() - begin
    plan = RegridPlan(weights, ids)
    codes = np.random.default_rng(0).integers(0, CLASSES, land.size).astype(np.int8)

    def by_fields() -> np.ndarray:
        fields = np.stack([(codes == k).astype(np.float64) for k in range(CLASSES)])
        return plan.apply(fields)

    same = np.abs(plan.aggregate(codes, CLASSES) - by_fields()).max()
    both = pairs(lambda: plan.aggregate(codes, CLASSES), by_fields, repeat=9)
    report.note(f"{land.size} land cells to {host.size} host cells, {weights.values.size} weights made in {made:.1f} s")
    report.ratio("codes / a field a class, time", both, names=("codes", "a field a class"), goal=at_most(0.25))
    report.value("largest difference", same)
    report.end()


if __name__ == "__main__":
    main()
