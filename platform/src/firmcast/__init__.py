"""Upgrades the firmware of LwM2M devices and tells applications every step of it."""

__version__ = "0.1.0"
