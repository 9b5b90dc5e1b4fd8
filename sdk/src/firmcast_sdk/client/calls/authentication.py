"""Pure: getting and ending a token. Contract page, section 2. The session makes these calls, so no method does."""

from firmcast_sdk.client.call import Call, Repeat, Request, nothing, post, reader
from firmcast_sdk.wire import authentication, headers
from firmcast_sdk.wire.authentication import TokenResponse
from firmcast_sdk.wire.queries import encode_query


def login(app_id: str, secret: str) -> Call[TokenResponse]:
    """Get a token; needs none. A login whose answer was lost left a token that nobody knows, so it may be repeated."""
    body = encode_query(authentication.LoginRequest(app_id=app_id, secret=secret)).encode()
    request = Request(
        method="POST", path=authentication.LOGIN_PATH, headers={headers.CONTENT_TYPE: headers.FORM}, body=body
    )
    return Call(request=request, parse=reader(TokenResponse), repeat=Repeat.ALWAYS)


def refresh(app_id: str, secret: str, refresh_token: str) -> Call[TokenResponse]:
    """Get another token; needs none but the refresh token."""
    body = authentication.RefreshRequest(app_id=app_id, secret=secret, refresh_token=refresh_token)
    return post(authentication.REFRESH_PATH, body, reader(TokenResponse))


def logout(access_token: str) -> Call[None]:
    """End a token."""
    return post(authentication.LOGOUT_PATH, authentication.LogoutRequest(access_token=access_token), nothing)
