"""Cost of a U-Net's inputs and results beside its bare forward pass, on one window.

    python benchmarks/encode.py
    python benchmarks/encode.py --window 1024 --dtype bfloat16     # needs a CPU with bfloat16 instructions

The network is random. Each round measures all sides once, one after the other, in wall time and in processor time:

* ``forward``: the network alone, on an encoded window.
* ``assemble``: the batch of the window.
* ``encode``: the input of the network from the batch.
* ``predict``: encoding, network, logits of the core as numpy array.

The shares are (assemble + encode) / forward and (assemble + predict - forward) / forward: medians over rounds.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from runner import Report, arguments, at_most

from ai4land_coupler.core.fields import Tile
from ai4land_coupler.core.grid import Box, LatLonGrid, forcing_lattice
from ai4land_coupler.core.rng import KeyedRng
from ai4land_coupler.land.assemble import TileInputs, assemble
from ai4land_unet.bundle import make_spec
from ai4land_unet.card import Channel, in_channels
from ai4land_unet.encoding import encode, one_hot
from ai4land_unet.network import UNet
from ai4land_unet.predictor import UNetPredictor

CLASSES, HALO = 7, 96
#: As in the published network: the map, 14 variables at two times, 6 static fields.
CHANNELS = (
    Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="index"),
    *(
        Channel(name=f"luh{i}", units="1", source="forcing", offset=t, encoding="none")
        for i in range(14)
        for t in (-1, 0)
    ),
    *(
        Channel(name=f"static{i}", units="1", source="static", offset=0, encoding=coding, mean=0.3, scale=1.7)
        for i, coding in enumerate(("standard", "standard", "standard", "standard", "log1p", "cos"))
    ),
)


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument("--window", type=int, default=512, help="cells along a side, a multiple of 16")
    parser.add_argument("--width", type=int, default=35)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    torch.manual_seed(0)

    spec = make_spec(CHANNELS, "hilda-v1.0-f", "P1Y", 1, align=2**given.depth, halo=HALO)
    network = UNet(in_channels(CHANNELS, CLASSES), given.width, given.depth, CLASSES).eval()
    predictor = UNetPredictor(network, CHANNELS, spec, given.dtype, "cpu")
    inputs, tile = random_inputs(given.window)
    dtype = torch.bfloat16 if given.dtype == "bfloat16" else torch.float32
    memory = torch.empty((1, *tile.window.shape, in_channels(CHANNELS, CLASSES)), dtype=dtype)
    batch = assemble(spec, [tile], inputs, (2000, 0))
    x = encode(CHANNELS, CLASSES, batch.fields, batch.coarse, memory.clone())
    previous = one_hot(CLASSES, torch.from_numpy(batch.fields["land_cover"][:, 0]))
    sides: dict[str, Callable[[], Any]] = {
        "forward": lambda: predictor._network(x, previous),
        "assemble": lambda: assemble(spec, [tile], inputs, (2000, 0)),
        "encode": lambda: encode(CHANNELS, CLASSES, batch.fields, batch.coarse, memory),
        "predict": lambda: predictor.predict(batch, KeyedRng(0)),
    }
    report = Report("encode.py", given, given.threads)
    report.note(f"window {given.window} x {given.window}, width {given.width}, depth {given.depth}, {given.dtype}")
    rounds: list[dict[str, tuple[float, float]]] = []
    with torch.inference_mode():
        for _ in range(given.rounds + 1):
            rounds.append({name: measured(side) for name, side in sides.items()})
    rounds = rounds[1:]  # the first one makes the kernels
    for name in sides:
        report.values(name, [r[name][0] for r in rounds], "s")
    for i, clock in enumerate(("wall time", "processor time")):
        inside = [(r["assemble"][i] + r["encode"][i]) / r["forward"][i] for r in rounds]
        report.values(f"assemble and encode / forward, {clock}", inside, goal=None if i else at_most(0.08))
        around = [(r["assemble"][i] + r["predict"][i]) / r["forward"][i] - 1 for r in rounds]
        report.values(f"all but the forward pass / forward, {clock}", around, goal=None if i else at_most(0.08))
    report.end()


def random_inputs(window: int) -> tuple[TileInputs, Tile]:
    """Fields of a region at 0.01 degrees with forcing at 0.25 degrees, and a tile in it."""
    rng = np.random.default_rng(0)
    side = window + 100
    fine = LatLonGrid(-5.003, 0.01, side, 50.002, -0.01, side)
    forcing = forcing_lattice(fine, LatLonGrid(-180, 0.25, 1440, 90, -0.25, 720))
    cover = rng.integers(-1, CLASSES, fine.shape).astype(np.int8)
    static = {c.name: np.where(cover < 0, np.nan, rng.random(fine.shape)) for c in CHANNELS if c.source == "static"}
    land = {"land_cover": cover} | {name: values.astype(np.float32) for name, values in static.items()}
    coarse = {
        (c.name, c.offset): rng.random(forcing.shape).astype(np.float32) for c in CHANNELS if c.source == "forcing"
    }
    box = Box(50, 50 + window, 50, 50 + window)
    margin = min(HALO, window // 4)
    core = Box(box.row0 + margin, box.row1 - margin, box.col0 + margin, box.col1 - margin)
    inputs = TileInputs(fine, forcing, lambda name, _, tile: land[name][tile.window.slices()].copy(), coarse)
    return inputs, Tile(0, core, box)


def measured(call: Callable[[], Any]) -> tuple[float, float]:
    """Wall time and processor time of a call, in seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - wall, time.process_time() - cpu


if __name__ == "__main__":
    main()
