"""Conversion factors between units."""

from __future__ import annotations

import pytest

from ai4land_coupler.core.units import factor
from ai4land_coupler.errors import FieldError


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [("%", "1", 0.01), ("km", "m", 1000.0), ("km2", "m2", 1e6), ("", "1", 1.0), ("kelvin", "K", 1.0), ("x", "x", 1.0)],
)
def test_units_are_converted(found: str, wanted: str, value: float) -> None:
    assert factor(found, wanted) == value


@pytest.mark.parametrize(("found", "wanted"), [("degC", "K"), ("m", "K"), ("", "m"), ("1", "furlong")])
def test_units_that_cannot_be_converted_are_refused(found: str, wanted: str) -> None:
    with pytest.raises(FieldError, match=f"expected: {wanted}(.|\\n)*where: t2m of x.nc"):
        factor(found, wanted, "t2m of x.nc")
