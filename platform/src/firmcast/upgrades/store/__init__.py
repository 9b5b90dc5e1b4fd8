"""The tables of upgrades: tasks with their counts, and the upgrades of their devices."""
