"""Faults of a configuration are reported with the keys that the user wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import pytest
from pydantic import BaseModel, ConfigDict, Field

from ai4land_coupler.config.faults import config_error
from ai4land_coupler.errors import ConfigError


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Tiles(Strict):
    size: int = Field(default=256, ge=16)
    method: Literal["argmax", "sample", "allocate"] = "argmax"


class Icon(Strict):
    kind: Literal["icon"]
    file: str


class Scrip(Strict):
    kind: Literal["scrip"]
    path: str
    mask: bool = False


class Run(Strict):
    title: str
    tiles: Tiles = Tiles()
    runs: list[Tiles] = []
    by_name: dict[str, Tiles] | None = None
    host: Annotated[Icon | Scrip, Field(discriminator="kind")] | None = None
    threads: int | Tiles = 1
    box: tuple[float, float] = (0.0, 1.0)
    from_: int = Field(default=0, alias="from")

    @pydantic.field_validator("box")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("the west must lie before the east")
        return value


def lines(content: dict[str, Any]) -> list[str]:
    """The lines of the message, without the first and without the place."""
    with pytest.raises(pydantic.ValidationError) as caught:
        Run.model_validate({"title": "t", **content})
    error = config_error(caught.value, "run.yaml", Run)
    assert isinstance(error, ConfigError)
    assert error.exit_code == 2
    first, *told, place = str(error).splitlines()
    assert first.startswith("the configuration has ")
    assert place == "  where: run.yaml"
    assert ("one fault" in first) == (len(told) == 1)
    return [line.strip() for line in told]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"titel": 1}, "titel: unknown key; did you mean 'title'?"),
        ({"tiles": {"sise": 3}}, "tiles.sise: unknown key; did you mean 'size'? Known: method, size"),
        ({"tiles": {"size": "big"}}, "tiles.size: expected a valid integer, found 'big'"),
        ({"tiles": {"size": 2}}, "tiles.size: expected greater than or equal to 16, found 2"),
        ({"tiles": {"method": "argmx"}}, "tiles.method: expected 'argmax', 'sample' or 'allocate', found 'argmx'"),
        ({"tiles": 3}, "tiles: expected a valid dictionary or instance of Tiles, found 3"),
        ({"runs": [{}, {"sizes": 1}]}, "runs[1].sizes: unknown key; did you mean 'size'?"),
        ({"by_name": {"uk": {"methd": 1}}}, "by_name.uk.methd: unknown key; did you mean 'method'?"),
        ({"host": {"kind": "scrip", "path": "x", "maks": 1}}, "host.maks: unknown key; did you mean 'mask'?"),
        ({"host": {"kind": "icon"}}, "host.file: missing"),
        ({"host": {"kind": "icn"}}, "host: expected 'icon', 'scrip', found 'icn'; did you mean 'icon'?"),
        ({"box": [2, 1]}, "box: the west must lie before the east; found [2, 1]"),
        ({"box": [2, "x"]}, "box[1]: expected a valid number, found 'x'"),
        ({"from": "x"}, "from: expected a valid integer, found 'x'"),
        ({"form": 1}, "form: unknown key; did you mean 'from'?"),
        ({"method": "sample"}, "method: unknown key; did you mean 'tiles.method' or 'by_name.NAME.method' or"),
        ({"host": {"kind": "scrip", "path": "x", "from": 1}}, "host.from: unknown key; did you mean 'from'?"),
    ],
)  # fmt: skip
def test_one_fault_is_one_line(content: dict[str, Any], expected: str) -> None:
    (line,) = lines(content)
    assert line.startswith(expected)


def test_every_fault_has_its_line() -> None:
    told = lines({"tiles": {"size": 1, "x": 2}, "box": 3, "by_name": {"a": {"size": 0}}})
    assert [line.split(":")[0] for line in told] == ["tiles.size", "tiles.x", "by_name.a.size", "box"]


def test_the_branches_of_a_union_are_not_in_the_path() -> None:
    told = lines({"threads": {"sise": 2}})
    assert told == [
        "threads: expected a valid integer, found {'sise': 2}",
        "threads.sise: unknown key; did you mean 'size'? Known: method, size",
    ]


def test_a_seed_at_the_top_leads_to_random_seed() -> None:
    from ai4land_coupler.config.sections import parse_config

    with pytest.raises(ConfigError, match=r"seed: unknown key; did you mean 'random.seed'\?"):
        parse_config({"seed": 3}, Path(), "run.yaml")


def test_a_long_value_is_shortened() -> None:
    (line,) = lines({"tiles": {"size": "x" * 500}})
    assert len(line) < 120
    assert line.endswith("...")
