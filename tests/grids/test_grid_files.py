"""Grid files of every layout: the same cells come out, oddities are masked by rule, and what is wrong is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import needs
import netCDF4
import numpy as np
import pytest
from scipy.spatial import cKDTree

from ai4land_coupler.core.grid import EARTH_RADIUS, LatLonGrid
from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import check_coverage, cubed_sphere_mesh, icosahedral_mesh, latlon_mesh, read_mesh
from ai4land_coupler.grids.areas import cell_area
from ai4land_coupler.grids.checks import validate
from ai4land_coupler.grids.hash import grid_hash
from ai4land_coupler.grids.mesh import Mesh, lon_lat, unit_vectors


@dataclass
class Nc:
    """A variable of a netCDF file: dimensions, values, attributes."""

    dims: str
    values: Any
    attrs: dict[str, Any] = field(default_factory=dict)


def write(path: Path, format_: str = "NETCDF4", attrs_: Mapping[str, Any] | None = None, **variables: Nc) -> Path:
    with netCDF4.Dataset(path, "w", format=format_) as file:
        file.setncatts(dict(attrs_ or {}))
        for name, variable in variables.items():
            values = np.asarray(variable.values)
            for dim, size in zip(variable.dims.split(), values.shape, strict=True):
                if dim not in file.dimensions:
                    file.createDimension(dim, size)
            attrs = dict(variable.attrs)
            fill = attrs.pop("_FillValue", None)
            created = file.createVariable(name, values.dtype, variable.dims.split(), fill_value=fill)
            created.set_auto_maskandscale(False)
            created.setncatts(attrs)
            created[...] = values
    return path


def degrees(kind: str, **attrs: Any) -> dict[str, Any]:
    names = {"lat": ("latitude", "degrees_north"), "lon": ("longitude", "degrees_east")}
    return {"standard_name": names[kind][0], "units": names[kind][1], **attrs}


def nodes_of(mesh: Mesh) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Nodes and connectivity (-1 where unused) of a mesh."""
    used = ~np.isnan(mesh.corner_lat)
    points, index = np.unique(
        np.stack([mesh.corner_lon[used], mesh.corner_lat[used]], axis=1), axis=0, return_inverse=True
    )
    conn = np.full(used.shape, -1)
    conn[used] = index.ravel()
    return points[:, 0], points[:, 1], conn


def mixed_mesh() -> Mesh:
    """Triangles and squares: two faces of a cubed sphere, one of them cut along its diagonals."""
    cube = cubed_sphere_mesh(4, "cube").take(np.arange(32))
    lon, lat = cube.corner_lon[16:], cube.corner_lat[16:]
    unused = np.full((16, 1), np.nan)
    pieces = [(cube.corner_lon[:16], cube.corner_lat[:16])]
    for corners in ([0, 1, 2], [0, 2, 3]):
        pieces.append(tuple(np.concatenate([values[:, corners], unused], axis=1) for values in (lon, lat)))
    corner_lon, corner_lat = (np.concatenate(part) for part in zip(*pieces, strict=True))
    n = len(corner_lon)
    return Mesh("mixed", np.arange(n), corner_lon, corner_lat, "great_circle", np.ones(n, bool), n)


MIXED = mixed_mesh()


def as_scrip(path: Path, mesh: Mesh, padding: str = "repeated", format_: str = "NETCDF4", **extra: Nc) -> Path:
    lon, lat = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    if padding == "repeated":
        last = (~np.isnan(lat)).sum(axis=1) - 1
        for values in (lon, lat):
            values[:] = np.where(np.isnan(values), np.take_along_axis(values, last[:, None], axis=1), values)
    corners = {"units": "degrees", "_FillValue": 9.96921e36}
    lon, lat = (np.nan_to_num(values, nan=9.96921e36) for values in (lon, lat))
    return write(
        path,
        format_,
        grid_corner_lon=Nc("grid_size grid_corners", lon, corners),
        grid_corner_lat=Nc("grid_size grid_corners", lat, corners),
        **extra,
    )


