"""The results of one small Twin Earth, as they were: to the bit as hashes, and in a few numbers that a person can read.

    make references

writes tests/references/twin.json anew, from what the program computes now. test_references.py compares with it.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import re
import tempfile
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import rasterio
import xarray as xr
import yaml
from click.testing import CliRunner

from ai4land_coupler import LandComponent, Simulation, load_config
from ai4land_coupler.cli import cli
from ai4land_coupler.store.provenance import instruction_set

FILE = Path(__file__).parent / "references" / "twin.json"
RENEW = "make references"

#: What a difference may have come from: hashes of floating-point results are compared where all that is named is the
#: same, those of integers (and of nothing but sums of them) everywhere.
ORIGINS = {"exact": (), "float": ("numpy", "instruction_set"), "network": ("numpy", "torch", "instruction_set")}
ORIGINS["yac"] = (*ORIGINS["float"], "yac")
#: How far numbers may be off: relative to themselves, of float64 and of float32; and those of the network relative to
#: the whole land (on another processor, cells that are all but tied may go another way).
DOUBLE, SINGLE, OF_WHOLE = 1e-12, 1e-6, 2e-3
#: Rounding of one value in a sum, in double precision and for values of order 1.
ROUNDING = 1e-15
#: Rows (classes, months) that have a sum each; of more, only all together have.
ROWS = 14

LEGEND = "hilda-v1.0-f"
TWIN = ["--region", "-2.5", "0.5", "42.0", "44.0", "--resolution", "0.03"]
TWIN += ["--years", "2010", "2020", "--scenario-start", "2015", "--seed", "11"]
PERSISTENCE = {"name": "persistence", "options": {"legend": LEGEND}}
#: Cells between meridians and parallels need no library for their weights; those of the icosahedron need YAC.
HOSTS = {"regular": {"grid": "r360x180"}, "gaussian": {"grid": "O80"}}
#: Far above what was observed, so that cells swap in each of the few years.
GROSS = {"cropland": 0.04, "pasture": 0.05, "forest": 0.05, "grass_shrub": 0.05}
RULES: dict[str, Any] = {
    "predictors": [PERSISTENCE, {"name": "phenology", "options": {"legend": LEGEND, "start": 0.0}}],
    "imports": {
        "air_temperature": {
            "values": [272, 273, 276, 280, 285, 289, 291, 290, 286, 281, 276, 273],
            "units": "K",
            "missing": "fill",
        }
    },
    "allocation": {"gross": GROSS, "temperature": 1.0},
    "exports": {"transitions": True, "profile": "cf"},
}
NETWORK: dict[str, Any] = {"predictors": [{"name": "unet", "options": {"bundle": "twin"}}]}


class Found(NamedTuple):
    """An array, how exact it is, and its numbers: by year (or "all"), then by what they are of."""

    values: np.ndarray
    kind: str
    numbers: dict[str, dict[str, float]]


def results(folder: Path, *, with_yac: bool) -> dict[str, Found]:
    """Make the twin and its runs in a folder. All arrays by name."""
    _command("twin", "-o", str(folder), *TWIN)
    found = {f"twin/{name}": array for name, array in _inputs(folder)}
    runs = {
        "rules": ({**RULES, "hosts": HOSTS}, 2018, "float"),
        "backward": ({"predictors": [_backward(PERSISTENCE)]}, 2012, "float"),
        "network": ({**NETWORK, "hosts": HOSTS, "allocation": {"gross": GROSS}}, 2017, "network"),
        "sampled": ({**NETWORK, "allocation": {"method": "sample"}}, 2016, "network"),
    }
    for name, (parts, stop, kind) in runs.items():
        Simulation(load_config(_write(folder, name, stop, parts))).run()
        found |= {f"{name}/{key}": array for key, array in _store(folder / f"{name}.zarr", kind)}
    for name in [name for name in found if re.match("(backward|network|sampled)/.*/(lat|lon|cell_area)$", name)]:
        del found[name]  # as those of the first run
    found |= {f"component/{key}": array for key, array in _component(folder, "regular", HOSTS["regular"], "float")}
    if with_yac:
        found |= {f"yac/{key}": array for key, array in _component(folder, "icosahedral", {"grid": "ico5"}, "yac")}
    # great circles against meridians and parallels, which needs no library between two whole grids
    weights = folder / "weights.nc"
    _command("weights", "r36x18", "ico3", "-o", str(weights))
    with xr.open_dataset(weights) as data:
        for key in ("row", "col", "S"):
            found[f"weights/{key}"] = _found(data[key].values, "float" if key == "S" else "exact")
    return found


def _command(*arguments: str) -> None:
    done = CliRunner().invoke(cli, arguments, catch_exceptions=False)
    if done.exit_code:
        raise RuntimeError(done.output)


def _backward(predictor: Mapping[str, Any]) -> dict[str, Any]:
    return {**predictor, "options": {**predictor["options"], "direction": "backward"}}


def _write(folder: Path, name: str, stop: int, parts: Mapping[str, Any]) -> Path:
    """The configuration of a run, with the twin's files."""
    (scenario,) = (folder / "scenario").glob("*.nc")
    (pattern,) = {re.sub(r"_\d{4}_", "_{year}_", str(path)) for path in (folder / "hilda").glob("*.tif")}
    raw = {
        "title": name,
        "legend": LEGEND,
        "time": {"start": 2015, "stop": stop},
        "initial": {"name": "hilda", "options": {"path": pattern, "legend": LEGEND}},
        "forcing": [
            {"name": "ssp", "options": {"states": str(scenario)}},
            {"name": "luh2", "options": {"states": str(folder / "luh2/states.nc")}},
        ],
        "static": [
            {"name": "static", "options": {"path": str(folder / f"static/{kind}.nc")}} for kind in ("elevation", "soil")
        ],
        "output": {"store": f"{name}.zarr", "shard": 64},
        "parallel": {"block": 3},
        **parts,
    }
    path = folder / f"{name}.yaml"
    path.write_text(yaml.safe_dump(raw))
    return path


