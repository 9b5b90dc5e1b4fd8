"""The names of HTTP headers that either side reads or writes, in lower case.

The first group is the contract's, for calls of an application to the platform. Names with underscores are dropped by
some servers and proxies unless told otherwise. The second is Standard Webhooks' and the third our own, both on pushes;
they are additions that a receiver may ignore.
"""

from typing import Final

APP_KEY: Final = "app_key"
X_APP_KEY: Final = "x-app-key"
AUTHORIZATION: Final = "authorization"
ACCESS_TOKEN: Final = "access_token"  # noqa: S105 -- a header's name, no secret
CONTENT_TYPE: Final = "content-type"
JSON: Final = "application/json"
FORM: Final = "application/x-www-form-urlencoded"
BEARER: Final = "Bearer"  # sent like this; read in any case
REASON: Final = "firmcast-reason"  # ours: on a refusal, what exactly was wrong
IDEMPOTENCY_KEY: Final = "idempotency-key"  # ours: 1-128 printable ASCII; the same key creates a task once

WEBHOOK_ID: Final = "webhook-id"  # the event's id, the same over retries and replays
WEBHOOK_TIMESTAMP: Final = "webhook-timestamp"  # Unix seconds of this attempt
WEBHOOK_SIGNATURE: Final = "webhook-signature"  # v1,<base64> and v1a,<base64>, divided by blanks

SEQUENCE: Final = (
    "firmcast-sequence"  # number of the event within its device, from 1; grows, counts what others subscribe to
)
ATTEMPT: Final = "firmcast-attempt"  # 1 for the first try of this delivery
SYNTHESISED: Final = "firmcast-synthesised"  # "true" when the edge was not observed on the device; absent otherwise
OCCURRED_AT: Final = "firmcast-occurred-at"  # RFC 3339, UTC, when the event happened
REPLAY: Final = "firmcast-replay"  # "true" when somebody asked for it again; it may be older than what arrived before
TEST: Final = "firmcast-test"  # "true" on a push that an operator asked for to try a callback: nothing has happened