def as_ugrid(path: Path, mesh: Mesh, start: int = 0, fill: int | None = -999, transposed: bool = False) -> Path:
    lon, lat, conn = nodes_of(mesh)
    filler = -1 if fill is None else fill
    conn = np.where(conn < 0, filler, conn + start).astype("i4")
    attrs: dict[str, Any] = {"cf_role": "face_node_connectivity"}
    if start:
        attrs["start_index"] = np.int32(start)
    if fill is not None:
        attrs["_FillValue"] = np.int32(fill)
    topology = {
        "cf_role": "mesh_topology",
        "topology_dimension": np.int32(2),
        "node_coordinates": "node_y node_x",
        "face_node_connectivity": "faces",
    }
    if transposed:
        topology["face_dimension"] = "face"
    return write(
        path,
        mesh=Nc("", np.int32(0), topology),
        faces=Nc("corner face", conn.T, attrs) if transposed else Nc("face corner", conn, attrs),
        node_x=Nc("node", lon, degrees("lon")),
        node_y=Nc("node", lat, degrees("lat")),
    )


def as_esmf(path: Path, mesh: Mesh, units: str = "degrees", ragged: bool = False, **extra: Nc) -> Path:
    lon, lat, conn = nodes_of(mesh)
    coords = np.stack([lon, lat], axis=1)
    if units == "radians":
        coords = np.deg2rad(coords)
    count = (conn >= 0).sum(axis=1)
    full = np.where(conn < 0, -1, conn + 1).astype("i4")
    elements = Nc("connectionCount", full[conn >= 0]) if ragged else Nc("elementCount maxNodePElement", full)
    return write(
        path,
        nodeCoords=Nc("nodeCount coordDim", coords, {"units": units}),
        elementConn=elements,
        numElementConn=Nc("elementCount", count.astype("i1")),
        **extra,
    )


def as_cf_cells(path: Path, mesh: Mesh) -> Path:
    """Unstructured, with bounds and centres."""
    lon, lat = mesh.centres()
    return write(
        path,
        lon=Nc("cell", lon, degrees("lon", bounds="lon_bnds")),
        lat=Nc("cell", lat, degrees("lat", bounds="lat_bnds")),
        lon_bnds=Nc("cell nv", np.nan_to_num(mesh.corner_lon, nan=1e20), {"_FillValue": 1e20}),
        lat_bnds=Nc("cell nv", np.nan_to_num(mesh.corner_lat, nan=1e20), {"_FillValue": 1e20}),
    )


def as_icon(path: Path, mesh: Mesh) -> Path:
    last = (~np.isnan(mesh.corner_lat)).sum(axis=1) - 1
    corners = {}
    for name, values in (("clon", mesh.corner_lon), ("clat", mesh.corner_lat)):
        padded = np.where(np.isnan(values), np.take_along_axis(values, last[:, None], axis=1), values)
        corners[f"{name}_vertices"] = Nc("cell nv", np.deg2rad(padded), {"units": "radian"})
    return write(path, **corners)


def as_mpas(path: Path, mesh: Mesh, on_a_sphere: str = "YES") -> Path:
    lon, lat, conn = nodes_of(mesh)
    centres = np.deg2rad(mesh.centres())
    return write(
        path,
        attrs_={"on_a_sphere": on_a_sphere, "sphere_radius": 2.0},
        verticesOnCell=Nc("nCells maxEdges", np.where(conn < 0, conn[:, :1], conn).astype("i4") + 1),
        nEdgesOnCell=Nc("nCells", (conn >= 0).sum(axis=1).astype("i4")),
        lonVertex=Nc("nVertices", np.deg2rad(lon)),
        latVertex=Nc("nVertices", np.deg2rad(lat)),
        lonCell=Nc("nCells", centres[0]),
        latCell=Nc("nCells", centres[1]),
        areaCell=Nc("nCells", 4 * cell_area(mesh) / EARTH_RADIUS**2),
    )


