"""The U-Net: its size, cells that a result depends on, and bundles that are refused."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from ai4land_coupler.api import (
    CARD,
    Batch,
    Box,
    ConfigError,
    DataError,
    KeyedRng,
    LatLonGrid,
    Tile,
    get_legend,
    sha256,
)
from ai4land_coupler.core.grid import forcing_lattice
from ai4land_coupler.land.assemble import TileInputs, window_of
from ai4land_coupler.land.tiling import predict_tiles
from ai4land_coupler.parallel.block_plan import BlockPlan
from ai4land_coupler.registry.loading import load_plugins
from ai4land_unet.bundle import WEIGHTS, make_spec, read_bundle, save_bundle, spec_of
from ai4land_unet.card import Architecture, Card, Channel, Training, in_channels
from ai4land_unet.encoding import HIDDEN, encode
from ai4land_unet.losses import weighted_entropy
from ai4land_unet.network import UNet, fold_batchnorm
from ai4land_unet.optimise import running_mean
from ai4land_unet.predictor import UNetPredictor
from ai4land_unet.weights import load_network, serialise
from ai4land_unet.window import alignment, bytes_per_cell, halo, reach

LEGEND = "hilda-v1.0-f"
CLASSES = 7
CHANNELS = (
    Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="one_hot"),
    Channel(name="crop", units="1", source="forcing", offset=-1, encoding="none"),
    Channel(name="elevation", units="m", source="static", offset=0, encoding="standard", mean=300.0, scale=200.0),
    Channel(name="crop", units="1", source="forcing", offset=0, encoding="none"),
)
RNG = KeyedRng(0)


def random_network(width: int = 4, depth: int = 2, seed: int = 0) -> UNet:
    """A network with activations of about one, and BatchNorm with statistics."""
    torch.manual_seed(seed)
    network = UNet(in_channels(CHANNELS, CLASSES), width, depth, CLASSES)
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d | torch.nn.ConvTranspose2d):
            torch.nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2.0)
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return network.eval()


def predictor(network: UNet, margin: int | None = None, **options: Any) -> UNetPredictor:
    spec = make_spec(
        options.pop("channels", CHANNELS),
        LEGEND,
        "P1Y",
        1,
        align=alignment(network.depth),
        halo=halo(network.depth) if margin is None else margin,
    )
    return UNetPredictor(network, options.pop("order", CHANNELS), spec, device="cpu", **options)


class Domain:
    """Random land on a grid whose forcing cells contain a non-integer number of fine cells."""

    def __init__(self, fine: LatLonGrid, coarse: LatLonGrid, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.fine, self.forcing = fine, forcing_lattice(fine, coarse)
        self.maps: dict[str, np.ndarray] = {
            "land_cover": rng.integers(-1, CLASSES, fine.shape).astype(np.int8),
            "elevation": rng.normal(300, 200, fine.shape).astype(np.float32),
        }
        self.crop = {("crop", t): rng.random(self.forcing.shape).astype(np.float32) for t in (-1, 0)}

    @property
    def inputs(self) -> TileInputs:
        def land(name: str, offset: int, tile: Tile) -> np.ndarray:
            array = self.maps[name]
            outside = -1 if array.dtype == np.int8 else np.nan
            return window_of(array, tile.window, periodic=self.fine.periodic, fill=outside)

        return TileInputs(self.fine, self.forcing, land, self.crop)

    def tiled(self, predictor: UNetPredictor, block: int) -> np.ndarray:
        plan = BlockPlan(self.fine, self.forcing, block)
        tiles = [plan.tile(b, predictor.spec.halo, predictor.spec.align) for b in plan.blocks]
        out = np.full((CLASSES, *self.fine.shape), np.nan, np.float32)
        for tile, answer in predict_tiles("unet", predictor, tiles, self.inputs, (2000, 0), RNG):
            rows, cols = tile.core.slices()
            out[:, rows, cols] = answer["land_cover_logits"]
        return out

    def one_pass(self, predictor: UNetPredictor, window: Box) -> np.ndarray:
        """Predict the whole domain at once (with wrapped columns if the window has them)."""
        core = self.fine.box
        ((_, answer),) = predict_tiles("unet", predictor, [Tile(0, core, window)], self.inputs, (2000, 0), RNG)
        return answer["land_cover_logits"]


# 60.13 to 59.17 N in steps of 0.01, forcing cells of 0.13: 13 rows, but never on multiples of 4
REGIONAL = Domain(LatLonGrid(-3.03, 0.01, 118, 60.13, -0.01, 97), LatLonGrid(-180, 0.13, 2769, 90, -0.13, 1384))


# --- size and reach


def test_published_network_has_the_parameters_that_its_formula_gives() -> None:
    # 14 LUH2 variables at two times, 6 static fields, one channel for the previous map
    channels = (
        Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="index"),
        *(
            Channel(name=f"luh{i}", units="1", source="forcing", offset=t, encoding="none")
            for i in range(14)
            for t in (-1, 0)
        ),
        *(Channel(name=f"static{i}", units="1", source="static", offset=0, encoding="standard") for i in range(6)),
    )
    assert in_channels(channels, CLASSES) == 35
    network = UNet(35, 35, 4, CLASSES)

    def block(i: int, o: int) -> int:  # two 3x3 convolutions without bias, two BatchNorms of 2 per channel
        return 9 * i * o + 9 * o * o + 4 * o

    # widths 35, 70, 140, 280, 560
    down = block(35, 35) + block(35, 70) + block(70, 140) + block(140, 280) + block(280, 560)
    up = sum(4 * 2 * w * w + w for w in (35, 70, 140, 280))  # 2x2 transposed convolutions with bias
    merge = block(70, 35) + block(140, 70) + block(280, 140) + block(560, 280)
    head, prior = 35 * 7 + 7, 1
    assert sum(p.numel() for p in network.parameters()) == down + up + merge + head + prior == 9_296_393


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_reach_is_the_distance_of_an_impulse(depth: int) -> None:
    network = UNet(1, 1, depth, 2).eval()
    for name, parameter in network.named_parameters():
        parameter.data.fill_(0.0 if name.endswith("bias") else 1.0)  # nothing cancels, nothing is cut off
    align = alignment(depth)
    size, middle = 24 * align, 12 * align
    x = torch.zeros(size, 1, align, size)
    x[torch.arange(size), 0, 0, torch.arange(size)] = 1.0
    with torch.inference_mode():
        arrived = network(x, torch.zeros(size, 2, align, size)).sum((1, 2)) > 0  # (impulse, output)
    for cell in range(middle, middle + align):
        sources = arrived[:, cell].nonzero()[:, 0]
        assert reach(cell, depth) == (int(sources[0]), int(sources[-1]))


def test_halo_of_the_published_depth() -> None:
    assert (alignment(4), halo(4)) == (16, 96)


@pytest.mark.parametrize(
    # Largest growth of the resident memory in one prediction of 768 x 768 cells (512 x 512 for width 64), 2 threads.
    ("in_channels", "width", "measured"),
    [(35, 35, 771), (35, 16, 465), (68, 16, 700), (11, 64, 1403)],
)
def test_memory_of_a_cell_as_measured(in_channels: int, width: int, measured: float) -> None:
    assert bytes_per_cell(in_channels, width, 4) == pytest.approx(measured, rel=0.2)
    assert bytes_per_cell(in_channels, width, 2) == bytes_per_cell(in_channels, width, 4) / 2


def test_folding_batchnorm_keeps_results() -> None:
    network = random_network()
    folded = fold_batchnorm(network)
    x, previous = torch.randn(2, 11, 16, 24), torch.randn(2, CLASSES, 16, 24)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in folded.modules())
    with torch.inference_mode():
        torch.testing.assert_close(folded(x, previous), network(x, previous), rtol=1e-5, atol=1e-5)


def two_heads(changed: float = 0.25) -> UNet:
    """A network whose heads are random, for a share ``changed`` of change before training."""
    torch.manual_seed(1)
    network = UNet(in_channels(CHANNELS, CLASSES), 4, 2, CLASSES, two_heads=True).eval()
    network.start_from_persistence(changed)
    return network


def test_two_heads_by_hand() -> None:
    network = two_heads()
    assert network.head.out_channels == CLASSES + 1
    network.head.weight.data.normal_(0, 0.5)
    x, cover = torch.randn(1, 11, 8, 8), torch.randint(-1, CLASSES, (8, 8))
    previous = torch.stack([cover == k for k in range(CLASSES)])[None]
    values: list[torch.Tensor] = []
    network.head.register_forward_hook(lambda module, inputs, output: values.append(output))
    with torch.no_grad():
        network.train()  # logits of all rows at once
        probability = torch.softmax(network(x, previous), 1)[0].double()
    target, change = values[0][0, :CLASSES].double(), values[0][0, CLASSES].double()
    for row in range(8):
        for col in range(8):
            k, likely = int(cover[row, col]), target[:, row, col].exp()
            if k < 0:
                expected = likely / likely.sum()
            else:
                changes = 1 / (1 + torch.exp(network.prior.double() - change[row, col]))
                likely[k] = 0
                expected = changes * likely / likely.sum()
                expected[k] = 1 - changes
            torch.testing.assert_close(probability[:, row, col], expected, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("network", [two_heads(0.25), random_network()], ids=["two", "one"])
def test_a_new_network_expects_the_given_change(network: UNet) -> None:
    network.start_from_persistence(0.25)
    previous = torch.zeros(1, CLASSES, 8, 8, dtype=torch.bool)
    previous[:, 3] = True
    with torch.no_grad():
        probability = torch.softmax(network(torch.randn(1, 11, 8, 8), previous), 1)
    torch.testing.assert_close(1 - probability[:, 3], torch.full((1, 8, 8), 0.25))


# --- tiles and one pass


@pytest.mark.parametrize("heads", ["one", "two"])
def test_a_bundle_keeps_its_heads(bundle: Path, heads: str, tmp_path: Path) -> None:
    card = read_bundle(bundle).card
    network = two_heads() if heads == "two" else random_network()
    network.head.weight.data.normal_()
    shape = card.architecture.model_copy(update={"heads": heads})
    weights = serialise(network)
    new = card.model_copy(update={"architecture": shape, "weights_sha256": sha256(weights)})
    save_bundle(tmp_path / "bundle", new, weights)
    loaded = load_network(read_bundle(tmp_path / "bundle"))
    x, previous = torch.randn(1, 11, 16, 16), torch.zeros(1, CLASSES, 16, 16, dtype=torch.bool)
    previous[:, 0] = True
    with torch.inference_mode():
        torch.testing.assert_close(loaded(x, previous), network.eval()(x, previous), rtol=0, atol=0)


@pytest.mark.parametrize(("depth", "symmetries"), [(1, 1), (2, 1), (2, 8), (3, 1)])
def test_tiles_equal_one_pass(depth: int, symmetries: int) -> None:
    network = predictor(random_network(depth=depth), symmetries=symmetries)
    rows, cols = {1: (98, 118), 2: (100, 120), 3: (104, 120)}[depth]  # the domain rounded up to the alignment
    whole = REGIONAL.one_pass(network, Box(0, rows, 0, cols))
    tiled = REGIONAL.tiled(network, block=2)
    assert np.abs(whole).mean() > 0.1
    np.testing.assert_allclose(tiled, whole, rtol=0, atol=1e-5 * np.abs(whole).max())


def test_too_small_halo_changes_results() -> None:
    network = predictor(random_network(), margin=8)
    whole = REGIONAL.one_pass(network, Box(0, 100, 0, 120))
    assert np.abs(REGIONAL.tiled(network, block=2) - whole).max() > 1e-2 * np.abs(whole).max()


def test_tiles_wrap_around_the_globe_as_one_pass_over_wrapped_columns() -> None:
    world = Domain(LatLonGrid(-180, 2.5, 144, 30, -2.5, 24), LatLonGrid(-180, 12, 30, 30, -13, 5))
    assert world.fine.periodic
    network = predictor(random_network())
    margin = network.spec.halo
    whole = world.one_pass(network, Box(0, 24, -margin, 144 + margin))
    np.testing.assert_allclose(world.tiled(network, 2), whole, rtol=0, atol=1e-5 * np.abs(whole).max())
    flat = Domain(LatLonGrid(-180, 2.4, 144, 30, -2.5, 24), LatLonGrid(-180, 12, 30, 30, -13, 5)).tiled(network, 2)
    assert np.abs(flat[:, :, 0] - whole[:, :, 0]).max() > 1e-2


@pytest.mark.parametrize(("symmetries", "mirror"), [(4, False), (8, False), (8, True)])
def test_the_mean_of_all_views_turns_with_the_window(symmetries: int, mirror: bool) -> None:
    network = predictor(random_network(), symmetries=symmetries)
    rng = np.random.default_rng(2)
    fields = {
        "land_cover": rng.integers(-1, CLASSES, (1, 1, 32, 32)).astype(np.int8),
        "crop": rng.random((1, 2, 32, 32)).astype(np.float32),
        "elevation": rng.normal(300, 200, (1, 1, 32, 32)).astype(np.float32),
    }

    def turned(values: np.ndarray) -> np.ndarray:
        rotated = np.rot90(values, axes=(-2, -1))
        return np.ascontiguousarray(rotated[..., ::-1] if mirror else rotated)

    plain = network.predict(Batch((), (2000, 0), fields), RNG)["land_cover_logits"]
    other = network.predict(Batch((), (2000, 0), {k: turned(v) for k, v in fields.items()}), RNG)["land_cover_logits"]
    np.testing.assert_allclose(other, turned(plain), rtol=0, atol=1e-5 * np.abs(plain).max())
    one = predictor(random_network()).predict(Batch((), (2000, 0), fields), RNG)["land_cover_logits"]
    assert np.abs(one - plain).max() > 1e-2 * np.abs(plain).max()


def test_results_do_not_depend_on_other_windows_in_a_batch() -> None:
    network = predictor(random_network())
    rng = np.random.default_rng(1)
    fields = {
        "land_cover": rng.integers(-1, CLASSES, (3, 1, 32, 32)).astype(np.int8),
        "crop": rng.random((3, 2, 32, 32)).astype(np.float32),
        "elevation": rng.random((3, 1, 32, 32)).astype(np.float32),
    }
    together = network.predict(Batch((), (2000, 0), fields), RNG)["land_cover_logits"]
    alone = network.predict(Batch((), (2000, 0), {k: v[1:2] for k, v in fields.items()}), RNG)["land_cover_logits"]
    np.testing.assert_array_equal(together[1:2], alone)


def test_a_window_without_land_is_zero_and_one_with_land_is_not() -> None:
    network = predictor(random_network())
    fields = {
        "land_cover": np.full((2, 1, 16, 16), -1, np.int8),
        "crop": np.ones((2, 2, 16, 16), np.float32),
        "elevation": np.ones((2, 1, 16, 16), np.float32),
    }
    fields["land_cover"][1, 0, 3, 4] = 2
    logits = network.predict(Batch((), (2000, 0), fields), RNG)["land_cover_logits"]
    assert not logits[0].any()
    assert logits[1].any()


def test_bfloat16_layers_give_fine_ranking() -> None:
    network = random_network()
    exact = REGIONAL.one_pass(predictor(network), Box(0, 100, 0, 120))
    fast = REGIONAL.one_pass(predictor(network, dtype="bfloat16"), Box(0, 100, 0, 120))
    assert fast.dtype == np.float32
    assert np.unique(fast[0]).size > 0.9 * fast[0].size  # bfloat16 logits would have only a few hundred values
    assert 0 < np.abs(fast - exact).mean() < 0.05 * np.abs(exact).mean()


def test_advice_where_bfloat16_has_no_instructions(monkeypatch: pytest.MonkeyPatch) -> None:
    for supported in (False, True):
        monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda supported=supported: supported)
        assert predictor(random_network()).advice == ()
        advice = predictor(random_network(), dtype="bfloat16").advice
        assert [("set `dtype: float32`" in text) for text in advice] == [True] * (not supported)


def test_predicting_does_not_change_threads_of_the_host() -> None:
    threads = torch.get_num_threads()
    REGIONAL.tiled(predictor(random_network()), block=4)
    assert torch.get_num_threads() == threads


# --- encoding and loss, by hand


def test_encoding_by_hand() -> None:
    channels = (
        Channel(name="population", units="1", source="static", offset=0, encoding="log1p", mean=1.0, scale=2.0),
        Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="one_hot"),
        Channel(name="aspect", units="degree", source="static", offset=0, encoding="cos"),
        Channel(name="crop", units="1", source="forcing", offset=0, encoding="standard", mean=0.5, scale=0.25),
        Channel(name="crop", units="1", source="forcing", offset=-1, encoding="none"),
    )
    cover = np.array([[0, 2], [-1, HIDDEN]], np.int8)
    fields = {
        "population": np.array([[0.0, np.e - 1], [np.e**3 - 1, 0.0]], np.float32)[None, None],
        "land_cover": cover[None, None],
        "aspect": np.array([[0.0, 90.0], [180.0, 360.0]], np.float32)[None, None],
        # The channels have offset 0 first, so the batch has too.
        "crop": np.stack([np.full((2, 2), 0.75, np.float32), np.full((2, 2), 0.125, np.float32)])[None],
    }
    x = encode(channels, 3, fields).numpy()[0]
    assert x.shape == (8, 2, 2)
    np.testing.assert_allclose(x[0], [[-0.5, 0.0], [1.0, -0.5]], atol=1e-6)
    np.testing.assert_array_equal(x[1], [[1, 0], [0, 0]])
    np.testing.assert_array_equal(x[2], [[0, 0], [0, 0]])
    np.testing.assert_array_equal(x[3], [[0, 1], [0, 0]])
    np.testing.assert_array_equal(x[4], [[1, 1], [0, 1]])  # land, also if its class is hidden
    np.testing.assert_allclose(x[5], [[1, 0], [-1, 1]], atol=1e-6)
    np.testing.assert_array_equal(x[6], np.ones((2, 2)))
    np.testing.assert_array_equal(x[7], np.full((2, 2), 0.125))
    change = Channel(name="crop", units="1", source="forcing", offset=0, encoding="standard", scale=0.0625, minus=-1)
    np.testing.assert_array_equal(encode((change, channels[4]), 3, fields).numpy()[0, 0], np.full((2, 2), 10.0))
    index = (Channel(name="land_cover", units="1", source="cover", offset=-1, encoding="index"),)
    np.testing.assert_allclose(encode(index, 3, fields).numpy()[0, 0], [[1 / 3, 1], [0, 0]])


def mean_entropy(*given: Any) -> float:
    total, weight = weighted_entropy(*given)
    return (total / weight).item()


def test_running_mean_of_weights_by_hand() -> None:
    mean = None
    for step, value in enumerate([1.0, 2.0, 6.0, 4.0], start=1):
        state = {"weight": torch.tensor([value, -value]), "steps": torch.tensor(step)}
        mean = running_mean(mean, state, max(0.5, 1 / step))
    # 1; the mean of 1 and 2; then each step counts by a half: (1.5 + 6) / 2 = 3.75, (3.75 + 4) / 2
    assert mean is not None
    torch.testing.assert_close(mean["weight"], torch.tensor([3.875, -3.875]))
    assert mean["steps"] == 4


def test_loss_by_hand() -> None:
    logits = torch.log(torch.tensor([[[[0.8, 0.3, 0.5]], [[0.2, 0.7, 0.5]]]]))
    target, previous = torch.tensor([[[0, 1, -1]]]), torch.tensor([[[0, 0, 0]]])
    stays, changes = -np.log(0.8), -np.log(0.7)
    assert mean_entropy(logits, target, previous) == pytest.approx((stays + changes) / 2)
    assert mean_entropy(logits, target, previous, 3.0) == pytest.approx((stays + 3 * changes) / 4)
    hidden = torch.tensor([[[0, -2, 0]]])
    assert mean_entropy(logits, target, hidden, 3.0) == pytest.approx((stays + changes) / 2)
    assert [value.item() for value in weighted_entropy(logits, torch.full_like(target, -1), previous)] == [0, 0]


# --- bundles


def make_card(network: UNet, channels: tuple[Channel, ...] = CHANNELS, **changes: Any) -> Card:
    legend = get_legend(LEGEND)
    content: dict[str, Any] = {
        "name": "test",
        "description": "random weights",
        "licence": "Apache-2.0",
        "legend": LEGEND,
        "classes": {item.name: item.codes for item in legend.view},
        "step": "P3Y",
        "direction": "backward",
        "align": alignment(network.depth),
        "halo": halo(network.depth),
        "channels": channels,
        "architecture": Architecture(in_channels=11, width=4, depth=network.depth, classes=CLASSES),
        "weights_sha256": sha256(serialise(network)),
        "gross_rates": {"urban": 0.01},
        "metrics": {},
        "training": Training(record={}, options={}, steps=0, windows=0, seconds=0, torch="0", device="cpu", threads=1),
    }
    return Card(**(content | changes))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    network = random_network()
    folder = tmp_path / "bundle"
    save_bundle(folder, make_card(network), serialise(network))
    return folder


def test_bundle_round_trip(bundle: Path) -> None:
    loaded = read_bundle(bundle, LEGEND)
    assert loaded.card == make_card(random_network())
    spec = spec_of(loaded.card)
    assert (spec.step, spec.direction, spec.align, spec.halo, spec.legend) == ("P3Y", -1, 4, 24, LEGEND)
    assert [(f.name, f.offsets) for f in spec.inputs] == [("land_cover", (-1,)), ("crop", (-1, 0)), ("elevation", (0,))]
    window = Box(0, 100, 0, 120)
    expected = REGIONAL.one_pass(predictor(random_network()), window)
    np.testing.assert_array_equal(REGIONAL.one_pass(predictor(load_network(loaded)), window), expected)


def test_plugin_loads_bundles_next_to_the_configuration(bundle: Path) -> None:
    made = load_plugins().create(
        "predictor", "unet", {"bundle": "bundle", "legend": LEGEND, "device": "cpu"}, "run.yaml", base=bundle.parent
    )
    assert made.spec == spec_of(read_bundle(bundle).card)
    assert made.gross.rates() == {"urban": 0.01}


def test_channels_have_the_order_of_the_card(bundle: Path) -> None:
    network = random_network()
    order = (CHANNELS[2], CHANNELS[3], CHANNELS[0], CHANNELS[1])
    assert in_channels(order, CLASSES) == 11
    moved = copy.deepcopy(network)
    # elevation and crop(0) first, then the eight of land cover, then crop(-1)
    index = [9, 10, *range(8), 8]
    moved.down[0][0].weight.data = network.down[0][0].weight.data[:, index]
    window = Box(0, 100, 0, 120)
    expected = REGIONAL.one_pass(predictor(network), window)
    same = REGIONAL.one_pass(predictor(moved, channels=order, order=order), window)
    np.testing.assert_allclose(same, expected, rtol=0, atol=1e-5 * np.abs(expected).max())
    other = REGIONAL.one_pass(predictor(network, channels=order, order=order), window)
    assert np.abs(other - expected).max() > 1e-2


Change = Callable[[Path], None]


def edit(change: Callable[[dict[str, Any]], None]) -> Change:
    def apply(folder: Path) -> None:
        content = json.loads((folder / CARD).read_text())
        change(content)
        (folder / CARD).write_text(json.dumps(content))

    return apply


def replace_weights(change: Callable[[dict[str, torch.Tensor]], object]) -> Change:
    """Replace the weights and their hash."""

    def apply(folder: Path) -> None:
        tensors = safetensors.torch.load_file(folder / WEIGHTS)
        change(tensors)
        content = safetensors.torch.save(tensors)
        (folder / WEIGHTS).write_bytes(content)
        edit(lambda card: card.update(weights_sha256=sha256(content)))(folder)

    return apply


def truncate(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes((folder / WEIGHTS).read_bytes()[:-100])


def flip_a_bit(folder: Path) -> None:
    content = bytearray((folder / WEIGHTS).read_bytes())
    content[-7] ^= 1
    (folder / WEIGHTS).write_bytes(content)


def not_tensors(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"pickle")
    edit(lambda card: card.update(weights_sha256=sha256(b"pickle")))(folder)


def cut(tensors: dict[str, torch.Tensor]) -> None:
    tensors["head.weight"] = tensors["head.weight"][:-1].clone()


REFUSED: Mapping[str, tuple[Change, tuple[str, ...]]] = {
    "truncated": (truncate, ("truncated or were altered", "expected: sha256", "copy the bundle again")),
    "altered": (flip_a_bit, ("truncated or were altered", WEIGHTS)),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), ("cannot be read", WEIGHTS)),
    "not safetensors": (not_tensors, ("not safetensors",)),
    "missing tensor": (replace_weights(lambda t: t.pop("head.bias")), ("'head.bias'", "found: missing")),
    "other shape": (replace_weights(cut), ("'head.weight'", "expected: (7, 4, 1, 1)", "found: (6, 4, 1, 1)")),
    "newer format": (
        edit(lambda card: card.update(format="ai4land-unet/2")),
        ("cannot read", "expected: ai4land-unet/1", "found: ai4land-unet/2"),
    ),
    "unknown key": (edit(lambda card: card.update(colour="red")), ("malformed", "colour")),
    "malformed": (lambda folder: (folder / CARD).write_text("{"), ("not valid JSON", CARD)),
    "halo too small": (edit(lambda card: card.update(halo=8)), ("halo", "expected: 24", "found: 8")),
    "channel lost": (edit(lambda card: card["channels"].pop()), ("in_channels", "expected: 10", "found: 11")),
    "change of nothing": (
        edit(lambda card: card["channels"][3].update(minus=-2)),
        ("crop at offset -2, which a channel subtracts",),
    ),
    "other codes": (
        edit(lambda card: card["classes"].update(forest=[44])),
        ("another edition of legend", "train the bundle again"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bundles_that_do_not_fit_are_refused(bundle: Path, case: str) -> None:
    change, words = REFUSED[case]
    change(bundle)
    with pytest.raises(DataError) as error:
        load_network(read_bundle(bundle))
    for word in words:
        assert word in str(error.value)


def test_legend_mismatch_is_refused(bundle: Path) -> None:
    # both legends have the same seven classes, but 44 is all forest in one and broad-leaf forest in the other
    assert get_legend("hilda-v1.0").classes == get_legend(LEGEND).classes
    with pytest.raises(ConfigError, match=r"has another legend") as error:
        read_bundle(bundle, "hilda-v1.0")
    assert "expected: hilda-v1.0\n" in str(error.value)
    assert f"found: {LEGEND}" in str(error.value)


def test_missing_bundle_is_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no bundle of weights") as error:
        load_plugins().create("predictor", "unet", {"bundle": "elsewhere/none"}, "run.yaml", base=tmp_path)
    assert str(tmp_path / "elsewhere" / "none") in str(error.value)


def test_interrupted_write_keeps_the_old_bundle(bundle: Path, tmp_path: Path) -> None:
    before = read_bundle(bundle)
    for folder in (bundle, tmp_path / "new"):
        with pytest.raises(TypeError):
            save_bundle(folder, before.card, None)  # type: ignore[arg-type]
    assert read_bundle(bundle) == before
    assert sorted(path.name for path in bundle.iterdir()) == [CARD, WEIGHTS]
    assert not list((tmp_path / "new").iterdir())
