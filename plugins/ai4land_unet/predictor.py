"""Predicts logits with a loaded U-Net, one window at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from ai4land_coupler.api import LOGITS, OUTSIDE, Batch, ConfigError, KeyedRng, Predictor, PredictorSpec
from ai4land_unet.card import Channel
from ai4land_unet.encoding import encode, one_hot, previous_map
from ai4land_unet.network import UNet, fold_batchnorm, to_dtype

Device = Literal["auto", "cpu", "cuda"]


def choose_device(name: Device) -> torch.device:
    """The device of a name. ``auto`` uses a GPU if one is available."""
    found = torch.cuda.is_available()
    if name == "cuda" and not found:
        raise ConfigError(
            "no GPU can be used", expected="a CUDA device", found="none", remedy="set `device: cpu` or `auto`"
        )
    return torch.device("cuda" if found and name != "cpu" else "cpu")


class UNetPredictor(Predictor):
    """Predicts land-cover logits with a trained U-Net.

    Each window is computed separately, so that its result does not depend on the other windows of the batch.
    """

    def __init__(
        self,
        network: UNet,
        channels: tuple[Channel, ...],
        spec: PredictorSpec,
        dtype: Literal["float32", "bfloat16"] = "float32",
        device: Device = "auto",
    ) -> None:
        self.spec = spec
        self._channels = channels
        self._classes = network.head.out_channels
        self._dtype = torch.bfloat16 if dtype == "bfloat16" else torch.float32
        self._device = choose_device(device)
        folded = to_dtype(fold_batchnorm(network), self._dtype)
        self._network = folded.to(self._device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def predict(self, batch: Batch, rng: KeyedRng) -> Mapping[str, Any]:
        """``land_cover_logits``, float32 (B, class, Y, X); zeros for windows without land."""
        previous = previous_map(self._channels, batch.fields)
        count, rows, cols = previous.shape
        logits = np.zeros((count, self._classes, rows, cols), np.float32)
        for item in range(count):
            if (previous[item] != OUTSIDE).any():
                fields = {name: values[item : item + 1] for name, values in batch.fields.items()}
                logits[item] = self._window(fields, previous[item : item + 1])
        return {LOGITS: logits}

    def _window(self, fields: Mapping[str, Any], previous: NDArray[np.int8]) -> NDArray[np.float32]:
        with torch.inference_mode():
            x = encode(self._channels, self._classes, fields).to(self._device, self._dtype)
            answer = self._network(x, one_hot(self._classes, previous).to(self._device))
            values: NDArray[np.float32] = answer[0].cpu().numpy()
        return values