LAYOUTS = {
    "SCRIP, repeated corners": lambda path: as_scrip(path, MIXED),
    "SCRIP, missing corners": lambda path: as_scrip(path, MIXED, "missing"),
    "UGRID": lambda path: as_ugrid(path, MIXED),
    "UGRID from 1": lambda path: as_ugrid(path, MIXED, 1),
    "UGRID without fill value": lambda path: as_ugrid(path, MIXED, 0, None),
    "UGRID transposed": lambda path: as_ugrid(path, MIXED, 1, transposed=True),
    "ESMF": lambda path: as_esmf(path, MIXED),
    "ESMF in radians": lambda path: as_esmf(path, MIXED, "radians"),
    "ESMF ragged": lambda path: as_esmf(path, MIXED, ragged=True),
    "CF cells": lambda path: as_cf_cells(path, MIXED),
    "ICON": lambda path: as_icon(path, MIXED),
    "MPAS": lambda path: as_mpas(path, MIXED),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_cells(tmp_path, layout):
    mesh = read_mesh(LAYOUTS[layout](tmp_path / "grid.nc"))
    assert (mesh.size, mesh.global_size, mesh.edges, mesh.notes) == (48, 48, "great_circle", ())
    assert mesh.mask.all()
    np.testing.assert_allclose(mesh.corner_lon, MIXED.corner_lon, rtol=1e-14)
    np.testing.assert_allclose(mesh.corner_lat, MIXED.corner_lat, rtol=1e-14, atol=1e-14)


def test_points_that_values_stand_for_are_kept(tmp_path):
    mesh = read_mesh(as_cf_cells(tmp_path / "grid.nc", MIXED))
    np.testing.assert_array_equal(mesh.centre_lat, MIXED.centres()[1])
    area = Nc("elementCount", cell_area(MIXED) / EARTH_RADIUS**2, {"units": "radians^2"})
    centres = np.stack(MIXED.centres(), axis=1) + np.array([0.0, 0.25])
    extra = {"centerCoords": Nc("elementCount coordDim", centres, {"units": "degrees"}), "elementArea": area}
    mesh = read_mesh(as_esmf(tmp_path / "esmf.nc", MIXED, **extra))
    np.testing.assert_allclose(mesh.centres()[1], centres[:, 1])


def test_masks_of_the_layouts_and_by_name(tmp_path):
    taken = np.arange(48) % 3 > 0
    scrip = as_scrip(tmp_path / "s.nc", MIXED, grid_imask=Nc("grid_size", taken.astype("i4")))
    np.testing.assert_array_equal(read_mesh(scrip).mask, taken)
    other = Nc("time elementCount", np.where(taken, 0.3, np.nan)[None])
    esmf = as_esmf(tmp_path / "e.nc", MIXED, elementMask=Nc("elementCount", (~taken).astype("i1")), depth=other)
    np.testing.assert_array_equal(read_mesh(esmf).mask, ~taken)
    np.testing.assert_array_equal(read_mesh(esmf, mask="depth").mask, taken)
    with pytest.raises(DataError, match=r"mask 'nodeCoords' does not fit"):
        read_mesh(esmf, mask="nodeCoords")
    with pytest.raises(DataError, match=r"lacks a variable\n  found: dept\n.*\n.*'depth'"):
        read_mesh(esmf, mask="dept")


# ---- axes --------------------------------------------------------------------------------------------------------


def rectilinear(
    path: Path, lat: Any, lon: Any, lat_bnds: Any = None, lon_bnds: Any = None, dims: str = "lat lon"
) -> Path:
    extra = {}
    sizes = {"lat": len(lat), "lon": len(lon)}
    shape = tuple(sizes[dim] for dim in dims.split())
    for name, bounds in (("lat_bnds", lat_bnds), ("lon_bnds", lon_bnds)):
        if bounds is not None:
            extra[name] = Nc(f"{name[:3]} two", np.asarray(bounds, float))
    return write(
        path,
        lat=Nc("lat", np.asarray(lat), degrees("lat", **({"bounds": "lat_bnds"} if lat_bnds is not None else {}))),
        lon=Nc("lon", np.asarray(lon), degrees("lon", **({"bounds": "lon_bnds"} if lon_bnds is not None else {}))),
        field=Nc(dims, np.arange(np.prod(shape), dtype="f4").reshape(shape)),
        **extra,
    )


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("north_up", [True, False])
def test_regular_axes_need_no_bounds(tmp_path, dtype, north_up):
    grid = LatLonGrid(-180.0, 7.2, 50, *((90.0, -7.2) if north_up else (-90.0, 7.2)), 25)
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", grid.lat.astype(dtype), grid.lon.astype(dtype)), expect="global")
    whole = latlon_mesh(grid, "whole")
    assert mesh.edges == "latlon"
    np.testing.assert_allclose(mesh.corner_lat, whole.corner_lat, atol=1e-5)
    assert len(mesh.notes) == 2
    assert cell_area(mesh).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-12)


