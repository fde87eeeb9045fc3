"""The adapters of a run, with their names in messages and in the provenance."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ai4land_coupler.api import DataAdapter, FieldInfo
from ai4land_coupler.config.sections import Config, ForcingSection, PluginChoice
from ai4land_coupler.registry.loading import Plugins

#: Endings of data files. Other texts are taken for paths if they contain a slash.
_FILE_ENDINGS = {".nc", ".nc4", ".tif", ".tiff", ".zarr", ".h5"}


@dataclass(frozen=True)
class Beyond:
    """The data that are used for the years after the last year of an adapter's data.

    A variable that ends before the others (the transitions of LUH2 end a year before the states) keeps the same phase
    as they have.

    Parameters
    ----------
    first, last:
        The years of the data that follow each other again and again; one year if the last year is held.
    end:
        The last year of the adapter's data: ``end + 1`` gets the data of ``first``.
    """

    first: int
    last: int
    end: int

    @property
    def holds(self) -> bool:
        """Whether each variable keeps the last year of its data."""
        return self.first == self.end

    def data_year(self, year: int, years: tuple[int, int]) -> int:
        """The year of the data for a year after ``years``, the first and last year of the data of a variable."""
        if self.holds:
            return years[1]
        return self.first + (year - self.end - 1) % (self.last - self.first + 1)


@dataclass(frozen=True)
class NamedAdapter:
    """An adapter, with its name in messages and in the provenance.

    Parameters
    ----------
    files:
        Names of the files in its options.
    cycle:
        First and last year of the data that repeat for ever; ``None`` if the data do not repeat.
    beyond:
        What follows after the last year of the data; ``None`` if nothing does.
    """

    name: str
    adapter: DataAdapter
    files: tuple[str, ...] = ()
    cycle: tuple[int, int] | None = None
    beyond: Beyond | None = None

    def data_year(self, year: int, years: tuple[int, int] | None = None) -> int:
        """The year of the data that are used for a year of the run.

        ``years``: first and last year of the data of a variable; ``None`` for a variable without years.
        """
        if self.cycle is not None:
            first, last = self.cycle
            return first + (year - first) % (last - first + 1)
        if self.beyond is not None and years is not None and year > years[1]:
            return self.beyond.data_year(year, years)
        return year

    def input_files(self, years: Iterable[int] = ()) -> Mapping[str, Path]:
        """The files that it reads for these years: path or URL to local path. Empty if the adapter does not say."""
        spans = {info.years for info in self.adapter.fields().values()} if self.beyond else {None}
        return self.adapter.files(tuple(sorted({self.data_year(year, span) for year in years for span in spans})))

    def __str__(self) -> str:
        return f"{self.name} ({', '.join(self.files)})" if self.files else self.name


def make_adapter(config: Config, plugins: Plugins, where: str, choice: PluginChoice) -> NamedAdapter:
    """Create the adapter of a section of the configuration. Its option ``policy`` defaults to ``quality.policy``."""
    options = dict(choice.options)
    if "policy" in plugins.find("adapter", choice.name, where).options.model_fields:
        options.setdefault("policy", config.quality.policy)
    made = plugins.create("adapter", choice.name, options, where, base=config.base)
    files = tuple(_file_names(choice.options))
    if not isinstance(choice, ForcingSection):
        return NamedAdapter(choice.name, made, files)
    return NamedAdapter(choice.name, made, files, choice.cycle, beyond_of(choice, made.fields()))


def beyond_of(choice: ForcingSection, fields: Mapping[str, FieldInfo]) -> Beyond | None:
    """What follows after the last year of an adapter's data; ``None`` if nothing does, or no variable has years.

    ``cycle`` without ``repeat`` takes all years that every variable has.
    """
    spans = [info.years for info in fields.values() if info.years is not None]
    if choice.beyond == "stop" or not spans:
        return None
    end = max(last for _, last in spans)
    if choice.beyond == "hold":
        return Beyond(end, end, end)
    first, last = choice.repeated or (max(first for first, _ in spans), min(last for _, last in spans))
    return Beyond(first, last, end)


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
