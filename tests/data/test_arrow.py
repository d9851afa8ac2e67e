"""Stripping of keys that hold None."""

from hypothesis import given
from hypothesis import strategies as st

from turnpoint.data.arrow import strip_none

_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=10,
)


def test_keys_go_at_any_depth_and_elements_of_lists_stay() -> None:
    """Gone: b, d and the f of the second element, three keys. The None in the list is an element."""
    value = {"a": 0, "b": None, "c": {"d": None}, "e": [None, {"f": None, "g": ""}, [False]]}
    assert strip_none(value) == ({"a": 0, "c": {}, "e": [None, {"g": ""}, [False]]}, 3)


@given(_values)
def test_stripping_twice_is_stripping_once(value: object) -> None:
    assert strip_none(strip_none(value).value) == (strip_none(value).value, 0)