def test_points_on_the_poles_have_half_cells(tmp_path):
    mesh = read_mesh(
        rectilinear(tmp_path / "era.nc", np.linspace(90, -90, 19), np.arange(0, 360, 10.0)), expect="global"
    )
    assert mesh.size == 19 * 36
    assert np.nanmin(mesh.corner_lat[0]) == 85.0
    assert mesh.centre_lat[0] == 90.0


def test_bounds_are_taken_where_steps_are_unequal(tmp_path):
    lat_bnds, lon_bnds = [[-10, 0], [0, 15], [15, 40]], [[170, 185], [185, 200.5]]
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", [-5.0, 7, 30], [175.0, 190], lat_bnds, lon_bnds))
    assert mesh.notes == ()
    np.testing.assert_array_equal(mesh.corner_lon[5], [185, 200.5, 200.5, 185])
    np.testing.assert_array_equal(mesh.corner_lat[5], [15, 15, 40, 40])
    np.testing.assert_array_equal(mesh.centre_lon, [175, 190] * 3)


def test_cells_are_numbered_as_the_data_variable_has_them(tmp_path):
    path = rectilinear(tmp_path / "g.nc", [0.0, 10, 20], [30.0, 40], dims="lon lat")
    assert read_mesh(path).centre_lat[:2].tolist() == [0, 0]
    assert read_mesh(path, variable="field").centre_lat.tolist() == [0, 10, 20, 0, 10, 20]
    assert read_mesh(path, variable="field", mask="field").mask.tolist() == [False] + [True] * 5


def test_gaussian_latitudes_without_bounds_have_the_weights_as_areas(tmp_path):
    sines, weights = np.polynomial.legendre.leggauss(32)
    mesh = read_mesh(
        rectilinear(tmp_path / "g.nc", np.rad2deg(np.arcsin(sines)), np.arange(64) * 5.625), expect="global"
    )
    assert "F16" in mesh.notes[0]
    area = cell_area(mesh).reshape(32, 64).sum(axis=1) / EARTH_RADIUS**2
    np.testing.assert_allclose(area, 2 * np.pi * weights, rtol=1e-12)


@pytest.mark.real_data
def test_luh2_bounds_that_are_off_by_half_a_cell_are_not_used(sample_data):
    mesh = read_mesh(sample_data / "luh2" / "staticData_quarterdeg.nc", variable="ptbio", expect="global")
    assert [("does not hold" in note) for note in mesh.notes] == [True, True]
    np.testing.assert_allclose(mesh.corner_lat[5000], [89.0, 89.0, 89.25, 89.25], atol=1e-9)


# ---- curvilinear -------------------------------------------------------------------------------------------------


def test_rotated_poles_are_turned_back(tmp_path):
    axis = {"units": "degrees"}
    mapping = {
        "grid_mapping_name": "rotated_latitude_longitude",
        "grid_north_pole_latitude": 30.0,
        "grid_north_pole_longitude": -170.0,
    }
    path = write(
        tmp_path / "r.nc",
        rlat=Nc("rlat", np.arange(-5, 6, 1.0), {"standard_name": "grid_latitude", **axis}),
        rlon=Nc("rlon", np.arange(-3, 4, 1.0), {"standard_name": "grid_longitude", **axis}),
        rotated_pole=Nc("", np.int32(0), mapping),
        hsurf=Nc("rlat rlon", np.ones((11, 7), "f4"), {"grid_mapping": "rotated_pole"}),
    )
    mesh = read_mesh(path, variable="hsurf")
    middle = 5 * 7 + 3  # rotated (0, 0): on the great circle from the rotated pole over the true one, 90 degrees on
    np.testing.assert_allclose([mesh.centre_lon[middle], mesh.centre_lat[middle]], [10.0, 60.0], atol=1e-12)
    # turning keeps areas: those of the same boxes of great circles at the equator
    boxes = latlon_mesh(LatLonGrid(-3.5, 1.0, 7, -5.5, 1.0, 11), "boxes")
    boxes = Mesh("b", boxes.cell_ids, boxes.corner_lon, boxes.corner_lat, "great_circle", boxes.mask, 77)
    np.testing.assert_allclose(cell_area(mesh), cell_area(boxes), rtol=1e-10)


