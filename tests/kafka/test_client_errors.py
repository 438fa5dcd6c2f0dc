"""What the client raises has one name each at the port, and what is none of its business stays as it is."""

import pytest
from aiokafka import errors

from milepost.kafka.log import FencedError, LogError, RejectedError
from milepost.kafka.transactions import translate, translated


@pytest.mark.parametrize(
    ("raised", "meant"),
    [
        (errors.ProducerFenced(), FencedError),
        (errors.InvalidProducerEpoch(), FencedError),
        (errors.MessageSizeTooLargeError(), RejectedError),
        (errors.NotLeaderForPartitionError(), LogError),
        (errors.IllegalOperation("Can't send messages while not in transaction"), LogError),
        (AssertionError("no transition"), LogError),
        (ConnectionResetError(), LogError),
    ],
)
def test_a_failure_of_the_client_is_one_of_the_ports(raised: Exception, meant: type[Exception]) -> None:
    with pytest.raises(meant) as found, translated():
        raise raised
    assert type(found.value) is meant
    assert found.value.__cause__ is raised


def test_the_cause_decides() -> None:
    wrapped = errors.KafkaError("commit failed")
    wrapped.__cause__ = errors.ProducerFenced()
    assert isinstance(translate(wrapped), FencedError)


def test_a_mistake_of_ours_is_not_the_clients() -> None:
    mistake = ValueError("ours")
    assert translate(mistake) is mistake
