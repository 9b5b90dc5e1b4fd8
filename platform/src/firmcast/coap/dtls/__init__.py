"""DTLS 1.2 with pre-shared keys (RFC 6347, RFC 4279, RFC 7925), between a UDP socket and the CoAP engine."""