def _inputs(folder: Path) -> Iterator[tuple[str, Found]]:
    """What the runs start from: where this differs, all that follows does."""
    maps = sorted((folder / "hilda").glob("*.tif"))
    codes = []
    for path in maps:
        with rasterio.open(path) as file:
            codes.append(file.read(1))
    yield "maps", _found(np.stack(codes), "exact", [re.findall(r"_(\d{4})_", path.name)[0] for path in maps])
    for path in sorted(path for kind in ("luh2", "scenario", "static") for path in (folder / kind).glob("*.nc")):
        with xr.open_dataset(path, decode_times=False) as data:
            for name, values in sorted(data.data_vars.items()):
                if values.dtype.kind in "iuf":
                    yield f"{path.stem.split('_')[0]}/{name}", _found(values.values, "float")


def _store(path: Path, kind: str) -> Iterator[tuple[str, Found]]:
    for host in (None, *(part.name for part in sorted(path.glob("hosts/*/")))):
        with xr.open_zarr(path, group=host and f"hosts/{host}", consolidated=False) as data:
            years = [str(year) for year in data["year"].values]
            for name, values in sorted((str(name), array) for name, array in data.variables.items()):
                if values.dtype.kind not in "iuf" or name in ("year", "month"):
                    continue
                integer = values.dtype.kind in "iu" and kind != "network"
                labels = data["land_class"].values if "land_class" in values.dims else None
                by_year = years if values.dims[0] == "year" else None
                yield (
                    f"{host or 'land'}/{name}",
                    _found(values.values, "exact" if integer else kind, by_year, labels),
                )


def _component(folder: Path, grid: str, host: dict[str, str], kind: str) -> Iterator[tuple[str, Found]]:
    """All that a host is offered after three years."""
    land = LandComponent(load_config(_write(folder, grid, 2018, {**RULES, "hosts": {grid: host}})))
    land.initialize()
    land.set_named_grid(grid)
    land.realize()
    land.run(2018)
    for name in sorted(land.exports()):
        yield name, _found(land.export(name), kind)
    land.finalize()


def _found(values: np.ndarray, kind: str, years: list[str] | None = None, labels: Any = None) -> Found:
    """An array and its numbers: cells of each code where it is a map, else sums (of areas of classes, in km2)."""
    values = np.ascontiguousarray(values)
    parts = {"all": values} if years is None else dict(zip(years, values, strict=True))
    numbers = {}
    for year, part in parts.items():
        if part.dtype == np.uint8:
            numbers[year] = {
                str(code): int(count) for code, count in zip(*np.unique(part, return_counts=True), strict=True)
            }
        elif labels is not None:
            scale = 1e-6 if part.ndim == 1 else 1.0
            numbers[year] = {str(label): _sum(row * scale) for label, row in zip(labels, part, strict=True)}
        elif part.ndim > 1 and len(part) <= ROWS:
            numbers[year] = {f"row {number}": _sum(row) for number, row in enumerate(part)}
        else:
            numbers[year] = {"sum": _sum(part)}
            if not _given(part).all():
                numbers[year]["missing"] = int((~_given(part)).sum())
    return Found(values, kind, numbers)


def _given(values: np.ndarray) -> np.ndarray:
    """Where there are values: neither NaN nor the fill that files of LUH2 have without saying so."""
    return np.abs(values) < 1e19  # NaN is not


def _sum(values: np.ndarray) -> float:
    return float(f"{math.fsum(np.asarray(values[_given(values)], np.float64)):.14g}")


