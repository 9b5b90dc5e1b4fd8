"""Firmware packages: what they are for, their digest, their bytes."""
