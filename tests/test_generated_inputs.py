"""2,000 generated files: every value that a reader delivers is right, or the file is refused.

The maker (:mod:`generated_inputs`) knows the right values. Each file goes to one reader: the adapter ``netcdf``, the
weights of a grid that another program may have made (``ai4land regrid``), or weights made from the file itself.
"""

from __future__ import annotations

import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import xarray as xr
from generated_inputs import STEP, Case, draw, expected, write

from ai4land_coupler.api import Ai4LandError, LatLonGrid, Request
from ai4land_coupler.regrid.files import make_weights, regrid_file
from ai4land_netcdf.options import NetcdfOptions
from ai4land_netcdf.plugin import netcdf

READERS = ("adapter", "weights", "own")
#: Grids of ready weights: ascending latitudes, first edge.
LAYOUTS = ((False, -180.0), (True, -180.0), (False, 0.0), (True, 0.0))


def overlap(edges: np.ndarray, others: np.ndarray, period: float | None = None) -> np.ndarray:
    """Lengths that intervals (n, 2) share with others (m, 2)."""
    turns = (0.0,) if period is None else (-2 * period, -period, 0.0, period, 2 * period)
    return sum(
        np.clip(
            np.minimum(edges[:, None, 1], others[None, :, 1] + turn)
            - np.maximum(edges[:, None, 0], others[None, :, 0] + turn),
            0.0,
            None,
        )
        for turn in turns
    )


def means(case: Case) -> np.ndarray:
    """Area-weighted means on the grid r12x6 of what is not missing, (year, 6, 12): products of two overlaps."""
    lat, lon = case.axes
    lon = lon[: lon.size - case.repeated]
    rows, columns = (np.stack([x - STEP / 2, x + STEP / 2], -1) for x in (lat, lon))
    height = overlap(
        np.sin(np.deg2rad(np.stack([np.arange(-90, 90, 30.0), np.arange(-60, 91, 30.0)], -1))),
        np.sin(np.deg2rad(rows)),
    )
    width = overlap(np.stack([np.arange(-15, 345, 30.0), np.arange(15, 375, 30.0)], -1), columns, 360.0)
    made = []
    for year in case.years or (2015,):
        values = expected(case, *np.meshgrid(lat, lon, indexing="ij"), year)
        known = np.isfinite(values).astype(float)
        with np.errstate(invalid="ignore"):
            made.append(height @ np.nan_to_num(values) @ width.T / (height @ known @ width.T))
    return np.stack(made)


def by_adapter(case: Case, path: Path) -> tuple[np.ndarray, np.ndarray]:
    west, nlon, north, nlat = (-180.0, 36, 90.0, 18) if case.region is None else (case.region[0], 12, 70.0, 8)
    grid = LatLonGrid(west, STEP, nlon, north, -STEP, nlat)
    adapter = netcdf(NetcdfOptions(path=path, variables={"t": {"name": "t", "kind": "density"}}))
    found = adapter.read(Request(("t",), grid, case.years))["t"].values
    places = np.meshgrid(grid.lat, grid.lon, indexing="ij")
    right = np.stack([expected(case, *places, year) for year in case.years or (2015,)])
    return found.reshape(right.shape), right


def by_weights(case: Case, path: Path, weights: Path) -> tuple[np.ndarray, np.ndarray]:
    output = path.with_name("out.nc")
    regrid_file(weights, path, output, variables=["t"], overwrite=True)
    with xr.open_dataset(output, decode_times=False) as dataset:
        found = dataset["t"]
        rows, columns = (next(d for d in found.dims if found.sizes[d] == n) for n in (6, 12))
        found = found.transpose(*(d for d in found.dims if d not in (rows, columns)), rows, columns)
        assert dataset["lat"].values[0] < 0
        return found.values.reshape(-1, 6, 12), means(case)


def outcome(case: Case, reader: str, path: Path, layouts: dict[tuple[bool, float], Path]) -> str:
    """``right``, ``refused: <reason>``, ``wrong: <how>`` or ``crashed: <error>``."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            if reader == "adapter":
                found, right = by_adapter(case, path)
            elif reader == "weights":
                found, right = by_weights(case, path, layouts[case.south_up, 0.0 if case.first_lon == 0 else -180.0])
            else:
                made = make_weights(str(path), "r12x6", path.with_name("own.nc"), overwrite=True)
                assert made > 0
                found, right = by_weights(case, path, path.with_name("own.nc"))
    except Ai4LandError as error:
        return f"refused: {error.what}"
    except Exception as error:  # A program error of any kind is a finding.
        return f"crashed: {type(error).__name__} {str(error)[:200]}"
    reason = case.must_be_refused(reader)
    if reason is not None:
        return f"wrong: not refused, {reason}"
    absent = np.isnan(right)
    if not np.array_equal(np.isnan(found), absent):
        return f"wrong: {int((np.isnan(found) != absent).sum())} of {absent.size} cells missing or not"
    off = np.abs(found - right)[~absent]
    if off.max(initial=0.0) > 2 * case.tolerance:
        return f"wrong: {off.max():.3g} off"
    return "right"


@pytest.fixture(scope="module")
def layouts(tmp_path_factory):
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for south_up, west in LAYOUTS:
        lat, lon = np.arange(85, -90, -STEP), west + STEP / 2 + STEP * np.arange(36)
        source = folder / f"{south_up}{west}.nc"
        xr.Dataset(
            coords={
                "lat": ("lat", lat[::-1] if south_up else lat, {"units": "degrees_north"}),
                "lon": ("lon", lon, {"units": "degrees_east"}),
            }
        ).to_netcdf(source)
        made[south_up, west] = folder / f"w{south_up}{west}.nc"
        make_weights(str(source), "r12x6", made[south_up, west])
    return made


def reader_of(case: Case) -> str:
    if case.shape != "axes":
        return READERS[1 + case.seed % 2] if case.region is None else "own"
    return READERS[case.seed % 3] if case.region is None or case.seed % 3 != 1 else "own"


def run_cases(seeds, folder: Path, layouts) -> Counter:
    """Outcomes by reader; fails at wrong values and program errors, all of them listed."""
    counts, bad = Counter(), []
    for seed in seeds:
        case = draw(seed)
        reader = reader_of(case)
        path = write(case, folder / "case")
        found = outcome(case, reader, path, layouts)
        counts[reader, found] += 1
        if found.startswith(("wrong", "crashed")):
            bad.append(f"{reader}: {found}\n    {case}")
    print()
    for (reader, found), count in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        print(f"{count:6d} {reader:8} {found}")
    assert not bad, f"{len(bad)} of {len(seeds)}:\n" + "\n".join(bad)
    return counts


def test_generated_files_are_right_or_refused(tmp_path, layouts):
    counts = run_cases(range(100), tmp_path, layouts)
    right = sum(count for (_, found), count in counts.items() if found == "right")
    assert right > 30, "readers refuse nearly all files"


@pytest.mark.soak
def test_2000_generated_files_are_right_or_refused(tmp_path, layouts):
    """`make soak`, or pytest -m soak -s tests/test_generated_inputs.py prints the counts."""
    counts = run_cases(range(1000, 3000), tmp_path, layouts)
    right = sum(count for (_, found), count in counts.items() if found == "right")
    print(f"2000 files: {right} right, {2000 - right} refused, 0 wrong")
