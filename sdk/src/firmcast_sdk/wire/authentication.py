"""Login and refresh: who calls proves it here and gets a token for an hour. Contract page, section 2."""

from typing import Final

import msgspec

from firmcast_sdk.wire.decoding import Required

LOGIN_PATH: Final = "/iocm/app/sec/v1.1.0/login"
REFRESH_PATH: Final = "/iocm/app/sec/v1.1.0/refreshToken"
LOGOUT_PATH: Final = "/iocm/app/sec/v1.1.0/logout"


class LoginRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """A login, which travels as a form (`decode_query`, `encode_query`); one client writes `Secret`."""

    app_id: Required
    secret: Required


class RefreshRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The JSON body of a refresh."""

    app_id: Required
    secret: Required
    refresh_token: Required


class LogoutRequest(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The JSON body of the deprecated logout; its answer is empty."""

    access_token: Required


class TokenResponse(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The answer to login and refresh; `expires_in` is seconds and goes out as a number."""

    scope: str = "default"
    token_type: str = "bearer"  # noqa: S105 -- the contract's word, no secret
    expires_in: int
    access_token: Required
    refresh_token: str = ""
