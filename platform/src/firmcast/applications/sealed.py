"""What an application has that must be read back in clear, and the purpose for which each of it is sealed."""

from typing import Final

from firmcast.applications import store
from firmcast.db.sealed import SealedTable

SIGNING_SECRET: Final = "application signing secret"  # noqa: S105 -- a purpose
SIGNING_KEY: Final = "application signing key"
CLIENT_KEY: Final = "application client key"
CALLBACK_HEADERS: Final = "application callback headers"

SEALED_APPLICATIONS: Final = SealedTable(
    name="application",
    purposes={
        "signing_secret_sealed": SIGNING_SECRET,
        "former_signing_secret_sealed": SIGNING_SECRET,
        "signing_key_sealed": SIGNING_KEY,
        "former_signing_key_sealed": SIGNING_KEY,
        "client_key_sealed": CLIENT_KEY,
        "callback_headers_sealed": CALLBACK_HEADERS,
    },
    page=store.SEALED_AFTER,
    write=store.SET_SEALED,
)