@pytest.mark.real_data
def test_the_rotated_pole_of_euro_cordex_has_the_coordinates_of_the_file(sample_data):
    path = sample_data / "static" / "HSURF_EURO-CORDEX_0.11deg_rotated-pole.nc"
    mesh = read_mesh(path, variable="HSURF")
    with netCDF4.Dataset(path) as file:
        given = unit_vectors(*(np.asarray(file[name][:], float).ravel() for name in ("lon", "lat")))
    assert np.abs(unit_vectors(*mesh.centres()) - given).max() < 2e-7, "single precision"
    assert mesh.size == 438 * 450


@pytest.mark.real_data
def test_the_oddities_of_orca2_are_masked_and_counted(sample_data):
    mesh = read_mesh(sample_data / "grids" / "orca2_votemper.nc", mask="votemper")
    whole = read_mesh(sample_data / "grids" / "orca2_votemper.nc")
    assert whole.edges == "great_circle"
    counts = {note.split(" ", 1)[1].split(":")[0]: int(note.split()[0]) for note in whole.notes}
    assert counts == {
        "cells that repeat another one were masked": 83,
        "cells whose corners come more than twice were masked as fillers": 227,
        "cells without area were masked": 17,
        "cells that overlap others were masked": 13,
    }
    assert (~whole.mask).sum() == 83 + 227 + 17 + 13
    assert mesh.mask.sum() < whole.mask.sum()
    assert cell_area(whole)[whole.mask].min() > 0
    with pytest.raises(GridError, match="has gaps"):
        read_mesh(sample_data / "grids" / "orca2_votemper.nc", expect="global")


@pytest.mark.real_data
def test_every_cell_of_orca2_that_takes_part_gets_weights(sample_data):
    needs.yac()
    from ai4land_coupler.regrid.backends.yac import YacRegridder

    ocean = read_mesh(sample_data / "grids" / "orca2_votemper.nc")
    globe = latlon_mesh(LatLonGrid(-180.0, 5.0, 72, -90.0, 5.0, 36), "globe")
    weights = YacRegridder().build(globe, ocean)
    np.testing.assert_allclose(weights.destination_fraction[ocean.mask], 1.0, rtol=1e-6)
    assert (weights.destination_fraction[~ocean.mask] == 0).all()


# ---- what is mended, and told ------------------------------------------------------------------------------------


def test_files_that_are_clockwise_throughout_are_turned(tmp_path):
    ico = icosahedral_mesh(2, "ico")
    clockwise = Mesh("c", ico.cell_ids, ico.corner_lon[:, ::-1], ico.corner_lat[:, ::-1], ico.edges, ico.mask, ico.size)
    mesh = read_mesh(as_scrip(tmp_path / "c.nc", clockwise), expect="global")
    assert mesh.notes == ("cells are clockwise in the file: corners were reversed",)
    assert grid_hash(mesh) == grid_hash(ico)


def test_reading_a_file_made_of_what_was_read_changes_nothing(tmp_path):
    once = read_mesh(as_scrip(tmp_path / "a.nc", MIXED))
    twice = read_mesh(as_scrip(tmp_path / "b.nc", once))
    assert grid_hash(once) == grid_hash(twice) == grid_hash(MIXED)


def test_a_few_centres_outside_of_their_cells_are_put_into_the_middle(tmp_path):
    ico = icosahedral_mesh(3, "ico")
    lon, lat = ico.centres()

    def scrip(name, cells):
        wrong = np.where(np.isin(ico.cell_ids, cells), 90.0 - np.abs(lat), lat)
        centres = {"grid_center_lon": lon, "grid_center_lat": wrong}
        return as_scrip(
            tmp_path / name, ico, **{key: Nc("grid_size", v, {"units": "degrees"}) for key, v in centres.items()}
        )

    mesh = read_mesh(scrip("one.nc", [7]))
    assert mesh.notes == ("1 centres outside of their cells were put into the middle: 7",)
    np.testing.assert_allclose(mesh.centre_lat, lat, atol=1e-12)
    with pytest.raises(GridError, match="points that values stand for are not in their cells"):
        read_mesh(scrip("two.nc", [7, 100]))


def test_cells_narrower_than_points_are_told_apart_have_no_area(tmp_path):
    ico = icosahedral_mesh(3, "ico")
    sliver = changed(
        ico, 40, lon=lambda x: np.array([10.0, 10.00004, 10.00002]), lat=lambda y: np.array([5, 5, 5 + 1e-8])
    )
    mesh = read_mesh(as_scrip(tmp_path / "g.nc", sliver))
    assert mesh.notes == ("1 cells without area were masked: 40",)
    with pytest.raises(GridError, match="have no area"):
        validate(sliver)


