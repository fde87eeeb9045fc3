"""HEALPix mappings, UGRID of every form, several grids in a file."""

from __future__ import annotations

import netCDF4
import numpy as np
import pytest
from grid_files import MIXED, Nc, as_esmf, as_ugrid, degrees, write

from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.grids import cubed_sphere_mesh, read_mesh
from ai4land_coupler.grids.hash import grid_hash


def healpix(path, cells, index=None, **attrs):
    extra = {} if index is None else {"pixel": Nc("cell", np.asarray(index), {"standard_name": "healpix_index"})}
    return write(
        path,
        crs=Nc("", np.int32(0), {"grid_mapping_name": "healpix", **attrs}),
        tas=Nc("time cell", np.ones((2, cells), "f4"), {"grid_mapping": "crs"}),
        **extra,
    )


@pytest.mark.parametrize(
    ("attrs", "name"),
    [
        ({"refinement_level": np.int64(2), "indexing_scheme": "nested"}, "hpz2"),
        ({"refinement_level": np.int32(2), "indexing_scheme": "ring"}, "hp4"),
        ({"healpix_nside": np.int32(4), "healpix_order": "nest"}, "hp4_nested"),
        ({"healpix_nside": np.int32(4), "healpix_order": "ring"}, "hp4_ring"),
    ],
)
@pytest.mark.parametrize("variable", [None, "tas"])
def test_healpix_mappings_are_read(tmp_path, attrs, name, variable):
    mesh = read_mesh(healpix(tmp_path / "g.nc", 192, **attrs), variable=variable, expect="global")
    assert grid_hash(mesh) == grid_hash(read_mesh(name))


def test_healpix_indices_number_the_cells_of_a_region(tmp_path):
    index = [7, 100, 3]
    attrs = {"refinement_level": 2, "indexing_scheme": "nested"}
    mesh, whole = read_mesh(healpix(tmp_path / "g.nc", 3, index, **attrs)), read_mesh("hpz2")
    np.testing.assert_array_equal(mesh.centre_lat, whole.centre_lat[index])
    np.testing.assert_array_equal(mesh.corner_lon, whole.corner_lon[index])
    for number, wrong in enumerate(([7, 7, 3], [7, 192, 3])):
        with pytest.raises(DataError, match="HEALPix indices of a file cannot be used"):
            read_mesh(healpix(tmp_path / f"{number}.nc", 3, wrong, **attrs))


def test_coordinates_that_contradict_the_healpix_mapping_are_refused(tmp_path):
    """The coordinates are those of the ring order, the mapping says nested."""
    ring = read_mesh("hp4")
    for scheme in ("ring", "nested"):
        path = healpix(tmp_path / f"{scheme}.nc", 192, refinement_level=2, indexing_scheme=scheme)
        with netCDF4.Dataset(path, "a") as file:
            for name, values in zip(("lon", "lat"), ring.centres(), strict=True):
                created = file.createVariable(name, "f4", ("cell",))
                created.setncatts(degrees(name))
                created[:] = values
    assert grid_hash(read_mesh(tmp_path / "ring.nc")) == grid_hash(ring)
    with pytest.raises(DataError, match=r"contradict each other\n(.*\n)*.*nested.nc\n.*indexing_scheme"):
        read_mesh(tmp_path / "nested.nc")


WRONG = {
    "no scheme": (192, {"refinement_level": 2}, "HEALPix grid is not told"),
    "unknown scheme": (192, {"refinement_level": 2, "indexing_scheme": "nuniq"}, "HEALPix grid is not told"),
    "no level": (192, {"indexing_scheme": "ring"}, "HEALPix grid is not told"),
    "nested of 3": (108, {"healpix_nside": 3, "healpix_order": "nested"}, "HEALPix grid is not told"),
    "other level": (192, {"refinement_level": 3, "indexing_scheme": "ring"}, "number of cells does not fit"),
}


@pytest.mark.parametrize("case", WRONG)
def test_healpix_mappings_that_do_not_tell_the_grid_are_refused(tmp_path, case):
    cells, attrs, message = WRONG[case]
    with pytest.raises(DataError, match=message) as caught:
        read_mesh(healpix(tmp_path / "g.nc", cells, **attrs))
    assert "g.nc: crs" in str(caught.value.where)


# ---- UGRID -------------------------------------------------------------------------------------------------------


def change(path, **attrs):
    with netCDF4.Dataset(path, "a") as file:
        for name, changes in attrs.items():
            for key, value in changes.items():
                if value is None:
                    file[name].delncattr(key)
                else:
                    file[name].setncattr(key, value)
    return path


