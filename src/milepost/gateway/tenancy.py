"""Which engagements a key may know of: its patterns admit them, and its tenant is a party of their contract.

A tenant is a name from contracts: the `id` of a customer or a supplier. An engagement that was opened through the
gateway has its parties at once; of one that came another way they are read from the contract that the join took, when
somebody first asks. To a tenant's key everything else does not exist: also what is not open yet.
"""

import asyncio
from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import Protocol

import msgspec

from milepost.core.contract import Contract
from milepost.gateway.doors import Doors
from milepost.sql.tenants import add_tenants, claim, tenants_of, without_tenants

__all__ = ["EVERY", "Scoped", "claimed", "learn", "may_see", "parties"]

# As a tenant: all of them. As an engagement's pattern or an action: any.
EVERY = "*"
# Engagements are looked at in the order in which somebody asks; a list asks for those that nobody asked for.
_LEARNED_AT_ONCE = 500


class Scoped(Protocol):
    """What of a key says which engagements it is for."""

    @property
    def tenant(self) -> str: ...

    @property
    def engagements(self) -> tuple[str, ...]: ...


class _Party(msgspec.Struct):
    id: str


class _Parties(msgspec.Struct):
    customer: _Party
    supplier: _Party | None = None


_parties = msgspec.json.Decoder(_Parties).decode


def covers(scoped: Scoped, engagement: str) -> bool:
    """Whether the key's patterns admit the engagement; whose it is, is another question."""
    return EVERY in scoped.engagements or any(fnmatchcase(engagement, granted) for granted in scoped.engagements)


async def may_see(doors: Doors, scoped: Scoped, engagements: Collection[str]) -> set[str]:
    """Those of the engagements that the key may know of. Raises `UnavailableError`."""
    covered = {engagement for engagement in engagements if covers(scoped, engagement)}
    if scoped.tenant == EVERY or not covered:
        return covered
    found = await asyncio.to_thread(tenants_of, doors.engine, covered)
    if unsaid := covered - found.keys():
        await asyncio.to_thread(learn, doors, unsaid)
        found |= await asyncio.to_thread(tenants_of, doors.engine, unsaid)
    return {engagement for engagement in covered if scoped.tenant in found.get(engagement, ())}


def learn(doors: Doors, engagements: Collection[str] | None = None) -> None:
    """Keep the parties of engagements that came another way than through a gateway; None: of all such. Blocks."""
    for engagement, texts in without_tenants(doors.engine, engagements, _LEARNED_AT_ONCE).items():
        named = [_parties(text) for text in texts]
        tenants = {party.id for one in named for party in (one.customer, one.supplier) if party is not None}
        add_tenants(doors.engine, engagement, tenants, doors.now())


def parties(contract: Contract) -> set[str]:
    """Who may know of an engagement under this contract."""
    return {contract.customer_id} | ({contract.supplier_id} if contract.supplier_id is not None else set())


async def claimed(doors: Doors, scoped: Scoped, contract: Contract) -> bool:
    """Take an engagement for the parties of its contract; False if the key may not, or it is others' already."""
    if not covers(scoped, contract.engagement):
        return False
    if scoped.tenant == EVERY:
        await asyncio.to_thread(add_tenants, doors.engine, contract.engagement, parties(contract), doors.now())
        return True
    if scoped.tenant not in parties(contract):
        return False
    await asyncio.to_thread(learn, doors, {contract.engagement})
    return await asyncio.to_thread(
        claim, doors.engine, contract.engagement, scoped.tenant, parties(contract), doors.now()
    )