def test_a_column_that_a_cyclic_grid_repeats_takes_no_part(tmp_path):
    lon = np.arange(0, 370, 10.0)
    bounds = np.stack([lon - 5, lon + 5], axis=1)
    mesh = read_mesh(rectilinear(tmp_path / "g.nc", np.arange(-85, 90, 10.0), lon, lon_bnds=bounds), expect="global")
    assert mesh.notes[1] == "18 cells that repeat another one were masked"
    assert np.flatnonzero(~mesh.mask).tolist() == list(range(36, 18 * 37, 37))


def test_a_repeated_column_does_not_hide_a_gap(tmp_path):
    lon = np.delete(np.arange(0, 370, 10.0), 20)
    bounds = np.stack([lon - 5, lon + 5], axis=1)
    path = rectilinear(tmp_path / "g.nc", np.arange(-85, 90, 10.0), lon, lon_bnds=bounds)
    assert cell_area(read_mesh(path)).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2)
    with pytest.raises(GridError, match="has gaps"):
        read_mesh(path, expect="global")


def test_cells_without_corners_may_be_masked(tmp_path):
    holes = Mesh(**{**vars(MIXED), "corner_lon": MIXED.corner_lon.copy(), "corner_lat": MIXED.corner_lat.copy()})
    holes.corner_lon[[3, 30]], holes.corner_lat[[3, 30]] = np.nan, np.nan
    taken = np.ones(48, "i4")
    taken[[3, 30]] = 0
    mesh = read_mesh(as_scrip(tmp_path / "m.nc", holes, "missing", grid_imask=Nc("grid_size", taken)))
    assert mesh.mask.sum() == 46
    assert cell_area(mesh)[[3, 30]].tolist() == [0, 0]
    assert np.isnan(mesh.centres()[0][[3, 30]]).all()
    with pytest.raises(GridError, match=r"corners are missing\n(.*\n)*  where: n, cell 3"):
        read_mesh(as_scrip(tmp_path / "n.nc", holes, "missing"))


# ---- what is refused ---------------------------------------------------------------------------------------------


def changed(mesh: Mesh, cells: Any, lon: Any = None, lat: Any = None) -> Mesh:
    """The mesh with other corners of some cells."""
    corners = mesh.corner_lon.copy(), mesh.corner_lat.copy()
    for values, new in zip(corners, (lon, lat), strict=True):
        if new is not None:
            values[cells] = new(values[cells])
    return Mesh(mesh.name, mesh.cell_ids, *corners, mesh.edges, mesh.mask, mesh.size)


ICO = icosahedral_mesh(2, "ico")
WRONG = {
    "mixed orientation": (
        lambda: changed(ICO, slice(100), lambda x: x[:, ::-1], lambda y: y[:, ::-1]),
        "turn both ways",
    ),
    "latitude 95": (lambda: changed(MIXED, 5, lat=lambda y: y + 95), r"out of range\n(.*\n)*.*cell 5"),
    "moved cells": (lambda: changed(MIXED, slice(4), lon=lambda x: x + 11), "cells overlap"),
    "radians": (lambda: changed(ICO, slice(None), np.deg2rad, np.deg2rad), "look like radians"),
}


@pytest.mark.parametrize("case", WRONG)
def test_malformed_cells_are_refused(tmp_path, case):
    mesh, message = WRONG[case]
    with pytest.raises(GridError, match=message):
        read_mesh(as_scrip(tmp_path / "g.nc", mesh()))


def test_gaps_are_refused_where_the_globe_is_expected(tmp_path):
    path = as_scrip(tmp_path / "g.nc", ICO.take(np.arange(1, ICO.size)))
    read_mesh(path)
    with pytest.raises(GridError, match=r"gaps\n.*\n  found: 0.00\d+ of the sphere"):
        read_mesh(path, expect="global")
    read_mesh(as_scrip(tmp_path / "w.nc", ICO), expect="global")