def record(found: Mapping[str, Found]) -> dict[str, Any]:
    """What is kept of results."""
    return {
        "about": f"Results of tests/reference_runs.py. Written by `{RENEW}`; never by hand.",
        "made_with": made_with(),
        "arrays": {
            name: {
                "is": {
                    "kind": array.kind,
                    "dtype": array.values.dtype.newbyteorder("=").name,
                    "shape": list(array.values.shape),
                    "sha256": _sha256(array.values),
                },
                "numbers": array.numbers,
            }
            for name, array in found.items()
        },
    }


def _sha256(values: np.ndarray) -> str:
    little = values.astype(values.dtype.newbyteorder("<"), copy=False)
    return hashlib.sha256(np.ascontiguousarray(little).tobytes()).hexdigest()


def made_with() -> dict[str, str]:
    """What floating-point results depend on."""
    import torch  # noqa: F401 - which then says what instructions it uses

    names = ("numpy", "torch", *(["yac"] if has_yac() else []))
    return {name: version(name) for name in names} | {"instruction_set": instruction_set()}


def has_yac() -> bool:
    return importlib.util.find_spec("yac") is not None


def text(kept: Mapping[str, Any]) -> str:
    """JSON in lines that say something when one of them changes: one for each array and for each of its years."""

    def block(indent: int, items: Mapping[str, str]) -> str:
        inner = ",\n".join(f"{' ' * (indent + 1)}{json.dumps(key)}: {value}" for key, value in items.items())
        return f"{{\n{inner}\n{' ' * indent}}}"

    arrays = {}
    for name, array in kept["arrays"].items():
        years = block(3, {year: json.dumps(numbers) for year, numbers in array["numbers"].items()})
        arrays[name] = block(2, {"is": json.dumps(array["is"]), "numbers": years})
    heads = {key: json.dumps(kept[key]) for key in ("about", "made_with")}
    return block(0, heads | {"arrays": block(1, arrays)}) + "\n"


def differences(kept: Mapping[str, Any], new: Mapping[str, Any], left_out: str | None = None) -> list[str]:
    """A line for each number that changed by more than it may, and for each array whose bits did: causes first.

    Parameters
    ----------
    left_out:
        Arrays whose names start so were not made here.
    """
    lines = []
    old_arrays = {k: v for k, v in kept["arrays"].items() if left_out is None or not k.startswith(left_out)}
    for name in dict.fromkeys([*old_arrays, *new["arrays"]]):
        old, now = old_arrays.get(name), new["arrays"].get(name)
        if old is None or now is None:
            lines.append(f"{name}: {'is new' if old is None else 'is no more'}")
            continue
        changed = [
            f"{name}: {key} {old['is'][key]} -> {now['is'][key]}"
            for key in ("dtype", "shape")
            if old["is"][key] != now["is"][key]
        ]
        changed += _changed_numbers(name, old, now)
        same = all(kept["made_with"].get(part) == new["made_with"].get(part) for part in ORIGINS[old["is"]["kind"]])
        if same and old["is"]["sha256"] != now["is"]["sha256"]:
            bits = f"{name}: sha256 {old['is']['sha256'][:12]} -> {now['is']['sha256'][:12]}"
            changed.append(bits if changed else f"{bits}, its numbers are the same")
        lines += changed
    return lines


def _changed_numbers(name: str, old: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    kind, found = old["is"]["kind"], []
    if kind == "network" and name.rpartition("/")[2] not in ("land_cover", "class_area", "land_cover_fraction"):
        return []  # areas that were left over: a cell more or less is much of them
    for year in dict.fromkeys([*old["numbers"], *now["numbers"]]):
        before, after = old["numbers"].get(year, {}), now["numbers"].get(year, {})
        whole = sum(abs(number) for number in before.values())
        for key in dict.fromkeys([*before, *after]):
            a, b = before.get(key, 0), after.get(key, 0)
            if kind == "network":
                allowed = OF_WHOLE * whole
            elif kind == "exact":
                allowed = 0.0
            else:
                allowed = (SINGLE if old["is"]["dtype"] == "float32" else DOUBLE) * max(abs(a), abs(b))
                allowed += ROUNDING * math.prod(old["is"]["shape"])  # a sum of latitudes is nearly 0
            if not abs(a - b) <= allowed:
                found.append(f"{name}: {year} {key} {a} -> {b}")
    return found


def main() -> None:
    if not has_yac():
        raise SystemExit("References need YAC, as some of them are made with it: pip install ai4land_coupler[yac]")
    with tempfile.TemporaryDirectory() as folder:
        new = record(results(Path(folder), with_yac=True))
    kept = json.loads(FILE.read_text()) if FILE.exists() else {"made_with": {}, "arrays": {}}
    for line in differences(kept, new):
        print(line)
    FILE.write_text(text(new))
    print(f"{FILE}: {len(new['arrays'])} arrays, made with {new['made_with']}")


if __name__ == "__main__":
    main()
