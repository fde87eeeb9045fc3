"""A distribution whose data say of which time they are, and a predictor that records what it gets."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from installed_plugins import install

from ai4land_coupler import Simulation
from ai4land_coupler.config.sections import parse_config

#: (name of the recorder's output, time) to field to the values of its layers.
Record = dict[tuple[str, tuple[int, int]], dict[str, tuple[float, ...]]]

NAME = "clockwork_plugin"
LEGEND = "hilda-v1.0-f"
#: The years of the initial maps. A map has one class in all cells: YEAR_CLASSES[year % 4].
YEARS = (1990, 2015)
YEAR_CODES = (11, 22, 33, 55)
YEAR_CLASSES = (0, 1, 2, 4)
FILL = -1.0
HEIGHT = 7.0

CODE = f"""
import numpy as np
import xarray as xr
from pydantic import Field

from ai4land_coupler import api

LEGEND, CODES, CLASSES = {LEGEND!r}, {YEAR_CODES}, {YEAR_CLASSES}
#: (name of the recorder's output, time) to field to the one value that all cells of each layer have
RECORD = {{}}


class Options(api.Options):
    pass


class Maps(api.DataAdapter):
    def fields(self):
        return {{"land_cover": api.FieldInfo("land_cover", "1", years={YEARS})}}

    def grid(self):
        return api.LatLonGrid(0.0, 0.05, 20, 51.0, -0.05, 20)

    def read(self, request):
        shape = (len(request.years), *request.grid.shape)
        codes = np.empty(shape, np.uint8)
        for layer, year in zip(codes, request.years):
            if not {YEARS[0]} <= year <= {YEARS[1]}:
                raise api.TimeError("there is no such map", found=year)
            layer[:] = CODES[year % 4]
        return dataset("land_cover", codes, request).assign_attrs(quality={{}})


class When(api.DataAdapter):
    def fields(self):
        return {{"when": api.FieldInfo("when", "year", years=(1990, 2030))}}

    def grid(self):
        return api.LatLonGrid(0.0, 0.25, 4, 51.0, -0.25, 4)

    def read(self, request):
        years = np.array(request.years, np.float32).reshape(-1, 1, 1)
        return dataset("when", np.broadcast_to(years, (len(years), *request.grid.shape)).copy(), request)


class Height(api.DataAdapter):
    def fields(self):
        return {{"height": api.FieldInfo("height", "m")}}

    def grid(self):
        return None

    def read(self, request):
        return dataset("height", np.full(request.grid.shape, {HEIGHT}, np.float32), request)


def dataset(name, values, request):
    grid = request.grid
    dims = ("year", "lat", "lon")[-values.ndim :]
    coords = {{"year": list(request.years), "lat": grid.lat, "lon": grid.lon}}
    attrs = {{"legend": LEGEND}} if name == "land_cover" else {{}}
    array = xr.DataArray(values, {{dim: coords[dim] for dim in dims}}, dims, attrs=attrs)
    return xr.Dataset({{name: array}}, attrs={{"quality": {{}}}})


class Calendar(api.Predictor):
    '''Land cover: one class in each year.'''

    def __init__(self, step="P1Y"):
        self.spec = api.PredictorSpec(
            inputs=(api.FieldSpec("land_cover", "1", source="cover", offsets=(-1,)),),
            outputs=(api.FieldSpec(api.LOGITS, "1", source="output"),),
            legend=LEGEND,
            step=step,
        )

    def predict(self, batch, rng):
        logits = np.zeros((1, 7, *batch.tiles[0].window.shape), np.float32)
        logits[:, CLASSES[batch.time[0] % 4]] = 9
        return {{api.LOGITS: logits}}


class CalendarOptions(api.Options):
    step: str = "P1Y"


class RecorderOptions(api.Options):
    output: str = "trace"
    units: str = "1"
    step: str = "P1Y"
    direction: int = 1
    inputs: tuple[dict, ...] = ()
    memory: dict[str, float] = Field(default_factory=dict)
    random: bool = False


class Recorder(api.Predictor):
    '''Predicts the time: the year, or 12 x year + month - 1 with steps of months.'''

    def __init__(self, options):
        self.options = options
        self.spec = api.PredictorSpec(
            inputs=tuple(api.FieldSpec(**item) for item in options.inputs),
            outputs=(api.FieldSpec(options.output, options.units, source="output"),),
            legend=LEGEND,
            step=options.step,
            direction=options.direction,
            memory=options.memory,
        )

    def predict(self, batch, rng):
        found = RECORD.setdefault((self.options.output, batch.time), {{}})
        for name, values in batch.fields.items():
            flat = values[0].reshape(values.shape[1], -1)
            layers = tuple(float(value) for value in flat[:, 0])
            assert (flat == flat[:, :1]).all(), name
            assert found.setdefault(name, layers) == layers, name
        year, month = batch.time
        moment = 12 * year + month - 1 if month else year
        box = batch.tiles[0].window
        traced = np.full((1, 1, *box.shape), moment, np.float32)
        if self.options.random:
            rows, cols = np.ogrid[box.row0 : box.row1, box.col0 : box.col1]
            traced[:] = rng.uniform(batch.grid.nlon * rows + cols)
        kept = {{name: batch.fields[name][:, 0] + 1 for name in self.options.memory}}
        return {{self.options.output: traced, **kept}}


@api.hookimpl
def ai4land_register(registry):
    registry.adapter("year-maps", lambda options: Maps(), Options)
    registry.adapter("when", lambda options: When(), Options)
    registry.adapter("height", lambda options: Height(), Options)
    registry.predictor("calendar", lambda options: Calendar(options.step), CalendarOptions)
    registry.predictor("recorder", Recorder, RecorderOptions)
"""


def install_clockwork(folder: Path) -> None:
    """Install the distribution in a folder, which must then be on the path."""
    install(folder, NAME, CODE)


def field(name: str, source: str, *offsets: int, **more: Any) -> dict[str, Any]:
    """An input of the recorder."""
    units = {"when": "year", "height": "m"}.get(name, "1")
    return {"name": name, "units": units, "source": source, "offsets": offsets or (0,), "fill": FILL, **more}


def recorder(output: str, step: str, *inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The recorder as a predictor of a run."""
    return {"name": "recorder", "options": {"output": output, "step": step, "inputs": inputs, **more}}


def run_of(*predictors: dict[str, Any], start: int = 2015, stop: int = 2019, **parts: Any) -> dict[str, Any]:
    """A run of the calendar and these predictors on 20 x 20 cells, in 4 blocks."""
    return {
        "title": "clockwork",
        "legend": LEGEND,
        "time": {"start": start, "stop": stop},
        "initial": {"name": "year-maps"},
        "forcing": [{"name": "when"}],
        "static": [{"name": "height"}],
        "predictors": [{"name": "calendar"}, *predictors],
        "allocation": {"method": "argmax"},
        "imports": {"sunshine": {"values": [100.0 + month for month in range(1, 13)], "units": "1"}},
        "hosts": {"host": {"grid": "r72x36"}},
        "parallel": {"block": 2},
        **parts,
    }


def recorded(action: Callable[[], Any]) -> Record:
    """What the recorders got in a run."""
    record: Record = sys.modules[NAME].RECORD if NAME in sys.modules else {}
    record.clear()
    action()
    return dict(sys.modules[NAME].RECORD)


def simulation(raw: dict[str, Any], store: Path) -> Simulation:
    return Simulation(parse_config(raw | {"output": {"store": str(store), "shard": 16}}, store.parent, "test"))
