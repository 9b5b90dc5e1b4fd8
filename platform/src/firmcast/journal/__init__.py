"""The journal: what passed between us and each device, and what was decided about it."""