def test_areas_of_another_sphere_are_refused(tmp_path):
    steradians = cell_area(ICO) / EARTH_RADIUS**2
    attrs = {"units": "radians^2"}
    good = as_scrip(tmp_path / "g.nc", ICO, grid_area=Nc("grid_size", steradians, attrs))
    assert read_mesh(good).notes == ()
    note = as_scrip(tmp_path / "n.nc", ICO, grid_area=Nc("grid_size", steradians * 1.003, attrs))
    assert read_mesh(note).notes == ("areas in the file are 1.003 times those of the corners",)
    bad = as_scrip(tmp_path / "b.nc", ICO, grid_area=Nc("grid_size", steradians * 1.1, attrs))
    with pytest.raises(GridError, match=r"not those of its cells\n(.*\n)*  found: areas that are 1.1 times"):
        read_mesh(bad)


@pytest.mark.parametrize(("units", "factor"), [("m2", 1.0), ("km2", 1e-6), ("degrees2", 77.0)])
def test_areas_that_a_data_variable_names_are_compared(tmp_path, units, factor):
    lat, lon = np.arange(-85, 90, 10.0), np.arange(5, 360, 10.0)
    area = cell_area(read_mesh(rectilinear(tmp_path / "g.nc", lat, lon))).reshape(18, 36)
    attrs = {"cell_measures": "area: areacella"}
    for scale in (1.0, 1.05):
        path = write(
            tmp_path / f"{scale}.nc",
            lat=Nc("lat", lat, degrees("lat")),
            lon=Nc("lon", lon, degrees("lon")),
            tas=Nc("lat lon", np.ones((18, 36)), attrs),
            areacella=Nc("lat lon", scale * factor * area, {"units": units}),
        )
        if scale == 1.0 or factor == 77.0:
            assert len(read_mesh(path, variable="tas").notes) == 2
        else:
            with pytest.raises(GridError, match=r"areas that are 1\.05 times"):
                read_mesh(path, variable="tas")


FAULTY_FILES = {
    "degrees said to be radians": (
        lambda path: write(
            path,
            clon_vertices=Nc("cell nv", ICO.corner_lon, {"units": "radian"}),
            clat_vertices=Nc("cell nv", ICO.corner_lat, {"units": "radian"}),
        ),
        "clon_vertices looks like degrees",
    ),
    "no bounds": (
        lambda path: write(
            path, lat=Nc("cell", ICO.centres()[1], degrees("lat")), lon=Nc("cell", ICO.centres()[0], degrees("lon"))
        ),
        "edges of cells are unknown",
    ),
    "unequal steps": (lambda path: rectilinear(path, [0.0, 1, 3], [0.0, 1, 2]), "edges of cells are unknown"),
    "axis with a repeat": (lambda path: rectilinear(path, [0.0, 1, 1], [0.0, 1, 2]), "does not rise or fall"),
    "bounds that overlap": (
        lambda path: rectilinear(path, [1.0, 3], [1.0, 2], [[0, 2.5], [2, 4]]),
        "bounds of a coordinate overlap",
    ),
    "no units": (
        lambda path: write(path, lat=Nc("lat", np.arange(3.0)), lon=Nc("lon", np.arange(3.0))),
        r"lat cannot be used\n  expected: units of degrees or radians\n  found: units ''",
    ),
    "connections that do not add up": (
        lambda path: write(
            path,
            nodeCoords=Nc("n d", np.zeros((4, 2)), {"units": "degrees"}),
            elementConn=Nc("c", np.array([1, 2, 3], "i4")),
            numElementConn=Nc("e", np.array([4], "i4")),
        ),
        "numElementConn does not fit",
    ),
    "on a plane": (lambda path: as_mpas(path, MIXED, "NO"), "mesh is on a plane"),
    "several grids": (
        lambda path: write(
            path,
            lat=Nc("cell", np.zeros(3), degrees("lat")),
            lon=Nc("cell", np.zeros(3), degrees("lon")),
            vlat=Nc("vertex", np.zeros(4), degrees("lat")),
            vlon=Nc("vertex", np.zeros(4), degrees("lon")),
        ),
        "several grids",
    ),
}


@pytest.mark.parametrize("case", FAULTY_FILES)
def test_files_that_do_not_tell_a_grid_are_refused(tmp_path, case):
    make, message = FAULTY_FILES[case]
    with pytest.raises(DataError, match=message) as caught:
        read_mesh(make(tmp_path / "g.nc"))
    assert "g.nc" in str(caught.value.where)


def test_nodes_that_do_not_exist_are_refused(tmp_path):
    path = as_ugrid(tmp_path / "g.nc", MIXED, 1)
    with netCDF4.Dataset(path, "a") as file:
        file["faces"].start_index = np.int32(0)
    with pytest.raises(DataError, match=r"node that does not exist\n(.*\n)*.*start_index"):
        read_mesh(path)


