"""Upgrade tasks, and the upgrade of each device as one pure state machine."""
