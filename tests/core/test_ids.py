"""Ids and hashes against the published vectors, and against the standard library's."""

import json
from hashlib import sha256
from uuid import NAMESPACE_OID, uuid5

import pytest
from hypothesis import given
from hypothesis import strategies as st

from milepost.core import ids

TEXT = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), max_size=20)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        (("line", "erp-rollout", "assessment", "", "fee", 1), "1f7c1d6e-44d5-51f9-a585-685465198301"),
        (("line", "erp-rollout", "", "2026-01", "tm:senior:180.00", 1), "768239dd-9f1b-525f-9a4c-fb6ef1961526"),
        (("request", "erp-rollout", "assessment", "", "1.2.REQUESTED", 1), "b693a4b7-bf2b-5133-a920-e5065ef6c81c"),
    ],
)
def test_published_ids(parts: tuple[str, str, str, str, str, int], expected: str) -> None:
    assert ids.identify(*parts) == expected


def test_published_submission_hash() -> None:
    content = {
        "attributes": {},
        "completion": "100",
        "criteria": None,
        "evidence": ["a" * 64],
        "milestone": "assessment",
        "occurrence": None,
        "values": [],
    }
    assert ids.digest(content) == "479d1e9200fa925b77150f99a4b945d85b23f5029a0edb1d93398748ffb7a75f"


@given(st.sampled_from(["a", "b.c", "d-e_f~g"]), st.integers(1, 10**6))
def test_an_id_is_the_standard_uuid5(name: str, revision: int) -> None:
    namespace = uuid5(NAMESPACE_OID, "milepost")
    assert ids.identify("line", name, name, "", "fee", revision) == str(
        uuid5(namespace, f"line/{name}/{name}//fee/{revision}")
    )


@given(st.dictionaries(TEXT, st.none() | TEXT | st.integers(-(2**53), 2**53) | st.lists(TEXT, max_size=3), max_size=6))
def test_canonical_json_is_the_standard_librarys(value: dict[str, object]) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert ids.canonical_json(value) == expected
    assert ids.digest(value) == sha256(expected).hexdigest()


def test_parts_that_would_run_together_stay_apart() -> None:
    left = ids.identify("line", "a/b", "c", "", "fee", 1)
    assert left != ids.identify("line", "a", "b/c", "", "fee", 1)
