"""From logits to a map: ``argmax``, ``sample`` or ``allocate``."""

from ai4land_coupler.allocation.map_maker import BlockResult, MapMaker

__all__ = ["BlockResult", "MapMaker"]
