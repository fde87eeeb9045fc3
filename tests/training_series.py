"""A short training: maps of three years, states, and static fields in small files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import adapter_files
import numpy as np


def training_series(folder: Path) -> dict[str, Any]:
    """Write maps and states of three years and six static fields. Returns the configuration of their training."""
    rng = np.random.default_rng(0)
    lat, lon = adapter_files.LAT, adapter_files.LON
    states = adapter_files.fractions(years=3)
    shape = next(iter(states.values())).shape
    states |= {name: rng.uniform(1, 50, shape).astype(np.float32) for name in ("secma", "secmb")}
    adapter_files.write_states(folder / "states.nc", states)
    fields = {
        "elevation": (rng.normal(300, 100, shape[1:]), {"units": "m"}),
        "clay": (0.5 * rng.random(shape[1:]), {"units": "1"}),
        "sand": (0.5 * rng.random(shape[1:]), {"units": "1"}),
        "organic_carbon": (rng.uniform(0, 90, shape[1:]), {"units": "g kg-1"}),
    }
    adapter_files.write_fields(folder / "static.nc", fields, lat, lon)
    for year in (2015, 2016, 2017):
        codes = rng.choice([11, 22, 33, 41, 55, 66, 77, 0], (60, 90)).astype(np.uint8)
        adapter_files.write_map(
            folder / f"hilda_plus_{year}_states_X-v1-0-f.tif", codes, west=-3.3, north=59.9, steps=(0.01, 0.01)
        )
    return {
        "legend": "hilda-v1.0-f",
        "cover": {
            "name": "hilda",
            "options": {"path": "hilda_plus_{year}_states_X-v1-0-f.tif", "legend": "hilda-v1.0-f"},
            "years": {"start": 2015, "stop": 2017},
        },
        "forcing": [{"name": "luh2", "options": {"states": "states.nc"}}],
        "static": [{"name": "static", "options": {"path": "static.nc"}}],
        "channels": [
            {"names": list(adapter_files.STATES), "source": "forcing", "offsets": [-1, 0], "change": True},
            {"names": ["secma"], "source": "forcing", "units": "year", "offsets": [-1, 0], "scaling": "log1p"},
            {"names": ["secmb"], "source": "forcing", "units": "kg m-2", "offsets": [-1, 0], "scaling": "log1p"},
            {"names": ["elevation"], "source": "static", "units": "m", "scaling": "standard"},
            {"names": ["slope"], "source": "static", "units": "degree", "scaling": "log1p"},
            {"names": ["aspect"], "source": "static", "units": "degree", "scaling": "cos"},
            {"names": ["clay", "sand"], "source": "static", "scaling": "standard"},
            {"names": ["organic_carbon"], "source": "static", "units": "g kg-1", "scaling": "log1p"},
        ],
        "validation": {"block": 0.1},
        "trainer": {
            "name": "unet",
            "options": {
                "name": "series",
                "architecture": {"width": 4, "depth": 1, "cover": "index"},
                "optimisation": {"steps": 2, "batch": 2, "window": 16, "threads": 1},
            },
        },
    }
