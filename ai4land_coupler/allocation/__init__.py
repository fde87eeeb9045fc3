"""From logits to a map: ``argmax``, ``sample`` or ``allocate``."""

from ai4land_coupler.allocation.map_maker import AllocationOptions, BlockResult, MapMaker

__all__ = ["AllocationOptions", "BlockResult", "MapMaker"]
