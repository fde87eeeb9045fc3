"""The land component behind the Basic Model Interface 2.0 (https://bmi.csdms.io).

The model has one grid, the single entry of ``hosts`` in the configuration: the unstructured grid 0, with cells as
faces. Time is in days since 1 January of ``time.start``. An export with types becomes one variable for each type, with
two underscores in its name: ``land_cover_fraction__forest``. Exports have the values of the state at the current time.

BMI has no MPI ranks: the model runs in one process.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ai4land_coupler.component.component import LandComponent
from ai4land_coupler.core.calendar import DAY, HostCalendar, HostDate
from ai4land_coupler.errors import ConfigError, FieldError, GridError, StateError, TimeError, nearest
from ai4land_coupler.grids.topology import Topology, topology
from ai4land_coupler.host.values import host_values

_GRID = 0


class LandBmi:
    """BMI 2.0 of :class:`~ai4land_coupler.component.component.LandComponent`.

    Parameters
    ----------
    calendar:
        Calendar of the time in days; any calendar of cftime.

    Every error is an :class:`~ai4land_coupler.errors.Ai4LandError`.
    """

    def __init__(self, calendar: str = "standard") -> None:
        self._calendar = HostCalendar(calendar)
        self._land: LandComponent | None = None

    # ---- control ----------------------------------------------------------------------------------------------

    def initialize(self, config_file: str) -> None:
        """Read the configuration and make the model ready to run from 1 January of ``time.start``."""
        if self._land is not None:
            raise StateError("the model is initialised already", remedy="finalize it first")
        land = LandComponent(Path(config_file))
        land.set_calendar(self._calendar.name)
        land.initialize()
        names = sorted(land.config.hosts)
        if len(names) != 1:
            raise ConfigError(
                "a BMI model has one grid",
                expected="one entry of `hosts`",
                found=", ".join(names) or "none",
                where=config_file,
            )
        land.set_named_grid(names[0])
        land.realize()
        self._land = land
        self._start, self._now = HostDate(land.year), 0.0
        host = land.hosts["host"]
        self._topology = topology(host.mesh)
        self._outputs = {
            f"{info.name}__{kind}" if kind else info.name: (info.name, number)
            for info in land.exports().values()
            for number, kind in enumerate(info.types or ("",))
        }
        self._values = {name: np.full(host.mesh.size, np.nan) for name in (*self._outputs, *land.imports())}
        self._given: set[str] = set()
        self._copy_exports()

    def update(self) -> None:
        """Run to the next state: one step of the predictor."""
        self.update_until(self._now + self.get_time_step())

    def update_until(self, time: float) -> None:
        """Run to a time (days). Values of imports are used from then on."""
        land = self._model()
        date = self._date(time)
        if time < self._now:
            raise TimeError(
                "a model never goes back in time", expected=f"{self._now:g} days or later", found=f"{time:g}"
            )
        for name in sorted(self._given):
            land.import_(name, self._values[name])
        land.run_date(*date)
        self._now = float(time)
        self._copy_exports()

    def finalize(self) -> None:
        """Release all resources. Allowed at any time."""
        if self._land is not None:
            self._land.finalize()
        self._land = None

    # ---- description ------------------------------------------------------------------------------------------

    def get_component_name(self) -> str:
        return "ai4land_coupler"

    def get_input_item_count(self) -> int:
        return len(self.get_input_var_names())

    def get_output_item_count(self) -> int:
        return len(self.get_output_var_names())

    def get_input_var_names(self) -> tuple[str, ...]:
        """Fields that the predictors need from a host."""
        return tuple(self._model().imports())

    def get_output_var_names(self) -> tuple[str, ...]:
        """Exports; an export with types has one name for each type."""
        self._model()
        return tuple(self._outputs)

    def get_var_grid(self, name: str) -> int:
        self._known(name)
        return _GRID

    def get_var_type(self, name: str) -> str:
        return str(self._known(name).dtype)

    def get_var_units(self, name: str) -> str:
        """Units in the spelling of UDUNITS."""
        self._known(name)
        land = self._model()
        return land.exports()[self._outputs[name][0]].units if name in self._outputs else land.imports()[name].units

    def get_var_itemsize(self, name: str) -> int:
        return self._known(name).itemsize

    def get_var_nbytes(self, name: str) -> int:
        return self._known(name).nbytes

    def get_var_location(self, name: str) -> str:
        self._known(name)
        return "face"

    # ---- time -------------------------------------------------------------------------------------------------

    def get_start_time(self) -> float:
        return 0.0

    def get_current_time(self) -> float:
        self._model()
        return self._now

    def get_end_time(self) -> float:
        """1 January of the configuration's ``time.stop``, in days."""
        return self._days(HostDate(self._model().clock.stop))

    def get_time_units(self) -> str:
        return "d"

    def get_time_step(self) -> float:
        """Days until the next state; 0 at the end. It changes, because years have different lengths."""
        clock = self._model().clock
        return 0.0 if clock.done else self._days(HostDate(clock.next().now)) - self._now

    # ---- values -----------------------------------------------------------------------------------------------

    def get_value(self, name: str, dest: NDArray[Any]) -> NDArray[Any]:
        """Copy all values of a variable, one per cell, to ``dest``."""
        values = self._known(name)
        if dest.size != values.size:
            raise FieldError(f"the array for {name!r} has the wrong size", expected=values.size, found=dest.size)
        dest[:] = values.reshape(dest.shape)
        return dest

    def get_value_ptr(self, name: str) -> NDArray[np.float64]:
        """The array itself, which each update fills again. Read-only for outputs."""
        values = self._known(name)
        if name not in self._outputs:
            self._given.add(name)  # the caller can write to the array
            return values
        shown = values.view()
        shown.flags.writeable = False
        return shown

    def get_value_at_indices(self, name: str, dest: NDArray[Any], inds: NDArray[np.integer[Any]]) -> NDArray[Any]:
        dest[:] = self._known(name)[self._indices(name, inds)]
        return dest

    def set_value(self, name: str, src: NDArray[Any]) -> None:
        """Set an input on all cells. Masked values of ``numpy.ma`` become NaN, which the next update refuses."""
        held, values = self._input(name), host_values(repr(name), src)
        if values.size != held.size:
            raise FieldError(f"the array for {name!r} has the wrong size", expected=held.size, found=values.size)
        held[:] = values.reshape(-1)
        self._given.add(name)

    def set_value_at_indices(self, name: str, inds: NDArray[np.integer[Any]], src: NDArray[Any]) -> None:
        """Set an input on some cells. Cells never set stay NaN, which the next update refuses."""
        held, values = self._input(name), host_values(repr(name), src)
        places = self._indices(name, inds)
        if values.size != places.size:
            raise FieldError(f"the array for {name!r} has the wrong size", expected=places.size, found=values.size)
        held[places] = values.reshape(places.shape)
        self._given.add(name)

    # ---- grid -------------------------------------------------------------------------------------------------

    def get_grid_rank(self, grid: int) -> int:
        self._shape(grid)
        return 2

    def get_grid_size(self, grid: int) -> int:
        """Number of cells."""
        return self._shape(grid).nodes_per_face.size

    def get_grid_type(self, grid: int) -> str:
        self._shape(grid)
        return "unstructured"

    def get_grid_shape(self, grid: int, shape: NDArray[Any]) -> NDArray[Any]:
        raise self._unstructured(grid, "shape")

    def get_grid_spacing(self, grid: int, spacing: NDArray[Any]) -> NDArray[Any]:
        raise self._unstructured(grid, "spacing")

    def get_grid_origin(self, grid: int, origin: NDArray[Any]) -> NDArray[Any]:
        raise self._unstructured(grid, "origin")

    def get_grid_x(self, grid: int, x: NDArray[Any]) -> NDArray[Any]:
        """Longitudes of the nodes (degrees east, 0 to 360)."""
        x[:] = self._shape(grid).node_lon
        return x

    def get_grid_y(self, grid: int, y: NDArray[Any]) -> NDArray[Any]:
        """Latitudes of the nodes (degrees north)."""
        y[:] = self._shape(grid).node_lat
        return y

    def get_grid_z(self, grid: int, z: NDArray[Any]) -> NDArray[Any]:
        raise self._unstructured(grid, "height")

    def get_grid_node_count(self, grid: int) -> int:
        return self._shape(grid).node_lon.size

    def get_grid_edge_count(self, grid: int) -> int:
        return len(self._shape(grid).edge_nodes)

    def get_grid_face_count(self, grid: int) -> int:
        return self._shape(grid).nodes_per_face.size

    def get_grid_edge_nodes(self, grid: int, edge_nodes: NDArray[Any]) -> NDArray[Any]:
        edge_nodes[:] = self._shape(grid).edge_nodes.reshape(-1)
        return edge_nodes

    def get_grid_face_edges(self, grid: int, face_edges: NDArray[Any]) -> NDArray[Any]:
        face_edges[:] = self._shape(grid).face_edges
        return face_edges

    def get_grid_face_nodes(self, grid: int, face_nodes: NDArray[Any]) -> NDArray[Any]:
        face_nodes[:] = self._shape(grid).face_nodes
        return face_nodes

    def get_grid_nodes_per_face(self, grid: int, nodes_per_face: NDArray[Any]) -> NDArray[Any]:
        nodes_per_face[:] = self._shape(grid).nodes_per_face
        return nodes_per_face

    # ---- helpers ----------------------------------------------------------------------------------------------

    def _model(self) -> LandComponent:
        if self._land is None:
            raise StateError("the model is not initialised", remedy="call initialize first")
        return self._land

    def _known(self, name: str) -> NDArray[np.float64]:
        self._model()
        if name not in self._values:
            raise FieldError("no variable has this name", found=name, remedy=nearest(name, self._values))
        return self._values[name]

    def _indices(self, name: str, inds: NDArray[np.integer[Any]]) -> NDArray[np.integer[Any]]:
        """Numbers of cells, from 0."""
        places, expected = np.asarray(inds), f"integers from 0 to {self._known(name).size - 1}"
        if places.dtype.kind not in "iu":
            raise FieldError(f"{name!r} has no such cells", expected=expected, found=places.dtype)
        if places.size and not 0 <= places.min() <= places.max() < self._known(name).size:
            raise FieldError(
                f"{name!r} has no such cells", expected=expected, found=f"{places.min()} to {places.max()}"
            )
        return places

    def _input(self, name: str) -> NDArray[np.float64]:
        values = self._known(name)
        if name in self._outputs:
            raise FieldError(f"{name!r} is an output", expected=f"one of {', '.join(self.get_input_var_names())}")
        return values

    def _shape(self, grid: int) -> Topology:
        self._model()
        if grid != _GRID:
            raise GridError("the model has one grid", expected=_GRID, found=grid)
        return self._topology

    def _unstructured(self, grid: int, what: str) -> GridError:
        self._shape(grid)
        return GridError(f"an unstructured grid has no {what}", remedy="ask for nodes, edges and faces")

    def _copy_exports(self) -> None:
        land = self._model()
        for variable, (name, number) in self._outputs.items():
            # Fields that a predictor makes in the first step are NaN until then.
            with suppress(StateError):
                values = land.export(name)
                self._values[variable][:] = values[number] if values.ndim == 2 else values

    def _days(self, date: HostDate) -> float:
        return self._calendar.seconds_between(self._start, date) / DAY

    def _date(self, time: float) -> HostDate:
        """The date ``time`` days after the start, rounded to seconds."""
        import cftime

        if not np.isfinite(time):
            raise TimeError("a time is not a number", found=time)
        units = f"seconds since {self._start.year:04d}-01-01"
        seconds = round(time * DAY)
        date = cftime.num2date(seconds, units, self._calendar.name, has_year_zero=True)
        rest = seconds - self._calendar.seconds_between(self._start, HostDate(date.year, date.month, date.day))
        return HostDate(date.year, date.month, date.day, int(rest))
