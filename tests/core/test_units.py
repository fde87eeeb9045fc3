"""Units: what UDUNITS says, what files write, and what must never be converted in silence."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ai4land_coupler.api import FieldError, convert, factor


@pytest.mark.parametrize(
    ("found", "wanted", "value"),
    [
        ("dg/kg", "g kg-1", 0.1),
        ("%", "g kg-1", 10.0),
        ("kg kg-1", "g kg-1", 1000.0),
        ("t ha-1", "kg m-2", 0.1),
        ("km-2", "m-2", 1e-6),
        ("m^2/m^2", "1", 1.0),
        ("degrees_north", "degree", 1.0),
        ("deg", "degree", 1.0),
        ("radian", "degree", 180 / np.pi),
        ("a", "year", 1.0),
        ("fraction", "1", 1.0),
        ("mm s-1", "kg m-2 s-1", 1.0),
        ("mm/day", "kg m-2 s-1", 1 / 86400),
        ("m s-1", "mm s-1", 1000.0),
    ],
)
def test_factors(found: str, wanted: str, value: float) -> None:
    assert factor(found, wanted) == pytest.approx(value, rel=1e-14)


@pytest.mark.parametrize(
    ("found", "wanted"),
    [
        ("degree", "1"),  # UDUNITS: a radian is a number
        ("1", "degree"),
        ("degC", "K"),
        ("a", "m2"),  # UDUNITS: an are
        ("kg C m-2", "kg m-2"),  # UDUNITS: C is coulomb
        ("kg m-2 s-1", "mm s-1"),
        ("mm", "kg m-2"),
        ("km2", "1"),
        ("days since 2000-01-01", "days"),
        ("unknown", "1"),
        ("no_unit", "1"),
        ("Persons", "1"),
        ("dB", "1"),
    ],
)
def test_what_no_factor_converts_is_refused(found: str, wanted: str) -> None:
    with pytest.raises(FieldError, match="wrong units") as error:
        factor(found, wanted, where="x of y.nc")
    assert f"found: {found}" in str(error.value)
    assert "x of y.nc" in str(error.value)


def test_values_of_another_zero_are_converted() -> None:
    celsius = np.array([[-273.15, 0.0, 36.6]], np.float32)
    kelvin = convert(celsius, "degC", "K")
    assert kelvin.dtype == np.float32
    np.testing.assert_allclose(kelvin, [[0.0, 273.15, 309.75]], atol=1e-4)
    np.testing.assert_allclose(convert(np.array([32.0, 212.0]), "degF", "degC"), [0.0, 100.0], atol=1e-9)
    np.testing.assert_allclose(convert(np.array([1, 250]), "%", "1"), [0.01, 2.5], rtol=1e-15)
    assert np.isnan(convert(np.array([np.nan]), "km2", "m2")).all()
    same = np.array([1.0, 2.0])
    np.testing.assert_array_equal(convert(same, "furlong", "furlong"), same)
    with pytest.raises(FieldError, match="wrong units"):
        convert(same, "m", "K", where="here")


def test_the_library_is_loaded_only_where_something_is_converted() -> None:
    program = (
        "import sys; from ai4land_coupler.core.units import factor; factor('m', 'm');"
        "assert 'cf_units' not in sys.modules; assert factor('km', 'm') == 1000; assert 'cf_units' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
