"""The predictor ``unet`` of a configuration. Loads the network only on ranks that run it; until then needs no torch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ai4land_coupler.api import Batch, KeyedRng, Predictor
from ai4land_unet.bundle import find_bundle, read_bundle, spec_of
from ai4land_unet.window import bytes_per_cell

if TYPE_CHECKING:
    from ai4land_unet.options import UNetOptions
    from ai4land_unet.predictor import UNetPredictor


class ObservedRates:
    """Rates of gross change in the training maps."""

    def __init__(self, rates: Mapping[str, float]) -> None:
        self._rates = dict(rates)

    def rates(self) -> Mapping[str, float]:
        """Share of the land of each class of the view that leaves the class in one step."""
        return self._rates


class BundledUNet(Predictor):
    """Specification, rates of change and identity of a bundle. Loads its network at the first prediction.

    See :func:`ai4land_unet.bundle.read_bundle` for the errors.
    """

    def __init__(self, options: UNetOptions) -> None:
        self._options = options
        self._bundle = read_bundle(find_bundle(options.bundle), options.legend)
        card = self._bundle.card
        self.spec = spec_of(card)
        self.gross = ObservedRates(card.gross_rates)
        self.identity = f"{card.weights_sha256[:16]}:{options.dtype}"
        if options.symmetries > 1:
            self.identity += f":{options.symmetries}"
        shape = card.architecture
        value = 2 if options.dtype == "bfloat16" else 4
        self.bytes_per_cell = bytes_per_cell(shape.in_channels, shape.width, value)
        if options.symmetries > 1:  # a turned copy of the input, and logits of the whole window and their sum
            self.bytes_per_cell += value * shape.in_channels + 8 * shape.classes
        self._predictor: UNetPredictor | None = None

    def load(self) -> None:
        """Import torch, and load the network to its device."""
        self._loaded()

    def _loaded(self) -> UNetPredictor:
        if self._predictor is None:
            from ai4land_unet.predictor import UNetPredictor
            from ai4land_unet.weights import load_network

            network, card = load_network(self._bundle), self._bundle.card
            self._predictor = UNetPredictor(
                network,
                card.channels,
                self.spec,
                self._options.dtype,
                self._options.device,
                self._options.symmetries,
            )
            self.advice = self._predictor.advice
        return self._predictor

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X)."""
        return self._loaded().predict(batch, rng)
