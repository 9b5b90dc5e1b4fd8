"""Whom a TLS connection trusts and as whom it presents itself; connections are shared only where this is the same."""

import msgspec


class Trust(msgspec.Struct, frozen=True, kw_only=True):
    """PEM texts; empty ones stand for the system's authorities, and for no client certificate."""

    authorities: bytes = b""
    client_certificate: bytes = b""
    client_key: bytes = b""
