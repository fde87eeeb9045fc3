"""Errors: their texts, and their codes for hosts."""

from __future__ import annotations

from ai4land_coupler import errors
from ai4land_coupler.errors import Ai4LandError, DataError, nearest


def test_a_message_names_both_sides_the_place_and_the_remedy() -> None:
    error = DataError("a variable is missing", expected="urban", found="urbn", where="states.nc", remedy="rename it")
    assert str(error) == (
        "a variable is missing\n  expected: urban\n  found: urbn\n  where: states.nc\n  what to do: rename it"
    )
    assert str(DataError("short")) == "short"


def test_every_error_has_its_own_return_code_for_hosts() -> None:
    kinds = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, Ai4LandError)]
    codes = [k.host_code for k in kinds]
    assert len(set(codes)) == len(codes)
    assert 0 not in codes
    assert {k.exit_code for k in kinds} == {1, 2}


def test_the_nearest_name_is_offered() -> None:
    assert nearest("argmx", ["allocate", "argmax"]) == "did you mean 'argmax'? Known: allocate, argmax"
    assert nearest("zzz", ["argmax"]) == "known: argmax"
    assert nearest("zzz", []) == "known: none"
