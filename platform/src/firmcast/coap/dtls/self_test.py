"""Whether DTLS works here is found out by doing it: a handshake, a message each way, and a key that must not do.

The client's records are OpenSSL's and the server's are our own: that both understand each other is found out too.
"""

from typing import Final

from firmcast.coap.dtls.client import DtlsClient
from firmcast.coap.dtls.parameters import HandshakeOutcome
from firmcast.coap.dtls.server import DtlsServer
from firmcast.coap.events import Peer
from firmcast.errors import StartError

_IDENTITY: Final = "self-test"
_KEY: Final = bytes(range(16))
_SERVER: Final[Peer] = ("192.0.2.1", 5684)
_CLIENT: Final[Peer] = ("192.0.2.2", 49152)
_MOST_DATAGRAMS: Final = 50
_TRIES: Final = 5


def check_dtls() -> None:
    """Let a client and a server speak in memory.

    Raises:
        StartError: they cannot. The binding of OpenSSL is not what this release was made for.
    """
    try:
        # OpenSSL's own clock runs: where the machine stands still for a second meanwhile, a handshake comes to nothing.
        understood = any(_speak(_KEY) for _ in range(_TRIES)) and not _speak(bytes(16))
    except Exception as error:
        raise StartError(f"{_ADVICE}: {type(error).__name__}: {error}") from error
    if not understood:
        raise StartError(_ADVICE)


_ADVICE: Final = (
    "secure sessions of devices (DTLS) do not work with the installed versions of cryptography and pyOpenSSL;"
    " install those of constraints.txt, or set gateway.secure to false"
)


def _speak(key: bytes) -> bool:
    """Return whether a message from a client that holds `key`, and the answer to it, arrive."""
    to_server: list[bytes] = []
    to_client: list[bytes] = []
    heard: list[bytes] = []

    def answer(message: bytes, peer: Peer, now: float) -> None:
        server.send(message[::-1], peer, now)

    def look_up(identity: str) -> None:
        server.key_found(identity, _KEY if identity == _IDENTITY else None, 0.0)

    def count(_outcome: HandshakeOutcome) -> None:
        return

    def ended(_peer: Peer, _now: float) -> None:
        return

    server = DtlsServer(
        deliver=answer, transmit=lambda each, _: to_client.append(each), ended=ended, look_up=look_up, count=count
    )
    client = DtlsClient(
        identity=_IDENTITY,
        key=key,
        deliver=lambda message, _peer, _now: heard.append(message),
        transmit=lambda each, _: to_server.append(each),
        ended=ended,
    )
    client.send(b"request", client.peer(_SERVER), 0.0)
    for _ in range(_MOST_DATAGRAMS):
        if to_server:
            server.receive(to_server.pop(0), _CLIENT, 0.0)
        elif to_client:
            client.receive(to_client.pop(0), _SERVER, 0.0)
        else:
            break
    return heard == [b"tseuqer"]
