"""The report of a generated twin."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from ai4land_coupler.experiments.twin.options import TwinOptions
from ai4land_coupler.experiments.twin.oracle import Skill


class ArrayHash:
    """SHA-256 of the content of an array, which is given in slabs along its first axis."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def update(self, slab: NDArray[Any]) -> None:
        """Add a slab: its shape, its type and its values in little-endian C order."""
        slab = np.ascontiguousarray(slab, slab.dtype.newbyteorder("<"))
        self._digest.update(f"{slab.shape}{slab.dtype.str}".encode())
        self._digest.update(slab.tobytes())

    def update_parts(self, shape: tuple[int, ...], dtype: Any, parts: Iterable[NDArray[Any]]) -> None:
        """Add a slab that is given in parts along its first axis: the same hash as of the whole slab."""
        little = np.dtype(dtype).newbyteorder("<")
        self._digest.update(f"{shape}{little.str}".encode())
        for part in parts:
            self._digest.update(np.ascontiguousarray(part, little).data)

    @property
    def hex(self) -> str:
        return self._digest.hexdigest()


class TwinReport(BaseModel):
    """A generated twin: its files, amounts of change, and the upper limit of skill.

    Parameters
    ----------
    folder, files:
        Folder of the twin; paths of the files relative to the folder.
    gross_change:
        By year: share of the land area (without inland water) whose class differs from the year before.
    net_change:
        Mean yearly share of change after gains and losses of a class cancel within a forcing cell.
    skill:
        Skill of oracle and persistence, by lead time. Empty for a twin that was made in blocks.
    maps_sha256, states_sha256:
        Hashes of the contents of the map sequence (years, Y, X) and of the coarse states (years, 14, J).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    folder: Path
    options: TwinOptions
    files: tuple[Path, ...]
    cells: int
    land_cells: int
    forcing_cells: int
    gross_change: dict[int, float]
    net_change: float
    class_shares: dict[str, tuple[float, float]]
    skill: tuple[Skill, ...]
    maps_sha256: str
    states_sha256: str

    @property
    def mean_gross_change(self) -> float:
        """Mean over the years (per year)."""
        return float(np.mean(list(self.gross_change.values())))

    def path(self, start: str) -> Path:
        """The file whose relative path starts with a text, such as ``luh2/states``. Absolute if the folder is."""
        return self.folder / next(f for f in self.files if f.as_posix().startswith(start))

    @property
    def paths(self) -> dict[str, Path]:
        """Files by their content. ``maps`` is a pattern with ``{year}`` for the adapter ``hilda``."""
        known = {
            "states": "luh2/states",
            "static_luh2": "luh2/staticData",
            "scenario": "scenario/",
            "elevation": "static/elevation",
            "terrain": "static/terrain",
            "soil": "static/soil",
            "climate": "static/climate",
        }
        names = [f.as_posix() for f in self.files]
        found = {k: self.path(v) for k, v in known.items() if any(n.startswith(v) for n in names)}
        year = str(self.options.first_year)
        first = self.path("hilda/")
        return {"maps": first.with_name(first.name.replace(year, "{year}", 1)), **found}

    def lines(self) -> list[str]:
        """The report as text for people."""
        o = self.options
        rates = [100 * rate for rate in self.gross_change.values()]
        shares = [f"  {name:12s}{100 * a:6.1f} ->{100 * b:5.1f} %" for name, (a, b) in self.class_shares.items()]
        lines = [
            f"Twin Earth, seed {o.seed}, {o.first_year} to {o.last_year}",
            f"  {o.land_grid}",
            f"  {self.land_cells} land cells of {self.cells}; {self.forcing_cells} forcing cells of 0.25 degree",
            f"  changes class: {np.mean(rates):.3f} % of the land a year ({min(rates):.3f} to {max(rates):.3f})",
            f"  of which net in a forcing cell: {100 * self.net_change:.3f} %",
            *shares,
        ]
        if self.skill:
            lines += [
                "  figure of merit of change; the oracle is the ceiling: it knows the driver",
                "  and the amounts, not the hidden noise",
                "  lead   oracle  oracle, net only  persistence  (its overall accuracy)",
            ]
        lines += [
            f"  {s.lead:3d} y  {s.oracle:6.3f}  {s.oracle_net:16.3f}  {s.persistence:11.3f}  ({s.accuracy:.4f})"
            for s in self.skill
        ]
        lines += [
            f"  maps   sha256 {self.maps_sha256}",
            f"  states sha256 {self.states_sha256}",
            f"  {len(self.files)} files in {self.folder}",
        ]
        return lines

    def __str__(self) -> str:
        return "\n".join(self.lines())
