"""A peer that asks for a static body in words not seen from it before is decoded, answered and remembered here.

What the fast path in `endpoint` answers is exactly what this module would answer.
"""

from firmcast.coap.block import Block, BlockError
from firmcast.coap.codes import Code, MessageType, OptionNumber
from firmcast.coap.events import Peer
from firmcast.coap.message import Message, encode
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.options import Options, encode_options, unsupported_critical_option
from firmcast.coap.peers import PeerState
from firmcast.coap.static_bodies import (
    BlockServed,
    Memo,
    StaticBody,
    StaticHandler,
    StaticRequest,
    memo_of,
)


class StaticRoutes:
    """The static bodies that a handler names."""

    __slots__ = ("_handler", "_layer", "_on_block_served")

    def __init__(self, layer: MessageLayer, handler: StaticHandler, on_block_served: BlockServed | None) -> None:
        self._layer = layer
        self._handler = handler
        self._on_block_served = on_block_served

    def answer(self, message: Message, peer: Peer, now: float) -> bool:
        """Answer a GET of a static body; return whether it was one.

        Malformed requests are left to the general path, and so are those of who may be sent no body yet.
        """
        body = self._handler(message, peer)
        if body is None or unsupported_critical_option(message.options) is not None:
            return False
        try:
            asked = message.block2
        except BlockError:
            return False
        state = self._layer.state_of_caller(peer, now)
        if state is None:
            return True
        if state.takes_bodies:
            self._answer(state, message, body, asked)
        return state.takes_bodies

    def _answer(self, state: PeerState, message: Message, body: StaticBody, asked: Block | None) -> None:
        if message.accept is not None and message.accept != body.content_format:
            self._send(state, message, Code.NOT_ACCEPTABLE)
            return
        if body.etag in message.etags:
            self._send(state, message, Code.VALID, ((int(OptionNumber.ETAG), body.etag),))
            return
        limit = self._layer.parameters.block_szx
        block = Block(0, more=False, szx=limit) if asked is None else asked
        if block.szx > limit:
            block = Block(block.offset >> (limit + 4), more=False, szx=limit)
        if block.number and block.offset >= body.size:
            self._send(state, message, Code.BAD_REQUEST)
            return
        try:
            tail = body.build_tail(block, blockwise=asked is not None)
        except OSError:
            self._send(state, message, Code.INTERNAL_SERVER_ERROR)
            return
        self._send(state, message, Code.CONTENT, tail=tail[0])
        if message.type is MessageType.CON and not message.payload:
            self._remember(state, message, body, tail)
        if self._on_block_served is not None:
            self._on_block_served(state.address, message.uri_path, tail[1], tail[2], body.size)

    def _remember(
        self, state: PeerState, request: StaticRequest, body: StaticBody, tail: tuple[bytes, int, int]
    ) -> None:
        memo = memo_of(request)
        if memo is None:
            return
        if state.memo is None or state.memo.prefix != memo.prefix:
            state.memo = memo
            memo.bind(body)
        body.keep(memo.last_number, _rest(request.options, memo), tail)

    def _send(
        self, state: PeerState, message: Message, code: Code, options: Options = (), tail: bytes | None = None
    ) -> None:
        kind = MessageType.ACK
        message_id = message.message_id
        if message.type is MessageType.NON:
            kind = MessageType.NON
            message_id = state.next_message_id()
        datagram = encode(Message(kind, int(code), message_id, message.token, options))
        self._layer.outgoing.append((datagram if tail is None else datagram + tail, state.address))


def _rest(options: Options, memo: Memo) -> bytes:
    return encode_options([pair for pair in options if pair[0] >= OptionNumber.BLOCK2], memo.last_number)
