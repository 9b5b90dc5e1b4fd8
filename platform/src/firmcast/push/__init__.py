"""Deliveries: every event to every subscription that wants it, at least once, in order of each device."""
