"""The encoding on forcing cells and in strips against the plain encoding of each land cell with numpy, bit for bit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from ai4land_coupler.api import OUTSIDE, Batch, Box, LatLonGrid, PredictorSpec, Tile
from ai4land_coupler.core.grid import forcing_lattice
from ai4land_coupler.land.assemble import TileInputs, assemble, window_of
from ai4land_unet import encoding
from ai4land_unet.bundle import make_spec
from ai4land_unet.card import Channel, layers
from ai4land_unet.encoding import HIDDEN, encode

CLASSES = 7
CHANNELS = (
    Channel(name="crop", units="1", source="forcing", offset=0, encoding="standard", mean=0.3, scale=0.7, fill=0.1),
    Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="one_hot"),
    Channel(name="crop", units="1", source="forcing", offset=-1, encoding="none", fill=0.1),
    Channel(name="wood", units="kg", source="forcing", offset=0, encoding="log1p", mean=1.0, scale=3.0, fill=-1.0),
    Channel(name="elevation", units="m", source="static", offset=0, encoding="standard", mean=300.0, scale=210.0),
    Channel(name="land_cover", units="1", source="cover", offset=-2, encoding="index"),
    Channel(name="people", units="1", source="static", offset=0, encoding="log1p", mean=1.5, scale=0.9, fill=-2.0),
    Channel(name="wind", units="degree", source="import", offset=0, encoding="cos", mean=0.1, scale=1.3),
    Channel(name="aspect", units="degree", source="static", offset=0, encoding="cos", fill=45.0),
    Channel(name="lai", units="1", source="output", offset=0, encoding="standard", mean=2.0, scale=0.3, minus=-1),
    Channel(name="lai", units="1", source="output", offset=-1, encoding="none"),
    Channel(name="urban", units="1", source="forcing", offset=0, encoding="standard", scale=0.01, minus=-1, fill=0.2),
    Channel(name="urban", units="1", source="forcing", offset=-1, encoding="none", fill=0.2),
)
#: A part of a globe whose forcing cells hold 2.6 land cells, and a whole globe.
REGION = LatLonGrid(-3.03, 0.1, 61, 60.13, -0.1, 47), LatLonGrid(-180, 0.26, 1384, 90, -0.26, 692)
GLOBE = LatLonGrid(-180, 2.5, 144, 60, -2.5, 48), LatLonGrid(-180, 12, 30, 60, -13, 10)


def plain(channels: tuple[Channel, ...], fields: dict[str, np.ndarray]) -> np.ndarray:
    """(B, C, Y, X) from fields on land cells, in float32."""
    place, planes = layers(channels), []
    for c in channels:
        values = fields[c.name][:, place[c.name, c.offset]]
        if c.minus is not None:
            values = values - fields[c.name][:, place[c.name, c.minus]]
        if c.encoding == "one_hot":
            planes += [values == number for number in range(CLASSES)] + [values != OUTSIDE]
            continue
        if c.encoding == "index":
            planes.append(np.where(values >= 0, (values + 1) / CLASSES, 0))
            continue
        if c.encoding == "log1p":
            values = np.log1p(np.maximum(values, np.float32(0)))
        elif c.encoding == "cos":
            values = np.cos(np.deg2rad(values))
        planes.append((values - np.float32(c.mean)) * np.float32(1 / c.scale))
    return np.stack([plane.astype(np.float32) for plane in planes], 1)


def inputs_of(fine: LatLonGrid, coarse: LatLonGrid) -> TileInputs:
    """Random fields, a tenth of the cells missing."""
    rng, forcing = np.random.default_rng(3), forcing_lattice(fine, coarse)

    def values(shape: tuple[int, ...], scale: float) -> np.ndarray:
        return np.where(rng.random(shape) < 0.1, np.nan, rng.normal(scale, scale, shape)).astype(np.float32)

    scales = {"crop": 0.5, "wood": 1e4, "elevation": 500, "people": 1e3, "wind": 180, "aspect": 180, "lai": 3}
    land: dict[tuple[str, int], np.ndarray] = {}
    under: dict[tuple[str, int], np.ndarray] = {}
    for c in CHANNELS:
        if c.source == "cover":
            land[c.name, c.offset] = rng.integers(HIDDEN, CLASSES, fine.shape).astype(np.int8)
        elif c.source in ("forcing", "import"):
            under[c.name, c.offset] = values(forcing.shape, scales.get(c.name, 1))
        else:
            land[c.name, c.offset] = values(fine.shape, scales[c.name])

    def read(name: str, offset: int, tile: Tile) -> np.ndarray:
        array = land[name, offset]
        outside = OUTSIDE if array.dtype == np.int8 else np.nan
        return window_of(array, tile.window, periodic=fine.periodic, fill=outside)

    return TileInputs(fine, forcing, read, under)


def on_land(spec: PredictorSpec) -> PredictorSpec:
    """The same inputs, all on land cells."""
    return dataclasses.replace(spec, inputs=tuple(dataclasses.replace(f, grid="land") for f in spec.inputs))


CASES = {
    "inside": (REGION, Box(8, 40, 8, 48)),
    "beyond every edge": (REGION, Box(-16, 64, -16, 80)),
    "outside": (REGION, Box(-40, -8, 64, 104)),
    "across the date line": (GLOBE, Box(8, 40, 120, 168)),
    "west of the date line": (GLOBE, Box(8, 56, -24, 16)),
    "more than one turn": (GLOBE, Box(0, 48, -16, 160)),
}


@pytest.mark.parametrize("rows", [1, 7, 1000])
@pytest.mark.parametrize("case", CASES)
def test_forcing_cells_give_the_bits_of_land_cells(case: str, rows: int, monkeypatch: pytest.MonkeyPatch) -> None:
    (fine, coarse), window = CASES[case]
    monkeypatch.setattr(encoding, "_STRIP", rows * window.shape[1])  # rows that are encoded at a time
    spec = make_spec(CHANNELS, "hilda-v1.0-f", "P1Y", 1, align=8, halo=8)
    assert {f.name for f in spec.inputs if f.grid == "coarse"} == {"crop", "wood", "urban", "wind"}
    tiles, inputs = [Tile(0, window, window)], inputs_of(fine, coarse)
    batch = assemble(spec, tiles, inputs, (2000, 0))
    land = assemble(on_land(spec), tiles, inputs, (2000, 0))
    expected = plain(CHANNELS, dict(land.fields))
    assert np.isfinite(expected).all()
    for found in (encode(CHANNELS, CLASSES, batch.fields, batch.coarse), encode(CHANNELS, CLASSES, land.fields)):
        assert found.is_contiguous(memory_format=torch.channels_last)
        np.testing.assert_array_equal(found.numpy(), expected)
    memory = torch.full((1, *window.shape, expected.shape[1]), torch.nan, dtype=torch.bfloat16)
    rounded = encode(CHANNELS, CLASSES, batch.fields, batch.coarse, memory)
    assert rounded.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(rounded, torch.from_numpy(expected).to(torch.bfloat16))


def test_windows_of_a_batch_are_encoded_as_if_they_were_alone() -> None:
    spec = make_spec(CHANNELS, "hilda-v1.0-f", "P1Y", 1, align=8, halo=8)
    inputs = inputs_of(*REGION)
    windows = [Box(8, 24, 8, 24), Box(-8, 8, 1, 17), Box(3, 19, 48, 64)]
    tiles = [Tile(number, window, window) for number, window in enumerate(windows)]
    batch = assemble(spec, tiles, inputs, (2000, 0))
    together = encode(CHANNELS, CLASSES, batch.fields, batch.coarse)
    for number, tile in enumerate(tiles):
        one = assemble(spec, [tile], inputs, (2000, 0))
        assert torch.equal(together[number : number + 1], encode(CHANNELS, CLASSES, one.fields, one.coarse))


def test_encoding_leaves_the_fields_as_they_were() -> None:
    spec = make_spec(CHANNELS, "hilda-v1.0-f", "P1Y", 1, align=8, halo=8)
    window = Box(0, 16, 0, 16)
    batch = assemble(spec, [Tile(0, window, window)], inputs_of(*REGION), (2000, 0))
    fields = {name: values.copy() for name, values in batch.fields.items()}
    frozen = Batch(batch.tiles, batch.time, fields, coarse=batch.coarse)
    for values in fields.values():
        values.flags.writeable = False
    expected = encode(CHANNELS, CLASSES, batch.fields, batch.coarse)
    assert torch.equal(encode(CHANNELS, CLASSES, frozen.fields, frozen.coarse), expected)
    for name, values in fields.items():
        np.testing.assert_array_equal(values, batch.fields[name])
