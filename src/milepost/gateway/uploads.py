"""The files that a form brings for an approval link: those that the step asks for, and no others."""

import asyncio
from collections.abc import Mapping
from pathlib import PurePath

from milepost.core.events import Evidence
from milepost.gateway import evidence
from milepost.gateway.doors import Doors
from milepost.gateway.forms import File
from milepost.gateway.problems import Problem
from milepost.sql.evidence import EvidenceUse, uploads_by, used_in
from milepost.sql.links import Link
from milepost.store.evidence.media_types import MEDIA_TYPES, essence

__all__ = ["FIELD", "KEPT_FIELD", "MAX_UPLOADS", "Uploads"]

FIELD, KEPT_FIELD = "evidence:", "kept:"
"""What the names of a form's fields begin with: a file, and the hash of one that came with an earlier try."""

MAX_UPLOADS = 20
"""Files that one link may bring, tries included: it is no door to the disk."""

# Of the same kinds, as browsers tell them by a file's name.
_TYPES = {suffix: kind for kind, suffix in MEDIA_TYPES.items()} | {
    ".jpeg": "image/jpeg",
    ".tiff": "image/tiff",
    ".text": "text/plain",
    ".log": "text/plain",
}


class Uploads:
    """What came for one link; `take` is for `forms.read_form`. `faults` are by the field's name."""

    def __init__(self, doors: Doors, link: Link, needed: tuple[str, ...]) -> None:
        self._doors, self._link, self._needed = doors, link, needed
        self.kept: dict[str, EvidenceUse] = {}
        self.faults: dict[str, str] = {}

    async def take(self, file: File) -> None:
        """Keep a file that is asked for; pass over every other. Raises `Problem` for a store that is away."""
        field, file_name, media_type, pieces = file
        name = field.removeprefix(FIELD)
        # A browser sends an empty part for a file that nobody chose.
        if not field.startswith(FIELD) or name not in self._needed or not file_name:
            return
        kind = essence(media_type)
        if kind not in MEDIA_TYPES:
            # Machines disagree: a CSV is "application/vnd.ms-excel" on some. The content decides anyway.
            kind = _TYPES.get(PurePath(file_name).suffix.lower(), kind)
        link, by = self._link, f"link {self._link.link_id}"
        if await asyncio.to_thread(uploads_by, self._doors.engine, link.engagement_id, by) >= MAX_UPLOADS:
            self.faults[field] = f"This link has brought {MAX_UPLOADS} files, which is all that it may."
            return
        try:
            use, _ = await evidence.keep(self._doors, pieces, kind, link.engagement_id, name, by)
        except Problem as problem:
            if problem.status >= 500:
                raise
            self.faults[field] = f"{name} was not taken: {problem.detail}."
        else:
            self.kept[name] = use._replace(name=name)

    async def recall(self, fields: Mapping[str, str]) -> None:
        """Take over what came with an earlier try, where nothing replaces it."""
        said = {name: fields.get(KEPT_FIELD + name, "") for name in self._needed if name not in self.kept}
        found = await asyncio.to_thread(used_in, self._doors.engine, self._link.engagement_id, set(said.values()))
        for name, sha256 in said.items():
            use = found.get(sha256)
            if use is not None and FIELD + name not in self.faults:
                self.kept[name] = use._replace(name=name)

    def evidence(self) -> tuple[Evidence, ...]:
        """What the decision refers to."""
        return tuple(evidence.item(self._doors, use) for _, use in sorted(self.kept.items()))