@pytest.mark.parametrize("start", [0, 1])
def test_connectivity_with_exchanged_dimensions(tmp_path, start):
    path = as_ugrid(tmp_path / "g.nc", MIXED, start, transposed=True)
    assert grid_hash(read_mesh(path)) == grid_hash(MIXED)
    untold = read_mesh(change(path, mesh={"face_dimension": None}))
    assert grid_hash(untold) == grid_hash(MIXED)
    assert untold.notes == ("faces is taken as (corners, faces): 4 corners of 48 faces",)
    with pytest.raises(DataError, match=r"dimension of the faces of a mesh is unknown\n  expected: .*corner or face"):
        read_mesh(change(path, mesh={"face_dimension": "nFaces"}))


@pytest.mark.parametrize("transposed", [False, True])
def test_data_on_faces_tell_which_dimension_counts_them(tmp_path, transposed):
    """A cube of 6 faces with 4 corners each: the lengths alone tell nothing."""
    cube = cubed_sphere_mesh(1, "cube")
    path = as_ugrid(tmp_path / "g.nc", cube, 1, transposed=transposed)
    with netCDF4.Dataset(path, "a") as file:
        if transposed:
            file["mesh"].delncattr("face_dimension")
        data = file.createVariable("tas", "f4", ("face",))
        data.setncatts({"mesh": "mesh", "location": "face"})
    mesh = read_mesh(path, edges="great_circle")
    assert (grid_hash(mesh), mesh.notes) == (grid_hash(cube), ())


def test_a_start_index_that_does_not_fit_is_refused(tmp_path):
    path = as_ugrid(tmp_path / "g.nc", MIXED, 0)
    with pytest.raises(DataError, match=r"node that does not exist\n(.*\n)*.*g.nc: faces\n.*start_index"):
        read_mesh(change(path, faces={"start_index": np.int32(1)}))
    no_fill = as_ugrid(tmp_path / "n.nc", MIXED, 0, None)
    with pytest.raises(DataError, match="node that does not exist"):
        read_mesh(change(no_fill, faces={"start_index": np.int32(1)}))
    unused = as_ugrid(tmp_path / "u.nc", MIXED, 1, None)  # -1 at the end of triangles, and no fill value
    assert grid_hash(read_mesh(unused)) == grid_hash(MIXED)


def test_nodes_of_an_esmf_mesh_from_0_need_their_start_index(tmp_path):
    path = as_esmf(tmp_path / "g.nc", MIXED)
    with netCDF4.Dataset(path, "a") as file:
        file["elementConn"][:] = file["elementConn"][:] - 1
    with pytest.raises(DataError, match=r"node that does not exist\n(.*\n)*.*elementConn\n.*set start_index to 0"):
        read_mesh(path)
    assert grid_hash(read_mesh(change(path, elementConn={"start_index": np.int32(0)}))) == grid_hash(MIXED)


# ---- several grids -----------------------------------------------------------------------------------------------


def test_two_grids_in_a_file_need_a_variable(tmp_path):
    lon, lat = np.arange(0, 360, 10.0), np.arange(-80, 81, 10.0)
    path = write(
        tmp_path / "g.nc",
        lat_t=Nc("lat_t", lat, {"units": "degrees_north"}),
        lon_t=Nc("lon_t", lon, {"units": "degrees_east"}),
        vt=Nc("lat_t lon_t", np.ones((17, 36))),
        lat_u=Nc("lat_u", lat, {"units": "degrees_north"}),
        lon_u=Nc("lon_u", lon + 5, {"units": "degrees_east"}),
        vu=Nc("lat_u lon_u", np.ones((17, 36))),
    )
    with pytest.raises(DataError, match=r"several grids\n(.*\n)*.*--variable of ai4land weights, variable: .*hosts:"):
        read_mesh(path)
    assert read_mesh(path, variable="vu").centre_lon[:2].tolist() == [5, 15]
    assert read_mesh(path, variable="vt").centre_lon[:2].tolist() == [0, 10]


def test_several_meshes_in_a_file_need_a_variable(tmp_path):
    path = as_ugrid(tmp_path / "g.nc", MIXED)
    with netCDF4.Dataset(path, "a") as file:
        second = file.createVariable("other", "i4", ())
        second.setncatts({key: file["mesh"].getncattr(key) for key in file["mesh"].ncattrs()})
        file.createVariable("tas", "f4", ("face",)).setncatts({"mesh": "other", "location": "face"})
    with pytest.raises(DataError, match=r"several meshes\n(.*\n)*.*--variable"):
        read_mesh(path)
    assert read_mesh(path, variable="tas").size == MIXED.size


