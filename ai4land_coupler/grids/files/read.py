"""Reads a grid file of any known layout as a mesh."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ai4land_coupler.errors import DataError, GridError
from ai4land_coupler.files.arrays import is_data
from ai4land_coupler.files.netcdf import open_netcdf
from ai4land_coupler.grids.coverage import Expect
from ai4land_coupler.grids.files import cf, connectivity, corners, healpix, mpas
from ai4land_coupler.grids.files.rectilinear import refuse_variables
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.generated import generated_mesh
from ai4land_coupler.grids.mesh import Edges, Mesh
from ai4land_coupler.grids.polygons import mesh_of

#: Layouts in the order in which they are tried. Layouts with unique names come first.
_LAYOUTS = (
    connectivity.read_ugrid,
    connectivity.read_esmf_mesh,
    mpas.read_mpas,
    corners.read_scrip,
    corners.read_icon,
    healpix.read_healpix,
    cf.read_cf,
)


def read_mesh(
    path: str | Path,
    edges: Edges | None = None,
    variable: str | None = None,
    mask: str | None = None,
    expect: Expect | None = None,
) -> Mesh:
    """Read a grid file of any known layout, or make a grid from its name.

    Known layouts are UGRID, ESMF mesh, MPAS, SCRIP, ICON (``clon_vertices``), HEALPix and CF. CF grids are rectilinear
    and curvilinear cells with or without bounds, unstructured cells with bounds, and rotated poles (docs/grids.md).
    Cells are numbered in the order of the file, the last dimension fastest. ``Mesh.notes`` tells what was changed,
    computed or left out.

    Parameters
    ----------
    path:
        A file, or the name of a grid if no such file exists: ``O80``, ``F32``, ``r360x180``, ``hp32``, ``ne30pg2``,
        ``ico5`` (:func:`ai4land_coupler.grids.generated_mesh`).
    edges:
        Kind of edges. Default: ``latlon`` if every edge is part of a meridian or a parallel, else ``great_circle``.
    variable:
        Data variable whose grid is read, if a CF or UGRID file has several grids.
    mask:
        Name of a variable on the cells. Cells where it is 0 or missing are masked. Default: the mask of a SCRIP or
        ESMF file, if the file has one.
    expect:
        ``global``: refuse gaps. Regional grids and grids of land alone have gaps.

    Raises
    ------
    DataError
        The file is missing, unreadable or truncated, has no known layout, or lacks units or bounds.
    GridError
        Cells are malformed (:func:`ai4land_coupler.grids.checks.validate`), or more cells overlap than may be masked
        (docs/grids.md).
    """
    path = Path(path)
    if not is_data(path):
        made = generated_mesh(path.name, edges)
        if made is None:
            raise DataError(
                "a grid file is missing",
                expected="a file, or the name of a grid: O80, N80, F32, n80, t63grid, r360x180,"
                " global_0.5, hp32, ne30pg2, ico5",
                where=path,
            )
        refuse_variables(path, variable, mask)
        return made
    with open_netcdf(path, what="a grid file") as dataset:
        dataset.set_auto_maskandscale(False)
        file = GridFile(dataset, path, variable, mask)
        file.check_names()
        for layout in _LAYOUTS:
            polygons = layout(file)
            if polygons is not None:
                break
        else:
            raise DataError(
                "a grid file has no cells of a known layout",
                expected="UGRID (cf_role mesh_topology), ESMF mesh (nodeCoords, elementConn),"
                " MPAS (verticesOnCell), SCRIP (grid_corner_lon), ICON (clon_vertices),"
                " HEALPix (grid_mapping_name healpix), or CF latitudes and longitudes in degrees or radians",
                found=", ".join(sorted(dataset.variables)) or "no variables",
                where=path,
            )
    polygons = replace(polygons, notes=(*file.notes, *polygons.notes))
    try:
        return mesh_of(polygons, path, edges, expect)
    except GridError as error:
        without = [note for note in polygons.notes if "no bounds" in note]
        if not without:
            raise
        raise GridError(
            error.what,
            expected=error.expected,
            found=error.found,
            where=error.where,
            remedy=f"add bounds to the file (CF conventions, cell boundaries), because made ones do not fit:"
            f" {'; '.join(without)}",
        ) from error
