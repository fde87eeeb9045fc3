"""Writes the tensors of a network to a bundle and reads them. Loading executes no code.

Format: https://huggingface.co/docs/safetensors. Tensors have the names of the network's state.
"""

from __future__ import annotations

import safetensors.torch
from safetensors import SafetensorError

from ai4land_coupler.api import DataError
from ai4land_unet.bundle import WEIGHTS, Bundle
from ai4land_unet.network import UNet


def serialise(network: UNet) -> bytes:
    """The network's state in safetensors format. Equal states give equal bytes."""
    return safetensors.torch.save({k: v.detach().cpu().contiguous() for k, v in network.state_dict().items()})


def load_network(bundle: Bundle) -> UNet:
    """The network of a bundle, in evaluation mode.

    Raises
    ------
    DataError
        If the weights are not in safetensors format, or do not fit the network on the card.
    """
    shape, path = bundle.card.architecture, bundle.folder / WEIGHTS
    network = UNet(shape.in_channels, shape.width, shape.depth, shape.classes, two_heads=shape.heads == "two")
    try:
        tensors = safetensors.torch.load(bundle.weights)
    except SafetensorError as error:
        raise DataError("the weights of a bundle are not safetensors", found=error, where=path) from None
    expected = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in tensors.items()}
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise DataError(
                f"the weights of a bundle do not fit its card: tensor {name!r}",
                expected=expected.get(name, "no such tensor"),
                found=found.get(name, "missing"),
                where=path,
            )
    network.load_state_dict(tensors)
    return network.eval()
