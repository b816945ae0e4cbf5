"""What hypothesis makes up for the property tests."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from giftless.errors import BadRequest
from giftless.lfs.objects import Repo

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

#: Parts of repositories' paths, most of which are allowed.
_segments: st.SearchStrategy[str] = st.text(
    st.characters(exclude_categories=("Cc", "Cs"), exclude_characters="/"), min_size=1, max_size=30
) | st.sampled_from(["repo.git", "repo.git.git", "a b", "\u2764", "-rf", "%2F", "..."])


def _repo(segments: list[str]) -> Any:
    try:
        return Repo.parse(segments)
    except BadRequest:
        return None


#: Repositories.
repos: st.SearchStrategy[Repo] = (
    st.lists(_segments, min_size=1, max_size=4).map(_repo).filter(lambda repo: repo is not None)
)
