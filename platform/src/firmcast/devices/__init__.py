"""Devices: who they are, their registration, and the commands that wait for them."""
