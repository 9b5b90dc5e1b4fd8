"""A response larger than a block is held, so that its later blocks come from the same bytes (RFC 7959 section 2.4).

What is held is bounded over all peers; the oldest leaves first. A peer that asks for a block no longer held starts
over: its GET is told to the application again, anything else is answered 4.08.
"""

from hashlib import blake2b

from firmcast.coap.block import Block, encode_block
from firmcast.coap.codes import Code, OptionNumber, is_success
from firmcast.coap.events import Peer
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.options import Options, encode_uint, first_value, sort_options
from firmcast.coap.peers import PeerState
from firmcast.coap.reception import HeldResponse, RequestKey

_ETAG_SIZE = 8


class HeldResponses:
    """The responses that are being fetched, of all peers."""

    __slots__ = ("_bytes", "_layer", "_oldest")

    def __init__(self, layer: MessageLayer) -> None:
        self._layer = layer
        self._bytes = 0
        self._oldest: dict[HeldResponse, None] = {}

    def first_block(
        self,
        state: PeerState,
        key: RequestKey,
        block: Block | None,
        code: int,
        options: Options,
        payload: bytes,
        now: float,
    ) -> tuple[int, Options, bytes]:
        """Return code, options and payload of the message that answers `block` (None: not asked), holding the rest."""
        szx = self._layer.parameters.block_szx if block is None else block.szx
        szx = min(szx, self._layer.parameters.block_szx)
        size = 1 << (szx + 4)
        asked = block is not None and block.number > 0
        if (len(payload) <= size and not asked) or first_value(options, OptionNumber.BLOCK2) is not None:
            return code, options, payload
        if is_success(code) and first_value(options, OptionNumber.ETAG) is None:
            etag = blake2b(payload, digest_size=_ETAG_SIZE).digest()
            options = sort_options([*options, (int(OptionNumber.ETAG), etag)])
        if len(payload) > size:
            self._hold(state, key, code, options, payload, now)
        offset = 0 if block is None else block.offset
        return _slice(code, options, payload, Block(offset >> (szx + 4), more=False, szx=szx))

    def later_block(
        self, state: PeerState, key: RequestKey, block: Block, now: float
    ) -> tuple[int, Options, bytes] | None:
        """Return what answers a later block, or None when its body is not held."""
        held = state.held.get(key)
        if held is None:
            return None
        self._layer.timers.set(held, now + self._layer.parameters.exchange_lifetime)
        return _slice(held.code, held.options, held.payload, block)

    def forget(self, state: PeerState) -> None:
        """Drop what is held for one peer."""
        for held in list(state.held.values()):
            self._drop(held)

    def _hold(self, state: PeerState, key: RequestKey, code: int, options: Options, payload: bytes, now: float) -> None:
        parameters = self._layer.parameters
        previous = state.held.get(key)
        if previous is not None:
            self._drop(previous)
        held = HeldResponse(state.address, key, code, options, payload, self._expire)
        state.held[key] = held
        self._oldest[held] = None
        self._bytes += len(payload)
        self._layer.timers.set(held, now + parameters.exchange_lifetime)
        while self._bytes > parameters.max_held_responses and len(self._oldest) > 1:
            self._drop(next(iter(self._oldest)))

    def _expire(self, held: HeldResponse, _now: float) -> None:
        self._drop(held)

    def _drop(self, held: HeldResponse) -> None:
        self._layer.timers.clear(held)
        if held in self._oldest:
            del self._oldest[held]
            self._bytes -= len(held.payload)
        peer: Peer = held.peer
        state = self._layer.peers.states.get(peer)
        if state is not None and state.held.get(held.key) is held:
            del state.held[held.key]


def _slice(code: int, options: Options, payload: bytes, block: Block) -> tuple[int, Options, bytes]:
    if block.offset >= len(payload) and block.number > 0:
        return Code.BAD_REQUEST, (), b"no such block"
    part = payload[block.offset : block.offset + block.size]
    more = block.offset + len(part) < len(payload)
    pairs = [*options, (int(OptionNumber.BLOCK2), encode_block(block.number, more, block.szx))]
    if block.number == 0:
        pairs.append((int(OptionNumber.SIZE2), encode_uint(len(payload))))
    return code, sort_options(pairs), part