@pytest.mark.parametrize("format_", ["NETCDF4", "NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"])
@pytest.mark.parametrize("missing", [8, 100, 3000, -300])
def test_a_truncated_file_is_refused(tmp_path, format_, missing):
    path = as_scrip(tmp_path / "g.nc", ICO, format_=format_)
    assert read_mesh(path).size == ICO.size
    path.write_bytes(path.read_bytes()[:-missing])
    with pytest.raises(DataError, match=r"cannot be read as netCDF\n(.*\n)*.*truncated"):
        read_mesh(path)


def test_a_file_without_cells_is_refused(tmp_path):
    with pytest.raises(GridError, match=r"no cells\n  where: .*g.nc"):
        read_mesh(as_scrip(tmp_path / "g.nc", ICO.take(np.arange(0)), "missing"))


# ---- grids by name -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "cells", "edges"),
    [
        ("F16", 2 * 16 * 64, "latlon"),
        ("O16", 4 * 16 * (16 + 9), "latlon"),
        ("r36x18", 648, "latlon"),
        ("global_10", 648, "latlon"),
        ("ne5", 150, "great_circle"),
        ("ne5pg2", 600, "great_circle"),
        ("ico3", 1280, "great_circle"),
    ],
)
def test_names_stand_for_grids_that_fill_the_globe(name, cells, edges):
    mesh = read_mesh(name)
    assert (mesh.size, mesh.edges, mesh.name) == (cells, edges, name)
    validate(mesh)
    check_coverage(mesh, expect="global")
    assert cell_area(mesh).sum() == pytest.approx(4 * np.pi * EARTH_RADIUS**2, rel=1e-13)


def test_rows_of_gaussian_grids_have_the_areas_of_their_weights():
    weights = np.polynomial.legendre.leggauss(64)[1]
    area = cell_area(mesh := read_mesh("O32")) / EARTH_RADIUS**2
    row = np.unique(-mesh.centre_lat, return_inverse=True)[1].ravel()
    np.testing.assert_allclose(np.bincount(row, area), 2 * np.pi * weights, rtol=1e-11)
    assert np.bincount(row)[[0, 1, 31, 32, 63]].tolist() == [20, 24, 144, 144, 20]
    assert mesh.centre_lon[0] == 0.0


@pytest.mark.real_data
def test_the_cubed_sphere_is_that_of_cam(sample_data):
    made = read_mesh("ne30pg2")
    real = read_mesh(sample_data / "grids" / "scrip_ne30pg2.nc")
    ours, theirs = (np.unique(np.round(unit_vectors(*m.centres()), 9), axis=0) for m in (made, real))
    assert len(ours) == len(theirs) == 21600
    np.testing.assert_allclose(np.sort(cell_area(made)), np.sort(cell_area(real)), rtol=1e-10)
    corners = [unit_vectors(m.corner_lon, m.corner_lat).reshape(-1, 3) for m in (made, real)]
    assert cKDTree(corners[0]).query(corners[1])[0].max() < 1e-13


def test_names_that_no_rule_has(tmp_path):
    with pytest.raises(GridError, match=r"classical reduced(.*\n)*.*F80.*O80"):
        read_mesh("N80")
    with pytest.raises(GridError, match="do not fill the globe"):
        read_mesh("global_7")
    for name in ("F0", "r0x4", "ne0", "O20000", "ico30"):
        with pytest.raises(GridError, match="of this size"):
            read_mesh(name)
    with pytest.raises(GridError, match=r"not all alike(.*\n)*.*r90x46"):  # CDO: from pole to pole
        read_mesh("r90x45")
    with pytest.raises(DataError, match="a grid file is missing"):
        read_mesh(tmp_path / "C48")
    with pytest.raises(GridError, match="neither meridians nor parallels"):
        read_mesh("ico1", edges="latlon")
    assert read_mesh("r36x18", edges="great_circle").edges == "great_circle"


def test_points_in_space_are_turned_into_angles():
    lon, lat = lon_lat(np.array([[2.0, 0, 0], [0, -1, 0], [0, 0, 3]]))
    np.testing.assert_allclose(lon[:2], [0, 270])
    np.testing.assert_allclose(lat, [0, 0, 90])
