"""An address that nobody has shown to be real is sent little unasked, until it answers or is vouched for."""

import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from firmcast.coap.block import Block
from firmcast.coap.codes import Code, MessageType
from firmcast.coap.endpoint import Endpoint, RequestReceived, ResponseReceived, StaticBody
from firmcast.coap.message import Message, encode
from firmcast.coap.options import Options, options
from firmcast.coap.parameters import TransmissionParameters

CON, NON, ACK, RST = MessageType
MakeLone = Callable[..., Any]
ALL_TRANSMISSIONS = 5
REQUEST = Message(CON, Code.POST, 1, b"t", options(uri_path=("rd",)), b"0123456789")


def ask(peer: Any) -> list[Message]:
    """Have the endpoint ask something; return each time that it does until it gives up."""
    peer.endpoint.request(peer.peer, Code.GET, options=options(uri_path=("5", "0", "3")), token=b"q", now=peer.now)
    return [sent for sent in peer.taken() + peer.wait(200.0) if sent.code == Code.GET]


@pytest.fixture
def approached(lone: MakeLone) -> Any:
    """An endpoint that somebody spoke to, and that has answered."""
    peer = lone(amplification=3)
    peer.give(REQUEST)
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    peer.endpoint.respond(request, Code.CREATED, now=0.0)
    peer.taken()
    return peer


def test_an_address_that_never_answers_is_asked_as_often_as_what_came_from_it_allows(approached: Any) -> None:
    # 19 bytes came: of 57 the answer takes 5, and each question 11.
    assert len(ask(approached)) == 4
    assert approached.endpoint.counters.withheld == 1
    assert ask(approached) == []


def test_what_comes_again_counts_again(approached: Any) -> None:
    ask(approached)
    assert len(approached.give(REQUEST)) == 1
    assert len(ask(approached)) == 5


@pytest.mark.parametrize("reply", ["a response", "an acknowledgement", "a reset"])
def test_whoever_answers_hears_us(approached: Any, reply: str) -> None:
    approached.endpoint.request(approached.peer, Code.GET, token=b"q", now=0.0)
    (asked,) = approached.taken()
    approached.give(
        {
            "a response": Message(ACK, Code.CONTENT, asked.message_id, b"q"),
            "an acknowledgement": Message(ACK, Code.EMPTY, asked.message_id),
            "a reset": Message(RST, Code.EMPTY, asked.message_id),
        }[reply]
    )
    approached.endpoint.cancel_request(approached.peer, b"q", 0.0)
    assert len(ask(approached)) == ALL_TRANSMISSIONS


def test_an_answer_to_something_else_proves_nothing(approached: Any) -> None:
    approached.endpoint.request(approached.peer, Code.GET, token=b"q", now=0.0)
    (asked,) = approached.taken()
    approached.give(Message(ACK, Code.CONTENT, asked.message_id, b"other"))
    approached.give(Message(ACK, Code.EMPTY, asked.message_id ^ 1))
    approached.endpoint.cancel_request(approached.peer, b"q", 0.0)
    assert len(ask(approached)) < ALL_TRANSMISSIONS


def test_who_is_vouched_for_is_believed(approached: Any) -> None:
    approached.endpoint.vouch(approached.peer)
    assert len(ask(approached)) == ALL_TRANSMISSIONS


def test_who_is_addressed_first_was_chosen(lone: MakeLone) -> None:
    assert len(ask(lone(amplification=3))) == ALL_TRANSMISSIONS


def test_a_peer_of_a_secure_session_was_there_for_its_handshake(lone: MakeLone) -> None:
    peer = lone(amplification=3)
    peer.peer = ("192.0.2.1", 1, 0, 0, "device-1")
    peer.give(REQUEST)
    assert len(ask(peer)) == ALL_TRANSMISSIONS


def test_a_separate_answer_is_sent_once_and_again_within_the_bound(lone: MakeLone) -> None:
    peer = lone(amplification=3)
    peer.give(REQUEST)
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    assert [message.code for message in peer.wait(1.0)] == [Code.EMPTY]
    peer.endpoint.respond(request, Code.CONTENT, payload=bytes(40), now=1.0)
    assert len(peer.taken() + peer.wait(200.0)) == 1


@pytest.mark.parametrize(("payload", "is_explained"), [(b"", False), (bytes(20), True)])
def test_an_error_is_explained_to_whoever_said_enough(lone: MakeLone, payload: bytes, is_explained: bool) -> None:
    peer = lone(amplification=3)
    peer.give(Message(CON, Code.POST, 1, b"", options(uri_path=("rd",)), payload))
    (request,) = [event for event in peer.told() if isinstance(event, RequestReceived)]
    peer.endpoint.respond(request, Code.FORBIDDEN, payload=bytes(40), now=0.0)
    (answer,) = peer.taken()
    assert (answer.code, bool(answer.payload)) == (Code.FORBIDDEN, is_explained)


# Bodies.

PACKAGE = random.Random(5).randbytes(5000)
SHORT = PACKAGE[:700]
BODIES = {("fw", "token-of-a-device"): PACKAGE, ("fw", "s"): SHORT}
ADDRESS = ("192.0.2.1", 40000)
SERVER = ("server", 5683)
CAREFUL = TransmissionParameters(amplification=3)


