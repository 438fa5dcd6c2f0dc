"""A sealed secret opens with the server's secrets alone, also while they are rotated."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.settings import Settings
from milepost.sql.sealing import Seal, SealError

OLD, NEW, OTHER = "o" * 32, "n" * 32, "x" * 32


@given(st.text(st.characters(codec="utf-8")))
def test_what_is_sealed_opens_again(text: str) -> None:
    seal = Seal([OLD])
    sealed = seal.seal(text)
    assert seal.open(sealed) == text
    assert not text or len(text) < 8 or text not in sealed
    assert seal.seal(text) != sealed


def test_rotation() -> None:
    sealed = Seal([OLD]).seal("secret")
    both = Seal([NEW, OLD])
    assert (both.open(sealed), both.current(sealed)) == ("secret", False)
    assert (both.current(both.seal("secret")), Seal([NEW]).open(both.seal("secret"))) == (True, "secret")
    for stranger in (Seal([NEW]), Seal([OTHER])):
        with pytest.raises(SealError, match="MILEPOST_LINK_SECRET"):
            stranger.open(sealed)


def test_what_was_changed_does_not_open() -> None:
    sealed = Seal([OLD]).seal("secret")
    for place in range(0, len(sealed) - 2, 7):
        changed = sealed[:place] + ("A" if sealed[place] != "A" else "B") + sealed[place + 1 :]
        with pytest.raises(SealError):
            Seal([OLD]).open(changed)


def test_without_a_secret_nothing_is_sealed() -> None:
    with pytest.raises(SealError, match="is not set"):
        Seal.of(Settings())
    assert Seal.of(Settings(link_secret=f"{NEW}, {OLD}")).open(Seal([OLD]).seal("s")) == "s"
