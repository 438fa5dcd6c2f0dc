"""A file is what its bytes are (S24): what pretends to be something else, or is two things at once, is refused."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.store.evidence.media_types import MEDIA_TYPES, MismatchError, check, essence
from tests.store import samples


@pytest.mark.parametrize(("media_type", "content"), samples.RIGHT)
def test_what_is_what_it_says(tmp_path: Path, media_type: str, content: bytes) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    check(path, media_type)
    others = {other for other, found in samples.RIGHT if other != media_type and found != content}
    refused = set()
    for other in others - {"text/plain", "text/csv"}:
        with pytest.raises(MismatchError):
            check(path, other)
        refused.add(other)
    assert len(refused) >= 9


def test_every_type_has_a_sample() -> None:
    assert {media_type for media_type, _ in samples.RIGHT} == MEDIA_TYPES.keys()


@pytest.mark.parametrize(
    ("media_type", "content", "said"), [row[1:] for row in samples.WRONG], ids=[row[0] for row in samples.WRONG]
)
def test_what_is_not(tmp_path: Path, media_type: str, content: bytes, said: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(content)
    with pytest.raises(MismatchError, match=said):
        check(path, media_type)


@given(st.sampled_from(sorted(MEDIA_TYPES)), st.binary(min_size=1, max_size=400), st.data())
def test_no_content_is_more_than_a_mismatch(
    tmp_path_factory: pytest.TempPathFactory, media_type: str, content: bytes, data: st.DataObject
) -> None:
    """Whatever the bytes, also damaged ones of the right kind: it is of that type, or it is refused in words."""
    right = next(found for kind, found in samples.RIGHT if kind == media_type)
    place = data.draw(st.integers(0, len(right)))
    path = tmp_path_factory.mktemp("fuzz") / "file"
    for mixed in (content, right[:place] + content + right[place:], right[: max(1, place)] + content):
        path.write_bytes(mixed)
        try:
            check(path, media_type)
        except MismatchError as error:
            assert str(error)


@pytest.mark.parametrize("named", ["text/csv; charset=utf-8", " Text/CSV ", "text/csv;header=present"])
def test_parameters_are_no_part_of_a_type(named: str) -> None:
    assert essence(named) == "text/csv"