def serve(endpoint: Endpoint) -> None:
    """Serve the packages by the fast route, as a gateway does."""
    bodies = {path: StaticBody(body, etag=b"12345678", content_format=42) for path, body in BODIES.items()}
    endpoint.fast_route(lambda request, _peer: bodies.get(request.uri_path))


def answer(endpoint: Endpoint, request: RequestReceived, now: float, *, in_blocks: bool = True) -> None:
    """Answer what the fast route has left."""
    body = BODIES.get(request.message.uri_path)
    if body is None:
        endpoint.respond(request, Code.FORBIDDEN, payload=bytes(40), now=now)
        return
    if not in_blocks:
        endpoint.respond(request, Code.CONTENT, payload=body, now=now)
        return
    block = request.message.block2 or Block(0, more=False, szx=6)
    payload = body[block.offset : block.offset + block.size]
    more = block.offset + len(payload) < len(body)
    wording = options(etag=b"12345678", content_format=42, block2=Block(block.number, more=more, szx=block.szx))
    endpoint.respond(request, Code.CONTENT, options=wording, payload=payload, now=now)


def get_body(mid: int, block: Block | None = None, kind: MessageType = CON, token: bytes = b"tokn") -> Message:
    return Message(kind, Code.GET, mid, token, options(uri_path=("fw", "token-of-a-device"), block2=block))


@pytest.fixture
def keeper(lone: MakeLone) -> Any:
    """An endpoint that has packages for whoever names them."""
    peer = lone(amplification=3)
    serve(peer.endpoint)
    return peer


def ask_for_body(peer: Any, message: Message) -> list[Message]:
    """Hand in a request and have it answered; return what the endpoint sends."""
    sent = peer.give(message)
    for event in peer.told():
        if isinstance(event, RequestReceived):
            answer(peer.endpoint, event, peer.now)
    return sent + peer.taken()


@pytest.mark.parametrize(
    ("kind", "code"), [(RST, Code.EMPTY), (ACK, Code.EMPTY), (ACK, Code.INTERNAL_SERVER_ERROR)], ids=str
)
def test_who_asks_for_a_body_is_asked_whether_he_is_there_and_has_it_at_once_when_he_is(
    keeper: Any, kind: MessageType, code: Code
) -> None:
    acknowledged, ping = ask_for_body(keeper, get_body(1))
    assert (acknowledged.type, acknowledged.code, ping.type, ping.code) == (ACK, Code.EMPTY, CON, Code.EMPTY)
    (block,) = keeper.give(Message(kind, code, ping.message_id))
    assert (block.type, block.payload, block.token) == (CON, PACKAGE[:1024], b"tokn")
    keeper.give(Message(ACK, Code.EMPTY, block.message_id))
    (next_block,) = keeper.give(get_body(2, Block(1, more=False, szx=6)))
    assert (next_block.type, next_block.payload) == (ACK, PACKAGE[1024:2048])


def test_who_gives_no_sign_has_it_in_small_blocks(keeper: Any) -> None:
    ask_for_body(keeper, get_body(1))
    *pings, piece = keeper.wait(10.0)[: 1 + 1]
    assert [ping.code for ping in pings] == [Code.EMPTY]
    assert (piece.type, piece.block2, piece.payload) == (CON, Block(0, more=True, szx=1), PACKAGE[:32])
    keeper.give(Message(ACK, Code.EMPTY, piece.message_id))
    (following,) = keeper.give(get_body(2, Block(1, more=False, szx=1)))
    assert (following.type, following.payload) == (ACK, PACKAGE[32:64])


def test_who_rejects_what_he_did_not_ask_for_is_sent_it_once(keeper: Any) -> None:
    for mid in range(1, 4):
        sent = ask_for_body(keeper, get_body(mid))
        if mid == 1:
            (block,) = keeper.give(Message(RST, Code.EMPTY, sent[1].message_id))
            assert keeper.give(Message(RST, Code.EMPTY, block.message_id)) == []
        else:
            assert [(message.type, len(message.payload)) for message in sent] == [(ACK, 64)]


def test_only_one_body_waits_for_a_sign(keeper: Any) -> None:
    _, ping = ask_for_body(keeper, get_body(1))
    (piece,) = ask_for_body(keeper, get_body(2, token=b"othr"))
    assert (piece.type, len(piece.payload)) == (ACK, 64)
    assert len(keeper.give(Message(RST, Code.EMPTY, ping.message_id))) == 1


@pytest.mark.parametrize(("guesses", "is_believed"), [(3, True), (17, False)])
def test_who_guesses_often_may_have_guessed_right(keeper: Any, guesses: int, is_believed: bool) -> None:
    _, ping = ask_for_body(keeper, get_body(1))
    for guess in range(guesses):
        keeper.give(Message(RST, Code.EMPTY, ping.message_id + 100 + guess))
    (sent,) = keeper.give(Message(RST, Code.EMPTY, ping.message_id))
    assert (len(sent.payload) == 1024) is is_believed


