"""Random grid files whose cells the generator knows: units, directions, bounds of every form, halos, packing.

Each file is valid. The reader must give each cell its box, and each part of the sphere must take part once.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import netCDF4
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from properties import examples

from ai4land_coupler.grids import read_mesh
from ai4land_coupler.grids.mesh import Mesh, lon_difference

UNITS = {
    "latitude": ("degrees_north", "degree_north", "degree_N", "degrees_N", "degreeN", "degreesN", "degrees", "radian"),
    "longitude": ("degrees_east", "degree_east", "degree_E", "degrees_E", "degreeE", "degreesE", "degrees", "radian"),
}
NAMES = {"latitude": "lat", "longitude": "lon"}
#: Orders of the corners of a box.
ORDERS = ((0, 1, 2, 3), (1, 2, 3, 0), (3, 2, 1, 0), (0, 3, 2, 1), (0, 1, 3, 2), (2, 0, 1, 3))


@dataclass
class Truth:
    """Edges of rows and columns in the order of the file (n + 1,), and the place of coordinates in their cells."""

    rows: np.ndarray
    cols: np.ndarray
    place: float

    def boxes(self) -> np.ndarray:
        """West, east, south, north of each cell, longitude fastest, (n, 4)."""
        sides = [np.sort(np.stack([edge[:-1], edge[1:]], axis=1), axis=1) for edge in (self.rows, self.cols)]
        row, col = (index.ravel() for index in np.indices((len(sides[0]), len(sides[1]))))
        return np.concatenate([sides[1][col], sides[0][row]], axis=1)


@st.composite
def truths(draw: Any, regular: bool) -> Truth:
    """Rows and columns of some degrees. ``regular``: equal steps, coordinates in the middle."""
    directions = draw(st.tuples(st.booleans(), st.booleans()))
    edges = []
    for latitude in (True, False):
        n = draw(st.integers(3, 7))
        steps = np.full(n, draw(st.sampled_from([0.25, 1.0, 7.5, 10.0])))
        if not regular:
            steps = steps * np.array(draw(st.lists(st.sampled_from([0.5, 1.0, 2.5]), min_size=n, max_size=n)))
        start = draw(st.integers(-89, 0) if latitude else st.integers(-180, 359)) + draw(st.sampled_from([0.0, 0.5]))
        if latitude and start + steps.sum() > 90:
            steps *= (90 - start) / steps.sum() / 2
        edges.append(start + np.concatenate([[0.0], np.cumsum(steps)]))
    rows, cols = (edge[::-1] if turn else edge for edge, turn in zip(edges, directions, strict=True))
    return Truth(rows, cols, 0.5 if regular else draw(st.sampled_from([0.0, 0.3, 0.5, 1.0])))


def put(file: Any, name: str, dims: tuple[str, ...], degrees: np.ndarray, kind: str, draw: Any, **attrs: Any) -> None:
    """Write angles in the units and the type that are drawn."""
    if "units" not in attrs:
        attrs["units"] = draw(st.sampled_from(UNITS[kind]))
        if draw(st.booleans()) or attrs["units"] in ("degrees", "radian"):
            attrs["standard_name"] = kind
    written = dict(attrs)
    if name.endswith("_bnds"):
        del written["units"]  # CF: as the coordinate
    values = np.deg2rad(degrees) if attrs["units"] == "radian" else degrees
    stored = draw(st.sampled_from(["f8", "f4", "packed"]))
    if stored == "packed":
        written |= {"scale_factor": 1e-7, "add_offset": float(values.flat[0]), "_FillValue": np.int64(-(10**17))}
    fill = written.pop("_FillValue", None)
    variable = file.createVariable(name, "i8" if stored == "packed" else stored, dims, fill_value=fill)
    variable.set_auto_maskandscale(False)
    variable.setncatts(written)
    variable[:] = np.round((values - values.flat[0]) / 1e-7) if stored == "packed" else values


def wrapped(lon: np.ndarray, draw: Any) -> np.ndarray:
    """Longitudes in one of the three conventions."""
    way = draw(st.sampled_from(["as is", "0 to 360", "-180 to 180"]))
    return {"as is": lon, "0 to 360": lon % 360, "-180 to 180": (lon + 180) % 360 - 180}[way]


def read(fill: Any) -> Mesh:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "g.nc"
        with netCDF4.Dataset(path, "w") as file:
            fill(file)
        return read_mesh(path)


def check(mesh: Mesh, boxes: np.ndarray, cells: np.ndarray | None = None) -> None:
    """Each cell that takes part has its box; to 2e-5 degrees, as radians in single precision have."""
    taken = np.flatnonzero(mesh.mask)
    truth = boxes[taken if cells is None else cells[taken]]
    west = lon_difference(mesh.corner_lon[taken], truth[:, :1])
    np.testing.assert_allclose(np.nanmin(west, axis=1), 0, atol=4e-5)
    np.testing.assert_allclose(np.nanmax(west, axis=1), truth[:, 1] - truth[:, 0], atol=4e-5)
    np.testing.assert_allclose(np.nanmin(mesh.corner_lat[taken], axis=1), truth[:, 2], atol=4e-5)
    np.testing.assert_allclose(np.nanmax(mesh.corner_lat[taken], axis=1), truth[:, 3], atol=4e-5)


@examples(60)
@given(data=st.data())
def test_axes_have_the_cells_that_were_written(data):
    form = data.draw(st.sampled_from(["none", "pairs", "turned pairs", "edges"]))
    truth = data.draw(truths(regular=form == "none"))

    def fill(file: Any) -> None:
        for kind, edges in (("latitude", truth.rows), ("longitude", truth.cols)):
            name, n = NAMES[kind], edges.size - 1
            middle = edges[:-1] + truth.place * np.diff(edges)
            bounds = edges if form == "edges" else np.stack([edges[:-1], edges[1:]], axis=1)
            if kind == "longitude":
                middle, bounds = wrapped(middle, data.draw), wrapped(bounds, data.draw)
            file.createDimension(name, n)
            units = data.draw(st.sampled_from(UNITS[kind]))
            told = {"units": units, "standard_name": kind} if units in ("degrees", "radian") else {"units": units}
            put(
                file,
                name,
                (name,),
                middle,
                kind,
                data.draw,
                **told,
                **({} if form == "none" else {"bounds": f"{name}_bnds"}),
            )
            if form != "none":
                dims = (f"{name}_{bounds.shape[0]}", *(("two",) if bounds.ndim == 2 else ()))
                for dim, size in zip(dims, bounds.shape, strict=True):
                    if dim not in file.dimensions:
                        file.createDimension(dim, size)
                turned = bounds[:, ::-1] if form == "turned pairs" else bounds
                put(file, f"{name}_bnds", dims, turned, kind, data.draw, units=units)

    mesh = read(fill)
    assert mesh.mask.all()
    assert not [note for note in mesh.notes if "not used" in note]
    check(mesh, truth.boxes())


@examples(60)
@given(data=st.data())
def test_curvilinear_cells_have_the_corners_that_were_written(data):
    truth = data.draw(truths(regular=False))
    boxes = truth.boxes()
    shape = truth.rows.size - 1, truth.cols.size - 1
    order = list(data.draw(st.sampled_from(ORDERS)))
    halo = data.draw(st.booleans())
    cells = np.arange(len(boxes)).reshape(shape)
    if halo:  # the first and the last columns again, on the other side
        cells = np.concatenate([cells[:, -2:], cells, cells[:, :1]], axis=1)
    if data.draw(st.booleans()):  # a row again
        cells = np.concatenate([cells, cells[-1:, ::-1]])
    lon = boxes[cells][..., [0, 1, 1, 0]][..., order]
    lat = boxes[cells][..., [2, 2, 3, 3]][..., order]
    centres = {"longitude": boxes[cells][..., :2].mean(axis=2), "latitude": boxes[cells][..., 2:].mean(axis=2)}

    def fill(file: Any) -> None:
        for dim, size in zip(("y", "x", "nv"), lon.shape, strict=True):
            file.createDimension(dim, size)
        for kind, corners in (("longitude", lon), ("latitude", lat)):
            units = data.draw(st.sampled_from(UNITS[kind]))
            middle = centres[kind]
            if kind == "longitude":
                middle, corners = wrapped(middle, data.draw), wrapped(corners, data.draw)
            told = {"units": units, "standard_name": kind} if units in ("degrees", "radian") else {"units": units}
            put(file, NAMES[kind], ("y", "x"), middle, kind, data.draw, **told, bounds=f"{NAMES[kind]}_bnds")
            put(file, f"{NAMES[kind]}_bnds", ("y", "x", "nv"), corners, kind, data.draw, units=units)

    mesh = read(fill)
    assert sorted(cells.ravel()[mesh.mask]) == list(range(len(boxes))), "each cell once"
    check(mesh, boxes, cells.ravel())
    if cells.size > len(boxes):
        told = sum(int(note.split()[0]) for note in mesh.notes if "repeat another one" in note)
        assert told == cells.size - len(boxes)
