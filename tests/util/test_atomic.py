"""Text of JSON files."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aubench._util import atomic

_scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
_keys = st.text() | st.integers() | st.booleans() | st.none()
_values = st.recursive(
    _scalars,
    lambda inner: st.lists(inner, max_size=4) | st.tuples(inner, inner) | st.dictionaries(_keys, inner, max_size=4),
    max_leaves=12,
)


@pytest.mark.slow
@given(_values)
@settings(max_examples=200, deadline=None)
def test_json_text_is_that_of_json_dumps_with_an_indent(value):
    assert atomic.json_text(value) == json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def test_numbers_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="not JSON compliant"):
        atomic.json_text({"a": [{"b": float("nan")}]})