def test_who_is_vouched_for_has_bodies_without_a_sign(keeper: Any) -> None:
    keeper.give(get_body(1))
    (request,) = [event for event in keeper.told() if isinstance(event, RequestReceived)]
    keeper.endpoint.vouch_for_bodies(keeper.peer)
    answer(keeper.endpoint, request, keeper.now)
    (block,) = keeper.taken()
    assert (block.type, block.payload) == (ACK, PACKAGE[:1024])
    (block,) = keeper.give(get_body(2, Block(1, more=False, szx=6)))
    assert block.payload == PACKAGE[1024:2048]


def test_whoever_only_answers_questions_has_no_bodies(approached: Any) -> None:
    serve(approached.endpoint)
    approached.endpoint.request(approached.peer, Code.GET, token=b"q", now=0.0)
    (asked,) = approached.taken()
    approached.give(Message(ACK, Code.NOT_FOUND, asked.message_id, b"q"))
    assert [message.code for message in ask_for_body(approached, get_body(9))] == [Code.EMPTY] * 2


@pytest.mark.parametrize("loss", [0.0, 0.3])
def test_a_client_that_knows_of_nothing_has_it_whole_in_large_blocks(network: Any, loss: float) -> None:
    between = network(seed=3, loss=loss, repeats=loss, server=CAREFUL)
    serve(between.server)
    between.handler = lambda request: answer(between.server, request, between.now)
    between.client.request(SERVER, Code.GET, options=options(uri_path=("fw", "token-of-a-device")), now=0.0)
    between.run(until=400.0)
    (end,) = [event for event in between.client_events if isinstance(event, ResponseReceived)]
    assert end.payload == PACKAGE
    if not loss:
        assert len(between.sent) == 2 * 5 + 4, "a sign, and what proves it, beyond five blocks"


def datagrams() -> st.SearchStrategy[bytes]:
    """What a stranger may say who knows all but the numbers and tokens of what he is not sent."""
    blocks = st.none() | st.builds(Block, st.integers(0, 90), st.just(False), st.integers(0, 6))
    paths = st.sampled_from([*BODIES, ("rd",), ("fw", "x")])
    wordings: st.SearchStrategy[Options] = st.builds(
        lambda path, block, accept: options(uri_path=path, block2=block, accept=accept),
        paths,
        blocks,
        st.sampled_from([None, 42, 0]),
    )
    numbers = st.integers(0, 5) | st.integers(0, 0xFFFF)
    asked = st.builds(
        Message,
        st.sampled_from([CON, NON]),
        st.sampled_from([Code.GET, Code.POST]),
        numbers,
        st.binary(max_size=8),
        wordings,
    )
    guessed = st.builds(Message, st.sampled_from([ACK, RST, CON]), st.just(Code.EMPTY), numbers)
    replied = st.builds(
        Message,
        st.sampled_from([CON, NON, ACK]),
        st.sampled_from([Code.CONTENT, Code.NOT_FOUND]),
        numbers,
        st.binary(max_size=8),
    )
    return (asked | guessed | replied).map(encode) | st.binary(max_size=40)


def hits(endpoint: Endpoint, datagram: bytes) -> bool:
    """Tell whether somebody has guessed the number of what was sent to another, as one in thousands does."""
    state = endpoint._states.get(ADDRESS)
    return state is not None and int.from_bytes(datagram[2:4], "big") in state.transmissions


@given(
    said=st.lists(st.tuples(datagrams(), st.sampled_from([0.0, 0.1, 3.0, 300.0])), max_size=12),
    in_blocks=st.booleans(),
    asks=st.booleans(),
    is_late=st.booleans(),
)
@example(said=[(encode(get_body(number % 3)), 0.1) for number in range(12)], in_blocks=True, asks=True, is_late=False)
@settings(max_examples=150, deadline=None)
def test_nobody_is_sent_three_times_what_was_said_in_his_name(
    said: list[tuple[bytes, float]], in_blocks: bool, asks: bool, is_late: bool
) -> None:
    endpoint = Endpoint(random=random.Random(1), parameters=CAREFUL)
    serve(endpoint)
    came = went = 0
    now = 0.0

    def take() -> int:
        return sum(len(datagram) for datagram, _peer in endpoint.take_datagrams())

    for datagram, pause in [*said, (b"", 600.0)]:
        if hits(endpoint, datagram):
            continue
        came += len(datagram)
        endpoint.receive(datagram, ADDRESS, now)
        told = [event for event in endpoint.take_events() if isinstance(event, RequestReceived)]
        if asks and told:
            endpoint.request(ADDRESS, Code.GET, options=options(uri_path=("5", "0", "3")), now=now)
        until = now + pause
        for event in told if not is_late else ():
            answer(endpoint, event, now, in_blocks=in_blocks)
        while (due := endpoint.next_timer()) is not None and due <= until:
            went += take()
            assert went <= 3 * came
            endpoint.handle_timer(max(now, due))
        now = until
        for event in told if is_late else ():
            answer(endpoint, event, now, in_blocks=in_blocks)
        went += take()
        assert went <= 3 * came
