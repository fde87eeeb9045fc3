"""Weights applied to codes and fields, against dense sums."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ai4land_coupler.api import LocalWeights
from ai4land_coupler.errors import FieldError, GridError
from ai4land_coupler.regrid.apply import RegridPlan

IDS = np.array([7, 3, 2**40, 11])  # order in which the land holds its cells
DENSE = np.array([[0.2, 0.3, 0.0, 0.5], [0.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.6, 0.1]])  # columns by ascending id


def local_weights(dense: np.ndarray, ids: np.ndarray) -> LocalWeights:
    row, col = np.nonzero(dense)
    indptr = np.searchsorted(row, np.arange(len(dense) + 1))
    ones = np.ones(len(dense))
    return LocalWeights(indptr, np.sort(ids)[col], dense[row, col], dense.sum(axis=1), np.ones(ids.size), ones, {})


PLAN = RegridPlan(local_weights(DENSE, IDS), IDS)


def test_shares_of_codes_worked_by_hand():
    # ids 3, 7, 11, 2**40 hold codes 1, 0, -1, 1
    found = PLAN.aggregate(np.array([0, 1, 1, -1], np.int8), 3)
    np.testing.assert_array_equal(found, [[0.3, 0, 0], [0.7, 0, 0.1], [0, 0, 0]])
    assert found.dtype == np.float64


@given(st.data())
def test_codes_count_as_one_field_each_would(data):
    n_codes = data.draw(st.sampled_from([1, 7, 128, 129, 300]))
    codes = np.array(data.draw(st.lists(st.integers(-300, n_codes - 1), min_size=4, max_size=4)), np.int16)
    fields = (codes == np.arange(n_codes)[:, None]).astype(float)
    np.testing.assert_allclose(PLAN.aggregate(codes, n_codes), PLAN.apply(fields), atol=1e-16)


def test_unsigned_codes():
    np.testing.assert_array_equal(
        PLAN.aggregate(np.array([0, 1, 1, 2], np.uint8), 3), PLAN.aggregate(np.array([0, 1, 1, 2], np.int64), 3)
    )


def test_fields_of_any_leading_shape():
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    expected = np.einsum("ij,abj->abi", DENSE, values[..., np.argsort(IDS)])
    np.testing.assert_allclose(PLAN.apply(values), expected, rtol=1e-15)
    np.testing.assert_allclose(PLAN.apply(values[0, 0]), expected[0, 0], rtol=1e-15)
    assert PLAN.apply(np.zeros((0, 4))).shape == (0, 3)


def test_a_missing_value_spreads_to_the_cells_it_has_a_share_in():
    found = PLAN.apply(np.array([np.nan, 1.0, 1.0, 1.0]))  # id 7
    assert np.isnan(found).tolist() == [True, False, False]


def test_a_masked_value_is_missing():
    values = np.array([[np.nan, 2.0, 4.0, 10.0], [1.0, 1.0, np.nan, np.nan]])
    np.testing.assert_array_equal(PLAN.apply(np.ma.masked_invalid(values)), PLAN.apply(values))


def test_single_precision_stays_single():
    values = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)
    found = PLAN.apply(values)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, PLAN.apply(values.astype(np.float64)), rtol=1e-6, atol=1e-7)
    assert PLAN.apply(np.array([1, 2, 3, 4])).dtype == np.float64


def test_the_layout_in_memory_does_not_matter():
    rng = np.random.default_rng(3)
    dense, ids = rng.random((5, 200)), np.arange(200)
    plan, values = RegridPlan(local_weights(dense, ids), ids), rng.normal(size=(11, 200))
    interleaved = np.asfortranarray(values)
    np.testing.assert_allclose(plan.apply(interleaved), plan.apply(values), rtol=1e-14)
    np.testing.assert_array_equal(plan.apply(values[::2]), plan.apply(values[::2].copy()))


def test_complex_values_are_refused():
    with pytest.raises(FieldError, match=r"expected: real numbers\n  found: complex128"):
        PLAN.apply(np.zeros(4, complex))


def test_sums_do_not_depend_on_the_order_of_the_land():
    rng = np.random.default_rng(3)
    dense, ids = rng.random((5, 200)), np.sort(rng.choice(10**9, 200, replace=False))
    weights, codes, values = local_weights(dense, ids), rng.integers(-1, 4, 200), rng.normal(size=200)
    order = rng.permutation(200)
    one, other = RegridPlan(weights, ids), RegridPlan(weights, ids[order])
    np.testing.assert_array_equal(one.aggregate(codes, 4), other.aggregate(codes[order], 4))
    np.testing.assert_array_equal(one.apply(values), other.apply(values[order]))


def test_source_cells_without_an_owner_are_refused():
    with pytest.raises(GridError, match=r"belong to no rank\n  found: 1 cells, first global id 11"):
        RegridPlan(local_weights(DENSE, IDS), IDS[:3])


def test_values_that_do_not_fit_are_refused():
    with pytest.raises(FieldError, match=r"do not fit .*\n  expected: \(\.\.\., 4\)\n  found: \(3,\)"):
        PLAN.apply(np.zeros((2, 3)))
    with pytest.raises(FieldError, match="do not fit"):
        PLAN.aggregate(np.zeros((4, 1), np.int8), 2)
    with pytest.raises(FieldError, match=r"outside of its legend\n  expected: 0 to 1.*\n  found: 255"):
        PLAN.aggregate(np.full(4, 255, np.uint8), 2)
    with pytest.raises(FieldError, match="cannot be aggregated"):
        PLAN.aggregate(np.zeros(4), 2)
