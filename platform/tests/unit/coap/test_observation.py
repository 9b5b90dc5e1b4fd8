"""Observation in both roles against messages written by hand (RFC 7641)."""

from collections.abc import Callable
from typing import Any

import pytest

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import (
    EndReason,
    NotificationReceived,
    NotificationUnmatched,
    ObservationEnded,
    ObservationId,
    RequestFailed,
    RequestReceived,
    ResponseReceived,
)
from firmcast.coap.message import Message
from firmcast.coap.options import options

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]
PATH = options(uri_path=("5", "0", "3"))


def observing(peer: Any, sequence: int = 5) -> bytes:
    """Begin an observation and have it accepted; return its token."""
    token: bytes = peer.endpoint.observe(peer.peer, PATH, peer.now)
    (sent,) = peer.taken()
    assert (sent.code, sent.observe, sent.uri_path) == (Code.GET, 0, ("5", "0", "3"))
    peer.give(Message(ACK, Code.CONTENT, sent.message_id, sent.token, options(observe=sequence), b"0"))
    (event,) = peer.told()
    assert isinstance(event, ResponseReceived)
    assert event.observing
    return token


def notification(
    mid: int, token: bytes, sequence: int, payload: bytes = b"1", kind: MessageType = NON, **pairs: Any
) -> Message:
    return Message(kind, Code.CONTENT, mid, token, options(observe=sequence, **pairs), payload)


def notified(peer: Any) -> list[tuple[int, bytes]]:
    return [(event.sequence, event.payload) for event in peer.told() if isinstance(event, NotificationReceived)]


# As the observer.


