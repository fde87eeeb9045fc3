"""An adapter of a run: what the configuration names, and how messages and provenance do."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.api import DataAdapter
from ai4land_coupler.config.sections import Config, ForcingSection, PluginChoice
from ai4land_coupler.registry.loading import Plugins

#: How the names of data files end; other paths are told by their slashes.
_FILE_ENDINGS = {".nc", ".nc4", ".tif", ".tiff", ".zarr", ".h5"}


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter, and how messages and provenance name it.

    Parameters
    ----------
    files:
        Names of the files that its options give.
    cycle:
        First and last year of its data that stand for every year, again and again; ``None`` where each year stands
        for itself.
    """

    name: str
    adapter: DataAdapter
    files: tuple[str, ...] = ()
    cycle: tuple[int, int] | None = None

    def data_year(self, year: int) -> int:
        """The year whose data stand for a year."""
        if self.cycle is None:
            return year
        first, last = self.cycle
        return first + (year - first) % (last - first + 1)

    def input_files(self, years: Iterable[int] = ()) -> Mapping[str, Path]:
        """The files that it reads for these years: path or URL to where its bytes are; none where it does not tell."""
        return self.adapter.files(tuple(years))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.files)})" if self.files else self.name


def make_adapter(config: Config, plugins: Plugins, where: str, choice: PluginChoice) -> NamedAdapter:
    """The adapter that a part of the configuration names; ``quality.policy`` is the default of its own ``policy``."""
    options = dict(choice.options)
    if "policy" in plugins.find("adapter", choice.name, where).options.model_fields:
        options.setdefault("policy", config.quality.policy)
    made = plugins.create("adapter", choice.name, options, where, base=config.base)
    cycle = choice.cycle if isinstance(choice, ForcingSection) else None
    return NamedAdapter(choice.name, made, tuple(_file_names(choice.options)), cycle)


def texts_in(options: Any) -> Iterator[str]:
    """All texts among options, which may lie in lists and mappings."""
    if isinstance(options, str):
        yield options
    elif isinstance(options, Mapping | list | tuple):
        for value in options.values() if isinstance(options, Mapping) else options:
            yield from texts_in(value)


def _file_names(options: Any) -> Iterator[str]:
    """Names of the files among options."""
    for text in texts_in(options):
        if "/" in text or Path(text).suffix.lower() in _FILE_ENDINGS:
            yield Path(text).name
