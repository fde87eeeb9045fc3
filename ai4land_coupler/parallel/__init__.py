"""Ranks, blocks of land, and the exchange of arrays between them."""

from ai4land_coupler.parallel.block_plan import Block, BlockPlan
from ai4land_coupler.parallel.communicator import Communicator
from ai4land_coupler.parallel.exchange import WindowExchange, Windows, exchange_windows

__all__ = ["Block", "BlockPlan", "Communicator", "WindowExchange", "Windows", "exchange_windows"]
