"""Pushes come in here: a pure core decides, `asgi` and `wsgi` adapt it to a server, `Receiver` reaches the handlers."""

from firmcast_sdk.receiver.answers import Answer
from firmcast_sdk.receiver.delivery_store import DeliveryStore, MemoryDeliveryStore
from firmcast_sdk.receiver.receiver import Receiver
from firmcast_sdk.receiver.reception import Push, ReceptionRules, check_head, receive
from firmcast_sdk.receiver.sqlite_delivery_store import SqliteDeliveryStore
from firmcast_sdk.receiver.standing import Claim, ClaimLostError, PushKey, Standing

__all__ = [
    "Answer",
    "Claim",
    "ClaimLostError",
    "DeliveryStore",
    "MemoryDeliveryStore",
    "Push",
    "PushKey",
    "Receiver",
    "ReceptionRules",
    "SqliteDeliveryStore",
    "Standing",
    "check_head",
    "receive",
]
