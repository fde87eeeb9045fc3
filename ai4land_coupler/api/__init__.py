"""The interface between the component and its plugins. Plugins import this package and no other of the component.

A predictor maps a window of named arrays to a window of named arrays. An adapter delivers variables on the requested
grid. Neither of them deals with MPI, tiles, regridding or Fortran. See docs/plugins.md.
"""

from ai4land_coupler.api.bundles import CARD, check_classes, read_card, read_numbers, save_bundle, sha256
from ai4land_coupler.api.contract import (
    LOGITS,
    DataAdapter,
    LegendName,
    LocalWeights,
    Method,
    Norm,
    Options,
    Predictor,
    Regridder,
    Request,
)
from ai4land_coupler.api.hooks import Registry, StepEvent, hookimpl
from ai4land_coupler.api.training import (
    FieldTrainingData,
    Trainer,
    TrainingChannel,
    TrainingData,
    TrainingRun,
    TrainResult,
)
from ai4land_coupler.config.faults import fault_lines
from ai4land_coupler.core.fields import Batch, CoarseIndex, FieldInfo, FieldSpec, PredictorSpec, Tile, gaps_of
from ai4land_coupler.core.grid import EARTH_RADIUS, Box, LatLonGrid
from ai4land_coupler.core.legend import OUTSIDE, Crosswalk, Legend, get_crosswalk, get_legend
from ai4land_coupler.core.registration import Registration, find_difference, register
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.core.state import LandState
from ai4land_coupler.core.units import convert, factor
from ai4land_coupler.core.windows import cell_sums, counts_around
from ai4land_coupler.errors import (
    Ai4LandError,
    ConfigError,
    DataError,
    FieldError,
    GridError,
    PluginError,
    RunError,
    TimeError,
    nearest,
)
from ai4land_coupler.files.axes import MapAxes, read_axes
from ai4land_coupler.files.cf_coordinates import to_degrees
from ai4land_coupler.files.cf_values import MISSING_ABOVE, decode_codes, decode_values
from ai4land_coupler.files.durable import new_paths
from ai4land_coupler.files.find import InputFile, Location, find_files, find_in_folder
from ai4land_coupler.files.geotiff import count_unwritten, describe_crs, open_geotiff, read_geotiff_grid, read_window
from ai4land_coupler.files.grid_mapping import ROTATED, read_grid_mapping
from ai4land_coupler.files.map_coordinates import MapCoordinates, read_coordinates
from ai4land_coupler.files.netcdf import attributes_of, open_netcdf, read_native_values, read_stored, read_values
from ai4land_coupler.files.raw import open_raw
from ai4land_coupler.files.select import find_positions
from ai4land_coupler.files.times import read_months, read_years, time_dimension, years_of
from ai4land_coupler.grids.mesh import Mesh

__all__ = [
    "CARD",
    "EARTH_RADIUS",
    "LOGITS",
    "MISSING_ABOVE",
    "OUTSIDE",
    "ROTATED",
    "Ai4LandError",
    "Batch",
    "Box",
    "CoarseIndex",
    "ConfigError",
    "Crosswalk",
    "DataAdapter",
    "DataError",
    "FieldError",
    "FieldInfo",
    "FieldSpec",
    "FieldTrainingData",
    "GridError",
    "InputFile",
    "KeyedRng",
    "LandState",
    "LatLonGrid",
    "Legend",
    "LegendName",
    "LocalWeights",
    "Location",
    "MapAxes",
    "MapCoordinates",
    "Mesh",
    "Method",
    "Norm",
    "Options",
    "PluginError",
    "Predictor",
    "PredictorSpec",
    "Registration",
    "Registry",
    "Regridder",
    "Request",
    "RunError",
    "StepEvent",
    "Tile",
    "TimeError",
    "TrainResult",
    "Trainer",
    "TrainingChannel",
    "TrainingData",
    "TrainingRun",
    "attributes_of",
    "cell_sums",
    "check_classes",
    "convert",
    "count_unwritten",
    "counts_around",
    "decode_codes",
    "decode_values",
    "describe_crs",
    "factor",
    "fault_lines",
    "find_difference",
    "find_files",
    "find_in_folder",
    "find_positions",
    "gaps_of",
    "get_crosswalk",
    "get_legend",
    "hookimpl",
    "nearest",
    "new_paths",
    "open_geotiff",
    "open_netcdf",
    "open_raw",
    "read_axes",
    "read_card",
    "read_coordinates",
    "read_geotiff_grid",
    "read_grid_mapping",
    "read_months",
    "read_native_values",
    "read_numbers",
    "read_stored",
    "read_values",
    "read_window",
    "read_years",
    "register",
    "save_bundle",
    "sha256",
    "time_dimension",
    "to_degrees",
    "years_of",
]
