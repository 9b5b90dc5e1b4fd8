"""Both clients have exactly the methods that the calls declare: one declaration, two surfaces."""

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from firmcast_sdk import AsyncNorthboundClient, NorthboundClient
from firmcast_sdk.client.calls import device_groups, devices, events, packages, subscriptions, upgrades

ROOT = Path(__file__).parents[3]
SECTIONS = (subscriptions, packages, upgrades, devices, device_groups, events)
SENDERS_OWN = {"close", "login", "logout", "refresh"}


def declared():
    return {
        name: function
        for section in SECTIONS
        for name, function in vars(section).items()
        if inspect.isfunction(function) and function.__module__ == section.__name__ and not name.startswith("_")
    }


def surface(kind):
    return {name: member for name, member in inspect.getmembers(kind, inspect.isfunction) if not name.startswith("_")}


def test_the_written_modules_are_what_the_calls_say():
    ended = subprocess.run(
        [sys.executable, "scripts/client_methods.py", "--check"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr


@pytest.mark.parametrize("kind", [NorthboundClient, AsyncNorthboundClient])
def test_every_call_is_a_method_with_the_same_parameters_and_words(kind):
    methods = surface(kind)
    assert set(methods) == set(declared()) | SENDERS_OWN
    for name, function in declared().items():
        _, *parameters = inspect.signature(methods[name]).parameters.values()
        assert parameters == list(inspect.signature(function).parameters.values())
        assert inspect.getdoc(methods[name]) == inspect.getdoc(function)


def test_both_clients_are_made_alike_and_end_alike():
    for name in ("__init__", *SENDERS_OWN):
        one, other = (inspect.signature(getattr(kind, name)) for kind in (NorthboundClient, AsyncNorthboundClient))
        assert list(one.parameters.values()) == list(other.parameters.values())
        assert inspect.getdoc(getattr(NorthboundClient, name)) == inspect.getdoc(getattr(AsyncNorthboundClient, name))
