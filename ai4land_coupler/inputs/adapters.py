"""The adapters of a run, with their names in messages and in the provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.api import DataAdapter
from ai4land_coupler.config.sections import Config, ForcingSection, PluginChoice
from ai4land_coupler.registry.loading import Plugins

#: Endings of data files. Other texts are taken for paths if they contain a slash.
_FILE_ENDINGS = {".nc", ".nc4", ".tif", ".tiff", ".zarr", ".h5"}


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter, with its name in messages and in the provenance.

    Parameters
    ----------
    files:
        Names of the files in its options.
    cycle:
        First and last year of the data that repeat for ever; ``None`` if the data do not repeat.
    """

    name: str
    adapter: DataAdapter
    files: tuple[str, ...] = ()
    cycle: tuple[int, int] | None = None

    def data_year(self, year: int) -> int:
        """The year of the data that are used for a year of the run."""
        if self.cycle is None:
            return year
        first, last = self.cycle
        return first + (year - first) % (last - first + 1)

    def input_files(self, years: Iterable[int] = ()) -> Mapping[str, Path]:
        """The files that it reads for these years: path or URL to local path. Empty if the adapter does not say."""
        return self.adapter.files(tuple(years))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.files)})" if self.files else self.name


def make_adapter(config: Config, plugins: Plugins, where: str, choice: PluginChoice) -> NamedAdapter:
    """Create the adapter of a section of the configuration. Its option ``policy`` defaults to ``quality.policy``."""
    options = dict(choice.options)
    if "policy" in plugins.find("adapter", choice.name, where).options.model_fields:
        options.setdefault("policy", config.quality.policy)
    made = plugins.create("adapter", choice.name, options, where, base=config.base)
    cycle = choice.cycle if isinstance(choice, ForcingSection) else None
    return NamedAdapter(choice.name, made, tuple(_file_names(choice.options)), cycle)


def texts_in(options: Any) -> Iterator[str]:
    """All texts in options, also inside lists and mappings."""
    if isinstance(options, str):
        yield options
    elif isinstance(options, Mapping | list | tuple):
        for value in options.values() if isinstance(options, Mapping) else options:
            yield from texts_in(value)


def _file_names(options: Any) -> Iterator[str]:
    """Names of the files in options."""
    for text in texts_in(options):
        if "/" in text or Path(text).suffix.lower() in _FILE_ENDINGS:
            yield Path(text).name
