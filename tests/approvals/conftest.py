"""A pipeline with a gateway for each module, and an engagement for each test."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from milepost.kafka.embedded import EmbeddedBroker
from tests.approvals.approving import Approving, Case, approving


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def work(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Approving]:
    with EmbeddedBroker() as broker:
        folder = tmp_path_factory.mktemp("approve")
        async with approving(broker.bootstrap_servers, folder, "approve-") as found:
            yield found


@pytest_asyncio.fixture(loop_scope="module")
async def case(work: Approving) -> Case:
    return await work.case()
