"""A body that arrives by Block1 is put together in order, within bounds, and told once it is whole (RFC 7959)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from firmcast.coap.block import Assembler, Block, BlockError, BlockSink, BodyTooLargeError, encode_block
from firmcast.coap.codes import Code, OptionNumber
from firmcast.coap.events import Peer, UploadProgress
from firmcast.coap.message import Message
from firmcast.coap.message_layer import MessageLayer
from firmcast.coap.options import Options, encode_uint
from firmcast.coap.peers import PeerState
from firmcast.coap.reception import Assembly, request_key

UploadRoute: TypeAlias = Callable[[Message, Peer], BlockSink | Code | None]
"""Names where a body goes at its first block, or the code by which it is refused; None assembles it here."""


@dataclass(frozen=True, slots=True)
class BlockAnswer:
    """A block is answered here and now, by `code` and `options`: the body is not whole, or is refused."""

    code: int
    options: Options


@dataclass(frozen=True, slots=True)
class WholeBody:
    """The last block came: the body, its size, and the Block1 value that the response repeats."""

    payload: bytes
    size: int
    block1: bytes


class Uploads:
    """The incomplete bodies of all peers."""

    __slots__ = ("_held", "_layer", "_lifetime", "_route")

    def __init__(self, layer: MessageLayer) -> None:
        self._layer = layer
        self._held = 0
        self._lifetime = layer.parameters.exchange_lifetime
        self._route: UploadRoute | None = None

    def upload_route(self, handler: UploadRoute) -> None:
        """Ask `handler` for a sink at the first block of each body, or for the code that refuses it."""
        self._route = handler

    def receive(self, state: PeerState, message: Message, block: Block, now: float) -> BlockAnswer | WholeBody:
        """Take in one block."""
        parameters = self._layer.parameters
        if block.szx > parameters.block_szx and parameters.refuse_larger_blocks:
            return self._refusal(block, szx=parameters.block_szx)
        key = request_key(message)
        assembly = state.assemblies.get(key)
        if block.number == 0:
            if assembly is not None:
                self._drop(state, assembly)
            begun = self._begin(state, message)
            if isinstance(begun, BlockAnswer):
                return begun
            assembly = begun
        if assembly is None:
            return _incomplete(block)
        if (assembly.total or 0) > parameters.max_body and assembly.assembler.sink is None:
            self._drop(state, assembly)
            return self._refusal(block, szx=block.szx)
        return self._add(state, assembly, message, block, now)

    def forget(self, state: PeerState) -> None:
        """Drop the bodies of one peer."""
        for assembly in list(state.assemblies.values()):
            self._drop(state, assembly)

    def _begin(self, state: PeerState, message: Message) -> Assembly | BlockAnswer:
        parameters = self._layer.parameters
        sink = None if self._route is None else self._route(message, state.address)
        if isinstance(sink, int):
            return BlockAnswer(sink, ())
        while len(state.assemblies) >= parameters.max_assemblies_per_peer:
            self._drop(state, next(iter(state.assemblies.values())))
        limit = parameters.max_body if sink is None else 1 << 32
        key = request_key(message)
        assembly = Assembly(state.address, key, Assembler(limit=limit, sink=sink), message.size1, self._expire)
        state.assemblies[key] = assembly
        return assembly

    def _add(
        self, state: PeerState, assembly: Assembly, message: Message, block: Block, now: float
    ) -> BlockAnswer | WholeBody:
        parameters = self._layer.parameters
        assembler = assembly.assembler
        held = assembler.held
        if not assembler.is_repeat(block, message.payload):
            try:
                assembler.add(block, message.payload)
            except BodyTooLargeError:
                self._drop(state, assembly)
                return self._refusal(block, szx=block.szx)
            except BlockError:
                return self._misfit(state, assembly, block)
        self._held += assembler.held - held
        if self._held > parameters.max_assembled:
            self._drop(state, assembly)
            self._layer.counters.refused += 1
            return BlockAnswer(Code.SERVICE_UNAVAILABLE, ())
        # A smaller block than the peer sends is asked for in the answer; its size counts from the next block on.
        value = encode_block(block.number, block.more, min(block.szx, parameters.block_szx))
        if not block.more:
            whole = WholeBody(assembler.body(), assembler.received, value)
            self._drop(state, assembly)
            return whole
        self._layer.timers.set(assembly, now + self._lifetime)
        self._layer.events.append(
            UploadProgress(
                peer=state.address,
                method=message.code,
                uri_path=message.uri_path,
                received=assembler.received,
                total=assembly.total,
            )
        )
        return BlockAnswer(Code.CONTINUE, ((int(OptionNumber.BLOCK1), value),))

    def _misfit(self, state: PeerState, assembly: Assembly, block: Block) -> BlockAnswer:
        if block.offset == assembly.assembler.received:
            # In its place, but of a wrong length: the peer contradicts itself.
            self._drop(state, assembly)
            return BlockAnswer(Code.BAD_REQUEST, ())
        return _incomplete(block)

    def _refusal(self, block: Block, *, szx: int) -> BlockAnswer:
        self._layer.counters.too_large += 1
        value = encode_block(block.number, block.more, szx)
        limit = encode_uint(self._layer.parameters.max_body)
        options = ((int(OptionNumber.BLOCK1), value), (int(OptionNumber.SIZE1), limit))
        return BlockAnswer(Code.REQUEST_ENTITY_TOO_LARGE, options)

    def _expire(self, assembly: Assembly, _now: float) -> None:
        state = self._layer.peers.states.get(assembly.peer)
        if state is not None:
            self._drop(state, assembly)

    def _drop(self, state: PeerState, assembly: Assembly) -> None:
        self._layer.timers.clear(assembly)
        self._held -= assembly.assembler.held
        if state.assemblies.get(assembly.key) is assembly:
            del state.assemblies[assembly.key]


def _incomplete(block: Block) -> BlockAnswer:
    value = encode_block(block.number, block.more, block.szx)
    return BlockAnswer(Code.REQUEST_ENTITY_INCOMPLETE, ((int(OptionNumber.BLOCK1), value),))
