"""The one door to grid files: whichever of the known layouts it is, a mesh comes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ai4land_coupler.errors import DataError
from ai4land_coupler.grids.coverage import Expect
from ai4land_coupler.grids.files import cf, connectivity, corners, mpas
from ai4land_coupler.grids.files.variables import GridFile
from ai4land_coupler.grids.generated import generated_mesh
from ai4land_coupler.grids.mesh import Edges, Mesh
from ai4land_coupler.grids.polygons import mesh_of

#: Layouts in the order they are tried: those that name themselves first.
_LAYOUTS = (
    connectivity.read_ugrid,
    connectivity.read_esmf_mesh,
    mpas.read_mpas,
    corners.read_scrip,
    corners.read_icon,
    cf.read_cf,
)


def read_mesh(
    path: str | Path,
    edges: Edges | None = None,
    variable: str | None = None,
    mask: str | None = None,
    expect: Expect | None = None,
) -> Mesh:
    """Read a grid file, whichever its layout, or make the grid that a name stands for.

    Known are UGRID, ESMF mesh, MPAS, SCRIP, ICON (``clon_vertices``) and CF: rectilinear, curvilinear and unstructured
    cells with bounds, regular and Gaussian axes without, and rotated poles (docs/grids.md). Cells are numbered in
    the order of the file, the last dimension fastest.

    Parameters
    ----------
    path:
        A file; or, where there is none, a name as ``O80``, ``F32``, ``r360x180``, ``ne30pg2``, ``ico5``
        (:func:`ai4land_coupler.grids.generated_mesh`).
    edges:
        Kind of edges. Default: ``latlon`` where every edge is a meridian or a parallel, else ``great_circle``.
    variable:
        Which data variable's cells are meant, where a CF or UGRID file holds several grids.
    mask:
        Name of a variable on the cells; those where it is 0 or missing take no part. SCRIP and ESMF files have
        their own masks, which are used without.
    expect:
        ``global`` to refuse gaps; a grid of a region or of land alone has some.

    Raises
    ------
    DataError
        The file is missing, unreadable, truncated, of no known layout, or lacks units or bounds.
    GridError
        Its cells are malformed (:func:`ai4land_coupler.grids.checks.validate`), or more of them overlap than the
        rules of docs/grids.md mask.
    """
    path = Path(path)
    if not path.is_file():
        made = generated_mesh(path.name, edges)
        if made is None:
            raise DataError(
                "a grid file is missing",
                expected="a file, or the name of a grid: O80, F32, r360x180, global_0.5, ne30pg2, ico5",
                where=path,
            )
        return made
    with _opened(path) as dataset:
        file = GridFile(dataset, path, variable, mask)
        for layout in _LAYOUTS:
            polygons = layout(file)
            if polygons is not None:
                break
        else:
            raise DataError(
                "a grid file has no cells of a known layout",
                expected="UGRID (cf_role mesh_topology), ESMF mesh (nodeCoords, elementConn),"
                " MPAS (verticesOnCell), SCRIP (grid_corner_lon), ICON (clon_vertices), or CF latitudes and longitudes",
                found=", ".join(sorted(dataset.variables)) or "no variables",
                where=path,
            )
    return mesh_of(polygons, path, edges, expect)


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    import netCDF4

    try:
        with netCDF4.Dataset(path) as dataset:
            dataset.set_auto_maskandscale(False)
            if dataset.data_model in ("NETCDF3_CLASSIC", "NETCDF3_64BIT_OFFSET"):
                _refuse_truncated(path)
            yield dataset
    except (OSError, RuntimeError) as error:  # RuntimeError: the file ends before its data
        raise _unreadable(path, error) from error


def _refuse_truncated(path: Path) -> None:
    """Refuse a netCDF-3 file that ends before its data, where the netCDF library would read zeros without a word."""
    from scipy.io import netcdf_file

    try:
        with netcdf_file(path, mmap=True):  # lays out all variables, and reads none
            pass
    except (ValueError, IndexError, TypeError) as error:
        raise _unreadable(path, f"{path.stat().st_size} bytes, fewer than its variables have") from error


def _unreadable(path: Path, found: object) -> DataError:
    return DataError(
        "a grid file cannot be read as netCDF",
        found=found,
        where=path,
        remedy="compare its size and checksum with the source's; it may be truncated",
    )
