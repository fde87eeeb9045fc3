"""Ranks, blocks of land, and how arrays travel between them."""

from ai4land_coupler.parallel.block_plan import Block, BlockPlan
from ai4land_coupler.parallel.communicator import Communicator
from ai4land_coupler.parallel.exchange import exchange_windows

__all__ = ["Block", "BlockPlan", "Communicator", "exchange_windows"]
