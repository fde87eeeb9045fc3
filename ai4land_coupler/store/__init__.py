"""What a run writes: the output store, restarts, the record of where results come from."""

from typing import Any

__all__ = ["open_store"]


def __getattr__(name: str) -> Any:
    """Import zarr when a store is opened, not before: a host that writes no store does without it."""
    if name == "open_store":
        from ai4land_coupler.store.output import open_store

        return open_store
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