def test_notifications_are_told_and_confirmable_ones_acknowledged(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    assert peer.give(notification(1, token, 6)) == []
    assert peer.give(notification(2, token, 7, b"2", CON)) == [Message(ACK, Code.EMPTY, 2)]
    assert peer.give(notification(2, token, 7, b"2", CON)) == [Message(ACK, Code.EMPTY, 2)]
    assert notified(peer) == [(6, b"1"), (7, b"2")]


@pytest.mark.parametrize(
    ("before", "after", "seconds", "fresh"),
    [
        (5, 6, 0.0, True),
        (5, 5, 0.0, False),
        (6, 5, 0.0, False),
        (0xFFFFFF, 0, 0.0, True),
        (0, 0xFFFFFF, 0.0, False),
        (0, (1 << 23) - 1, 0.0, True),
        (0, 1 << 23, 0.0, False),
        ((1 << 23) + 1, 0, 0.0, True),
        (6, 5, 128.0, False),
        (6, 5, 128.5, True),
    ],
)
def test_freshness(lone: MakeLone, before: int, after: int, seconds: float, fresh: bool) -> None:
    peer = lone()
    token = observing(peer, before)
    peer.now += seconds
    peer.give(notification(1, token, after))
    assert bool(notified(peer)) == fresh


def test_a_notification_in_blocks_is_told_whole(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    (fetch,) = peer.give(notification(1, token, 6, b"a" * 16, block2=Block(0, True, 0), etag=b"e"))
    assert (fetch.code, fetch.observe, fetch.block2, fetch.uri_path) == (
        Code.GET,
        None,
        Block(1, False, 0),
        ("5", "0", "3"),
    )
    assert fetch.token != token
    rest = options(block2=Block(1, False, 0), etag=b"e")
    peer.give(Message(ACK, Code.CONTENT, fetch.message_id, fetch.token, rest, b"b"))
    assert notified(peer) == [(6, b"a" * 16 + b"b")]


def test_a_large_first_response_is_fetched_under_another_token(lone: MakeLone) -> None:
    peer = lone()
    token = peer.endpoint.observe(peer.peer, PATH, 0.0)
    (sent,) = peer.taken()
    first = options(observe=5, block2=Block(0, True, 0))
    (fetch,) = peer.give(Message(ACK, Code.CONTENT, sent.message_id, token, first, b"a" * 16))
    assert (fetch.observe, fetch.block2) == (None, Block(1, False, 0))
    assert fetch.token != token
    peer.give(notification(1, token, 6, b"new"))
    assert notified(peer) == [(6, b"new")]
    rest = options(block2=Block(1, False, 0))
    peer.give(Message(ACK, Code.CONTENT, fetch.message_id, fetch.token, rest, b"b"))
    (event,) = peer.told()
    assert isinstance(event, ResponseReceived)
    assert (event.token, event.payload, event.observing) == (token, b"a" * 16 + b"b", True)


def test_a_newer_notification_ends_the_fetch_of_an_older_one(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    (fetch,) = peer.give(notification(1, token, 6, b"a" * 16, block2=Block(0, True, 0)))
    assert peer.give(notification(2, token, 7, b"new")) == []
    assert peer.give(Message(ACK, Code.CONTENT, fetch.message_id, fetch.token, (), b"b")) == []
    assert notified(peer) == [(7, b"new")]
    assert peer.wait(100.0) == []


def test_the_fetch_of_a_notification_may_fail(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    peer.give(notification(1, token, 6, b"a" * 16, block2=Block(0, True, 0)))
    peer.wait(100.0)
    (event,) = peer.told()
    assert isinstance(event, RequestFailed)
    assert event.token == token
    peer.give(notification(2, token, 7, b"new"))
    assert notified(peer) == [(7, b"new")]


def test_an_error_ends_the_observation(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    peer.give(Message(NON, Code.NOT_FOUND, 1, token))
    told = peer.told()
    assert [type(event) for event in told] == [NotificationReceived, ObservationEnded]
    assert told[0].code == Code.NOT_FOUND
    assert told[1] == ObservationEnded(peer=peer.peer, token=token, reason=EndReason.REFUSED)
    assert peer.give(notification(2, token, 9, kind=CON)) == []
    assert isinstance(peer.told()[0], NotificationUnmatched)


def test_a_response_without_observe_begins_no_observation(lone: MakeLone) -> None:
    peer = lone()
    peer.endpoint.observe(peer.peer, PATH, 0.0)
    (sent,) = peer.taken()
    peer.give(Message(ACK, Code.CONTENT, sent.message_id, sent.token, (), b"0"))
    (event,) = peer.told()
    assert isinstance(event, ResponseReceived)
    assert not event.observing
    assert peer.endpoint._states[peer.peer].observations == {}


def test_cancelling_asks_with_observe_1_and_the_same_token(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    assert peer.endpoint.cancel_observation(peer.peer, token, 0.0)
    (sent,) = peer.taken()
    assert (sent.token, sent.observe, sent.uri_path) == (token, 1, ("5", "0", "3"))
    assert peer.give(notification(1, token, 9, kind=CON)) == [Message(ACK, Code.EMPTY, 1)]
    peer.give(Message(ACK, Code.CONTENT, sent.message_id, token, (), b"last"))
    (event,) = peer.told()
    assert isinstance(event, ResponseReceived)
    assert event.payload == b"last"
    assert not peer.endpoint.cancel_observation(peer.peer, token, 0.0)


def test_a_forgotten_observation_is_reset_at_its_next_notification(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    peer.endpoint.forget_observation(peer.peer, token, 0.0)
    assert peer.give(notification(1, token, 6)) == []
    assert peer.wait(1.0) == [Message(RST, Code.EMPTY, 1)]


def test_an_unmatched_notification_may_be_adopted(lone: MakeLone) -> None:
    peer = lone()
    assert peer.give(notification(1, b"old", 6, kind=CON)) == []
    (event,) = peer.told()
    assert isinstance(event, NotificationUnmatched)
    assert (event.token, event.sequence, event.payload) == (b"old", 6, b"1")
    peer.endpoint.adopt_observation(peer.peer, b"old")
    assert peer.taken() == [Message(ACK, Code.EMPTY, 1)]
    assert peer.wait(1.0) == []
    peer.give(notification(2, b"old", 5))
    peer.give(notification(3, b"old", 7))
    assert notified(peer) == [(7, b"1")]


def test_unmatched_notifications_are_reset_and_bounded(lone: MakeLone) -> None:
    peer = lone(max_unmatched=1)
    assert peer.give(notification(1, b"a", 6, kind=CON)) == []
    assert peer.give(notification(2, b"b", 6, kind=CON)) == [Message(RST, Code.EMPTY, 2)]
    assert peer.give(notification(3, b"b", 6)) == []
    assert peer.wait(1.0) == [Message(RST, Code.EMPTY, 1)]
    assert peer.give(notification(1, b"a", 6, kind=CON)) == [Message(RST, Code.EMPTY, 1)]


def test_forgetting_a_peer_ends_its_observations(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    peer.endpoint.forget(peer.peer, 0.0)
    assert peer.told() == [ObservationEnded(peer=peer.peer, token=token, reason=EndReason.FORGOTTEN)]


def test_an_observed_peer_is_remembered_for_as_long_as_it_takes(lone: MakeLone) -> None:
    peer = lone()
    token = observing(peer)
    peer.wait(10_000.0)
    peer.give(notification(1, token, 6))
    assert notified(peer) == [(6, b"1")]


# As the observed.


def observed(peer: Any, mid: int = 1, token: bytes = b"obs") -> ObservationId:
    peer.give(Message(CON, Code.GET, mid, token, options(uri_path=("a",), observe=0)))
    request = next(event for event in peer.told() if isinstance(event, RequestReceived))
    assert request.observe == 0
    observation: ObservationId = peer.endpoint.accept_observation(request)
    peer.endpoint.respond(request, Code.CONTENT, payload=b"0", now=peer.now)
    (answer,) = peer.taken()
    assert (answer.type, answer.observe) == (ACK, 1)
    return observation


def ended(peer: Any) -> list[EndReason]:
    return [event.reason for event in peer.told() if isinstance(event, ObservationEnded)]


def test_an_observer_is_told_with_rising_sequences(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    for value in (b"1", b"2"):
        assert peer.endpoint.notify(observation, Code.CONTENT, options(content_format=0), value, now=0.0)
    first, second = peer.taken()
    assert (first.type, first.token, first.observe, first.content_format, first.payload) == (NON, b"obs", 2, 0, b"1")
    assert second.observe == 3


def test_a_reset_ends_the_observation(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    peer.endpoint.notify(observation, now=0.0)
    (sent,) = peer.taken()
    peer.give(Message(RST, Code.EMPTY, sent.message_id))
    assert ended(peer) == [EndReason.RESET]
    assert not peer.endpoint.notify(observation, now=0.0)


def test_one_confirmable_notification_at_a_time_and_the_newest_next(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    for value in (b"1", b"2", b"3"):
        peer.endpoint.notify(observation, Code.CONTENT, (), value, now=0.0, confirmable=True)
    (sent,) = peer.taken()
    assert (sent.type, sent.payload) == (CON, b"1")
    (newest,) = peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert (newest.payload, newest.observe) == (b"3", 3)
    peer.give(Message(RST, Code.EMPTY, newest.message_id))
    assert ended(peer) == [EndReason.RESET]


def test_a_confirmable_notification_without_an_answer_ends_the_observation(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    peer.endpoint.notify(observation, now=0.0, confirmable=True)
    peer.endpoint.notify(observation, now=0.0, confirmable=True)
    peer.taken()
    assert len(peer.wait(100.0)) == 4
    assert ended(peer) == [EndReason.TIMEOUT]


def test_a_get_with_observe_1_ends_the_observation_and_is_told(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    peer.give(Message(CON, Code.GET, 2, b"obs", options(uri_path=("a",), observe=1)))
    gone, request = peer.told()
    assert gone == ObservationEnded(peer=peer.peer, token=b"obs", reason=EndReason.CANCELLED, observation=observation)
    assert isinstance(request, RequestReceived)
    assert request.observe == 1
    with pytest.raises(ValueError, match="Observe 0"):
        peer.endpoint.accept_observation(request)


def test_registering_again_replaces_the_observation(lone: MakeLone) -> None:
    peer = lone()
    first = observed(peer)
    second = observed(peer, 2)
    assert ended(peer) == [EndReason.REPLACED]
    assert not peer.endpoint.notify(first, now=0.0)
    assert peer.endpoint.notify(second, now=0.0)


def test_an_error_answer_begins_no_observation_and_an_error_notification_ends_it(lone: MakeLone) -> None:
    peer = lone()
    peer.give(Message(CON, Code.GET, 1, b"no", options(uri_path=("a",), observe=0)))
    (request,) = peer.told()
    refused = peer.endpoint.accept_observation(request)
    peer.endpoint.respond(request, Code.NOT_FOUND, now=0.0)
    assert peer.taken()[0].observe is None
    assert not peer.endpoint.notify(refused, now=0.0)
    observation = observed(peer, 2)
    assert peer.endpoint.notify(observation, Code.NOT_FOUND, now=0.0)
    (sent,) = peer.taken()
    assert (sent.code, sent.observe) == (Code.NOT_FOUND, None)
    assert not peer.endpoint.notify(observation, now=0.0)


def test_observers_of_one_peer_are_bounded(lone: MakeLone) -> None:
    peer = lone(max_observations_per_peer=2)
    observations = [observed(peer, mid, bytes((mid,))) for mid in (1, 2, 3)]
    assert ended(peer) == [EndReason.FORGOTTEN]
    assert [peer.endpoint.notify(each, now=0.0) for each in observations] == [False, True, True]


def test_an_unreachable_observer_is_dropped_at_once(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    peer.endpoint.notify(observation, now=0.0, confirmable=True)
    peer.taken()
    peer.endpoint.unreachable(peer.peer, 0.0)
    assert ended(peer) == [EndReason.UNREACHABLE]
    assert peer.wait(100.0) == []


def test_a_long_observation_is_confirmed_once_a_day(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    kinds = []
    for _ in range(3):
        peer.now += 50_000.0
        peer.endpoint.notify(observation, now=peer.now)
        (sent,) = peer.taken()
        kinds.append(sent.type)
        if sent.type is CON:
            peer.give(Message(ACK, Code.EMPTY, sent.message_id))
    assert kinds == [NON, NON, CON]


def test_a_large_notification_is_served_in_blocks(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    peer.endpoint.notify(observation, Code.CONTENT, (), bytes(1500), now=0.0)
    (sent,) = peer.taken()
    assert (sent.block2, sent.size2) == (Block(0, True, 6), 1500)
    (rest,) = peer.give(Message(CON, Code.GET, 9, b"r", options(uri_path=("a",), block2=Block(1, False, 6))))
    assert (rest.block2, len(rest.payload), rest.etag) == (Block(1, False, 6), 476, sent.etag)
    peer.endpoint.end_observation(observation)
    assert peer.told() == []
    assert not peer.endpoint.notify(observation, now=0.0)


def test_an_observer_without_a_sign_of_life_costs_little(lone: MakeLone) -> None:
    peer = lone()
    observation = observed(peer)
    for _ in range(100):
        peer.endpoint.notify(observation, now=0.0)
    state = peer.endpoint._states[peer.peer]
    assert len(state.notified) == 16
    peer.wait(1_000.0)
    assert (len(state.notified), len(state.replies)) == (0, 0)
    assert peer.endpoint.notify(observation, now=peer.now)


def test_a_newer_unmatched_notification_takes_the_place_of_an_older_one(lone: MakeLone) -> None:
    peer = lone(unmatched_timeout=0.5)
    peer.give(notification(1, b"old", 6, kind=CON))
    assert peer.wait(0.3) == []
    peer.give(notification(2, b"old", 7, kind=CON))
    assert peer.wait(0.3) == []
    assert peer.wait(0.3) == [Message(RST, Code.EMPTY, 2)]
