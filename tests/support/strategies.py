"""What hypothesis makes up for the property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

#: Any value that Python's ``json`` can write; text may have lone surrogates.
json_values: st.SearchStrategy[Any] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)

#: Well-formed oids.
oids: st.SearchStrategy[str] = st.text("0123456789abcdef", min_size=64, max_size=64)