def test_an_unknown_variable_is_refused(tmp_path):
    path = as_ugrid(tmp_path / "g.nc", MIXED)
    with pytest.raises(DataError, match=r"lacks a variable\n  found: node_z\n.*g.nc\n.*node_x"):
        read_mesh(path, variable="node_z")


def test_coordinates_without_units_are_degrees_with_a_note(tmp_path):
    lon, lat = np.arange(5.0, 360, 10), np.arange(-85.0, 90, 10)
    path = write(tmp_path / "g.nc", lat=Nc("lat", lat), lon=Nc("lon", lon), t=Nc("lat lon", np.ones((18, 36))))
    mesh = read_mesh(path, expect="global")
    assert mesh.notes[:2] == ("lat has no units: taken as degrees", "lon has no units: taken as degrees")
    radians = write(tmp_path / "r.nc", lat=Nc("lat", np.deg2rad(lat)), lon=Nc("lon", np.deg2rad(lon)))
    with pytest.raises(GridError, match="look like radians"):
        read_mesh(radians)


@pytest.mark.parametrize("units", [("degree_N", "degreesE"), ("degrees north", "degrees east"), ("radian", "rad")])
@pytest.mark.parametrize("names", [("LATIXY", "LONGXY"), ("nav_lat", "nav_lon")])
def test_units_in_every_spelling(tmp_path, units, names):
    lon, lat = np.meshgrid(np.arange(5.0, 360, 10), np.arange(-85.0, 90, 10))
    if "rad" in units[0]:
        lon, lat = np.deg2rad(lon), np.deg2rad(lat)
    path = write(
        tmp_path / "g.nc",
        x=Nc("x", np.arange(36)),
        y=Nc("y", np.arange(18)),
        **{names[0]: Nc("y x", lat, {"units": units[0]}), names[1]: Nc("y x", lon, {"units": units[1]})},
        t=Nc("time y x", np.ones((1, 18, 36))),
    )
    for variable in (None, "t"):
        mesh = read_mesh(path, variable=variable, expect="global")
        assert (mesh.size, mesh.edges) == (648, "latlon")
        np.testing.assert_allclose([mesh.centre_lat[40], mesh.centre_lon[40]], [-75, 45], atol=1e-12)


def test_attributes_that_contradict_each_other_are_refused(tmp_path):
    wrong = {"standard_name": "latitude", "units": "degrees_east"}
    path = write(tmp_path / "g.nc", lat=Nc("lat", np.arange(3.0), wrong), lon=Nc("lon", np.arange(3.0), degrees("lon")))
    with pytest.raises(GridError, match=r"contradict each other\n(.*\n)*.*g.nc"):
        read_mesh(path)


def test_units_of_2d_coordinates_without_names_or_coordinates_attribute(tmp_path):
    lon, lat = np.meshgrid(np.arange(5.0, 360, 10), np.arange(-85.0, 90, 10))
    path = write(
        tmp_path / "g.nc",
        a=Nc("y x", lat, {"units": "degrees_N", "bounds": "a_b"}),
        b=Nc("y x", lon, {"units": "degrees_E", "bounds": "b_b"}),
        a_b=Nc("y x nv", lat[..., None] + np.array([-5, -5, 5, 5])),
        b_b=Nc("y x nv", lon[..., None] + np.array([-5, 5, 5, -5])),
        t=Nc("y x", np.sin(np.deg2rad(lat))),
    )
    mesh = read_mesh(path, expect="global")
    np.testing.assert_array_equal(mesh.centre_lat, lat.ravel())


def test_standard_names_of_rotated_coordinates_are_not_latitudes(tmp_path):
    """Some models write degrees_north for the latitude of the rotated grid."""
    axis = np.arange(-3, 4, 1.0)
    path = write(
        tmp_path / "g.nc",
        rlat=Nc("rlat", axis, {**degrees("lat"), "standard_name": "grid_latitude"}),
        rlon=Nc("rlon", axis, {**degrees("lon"), "standard_name": "grid_longitude"}),
        hsurf=Nc("rlat rlon", np.ones((7, 7))),
    )
    with pytest.raises(DataError, match="no cells of a known layout"):
        read_mesh(path)
