"""Pushes come in here: a pure core decides, `asgi` and `wsgi` adapt it to a server, `Receiver` reaches the handlers."""

from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.deduplication import (
    DeduplicationStore,
    MemoryDeduplicationStore,
    PushKey,
    Standing,
)
from firmcast_sdk.receiver.receiver import Receiver
from firmcast_sdk.receiver.reception import Push, ReceptionRules, check_head, receive

__all__ = [
    "Answer",
    "DeduplicationStore",
    "MemoryDeduplicationStore",
    "Push",
    "PushKey",
    "Receiver",
    "ReceptionRules",
    "Standing",
    "check_head",
    "receive",
]
