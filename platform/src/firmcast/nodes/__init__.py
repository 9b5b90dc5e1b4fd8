"""Nodes share one database: who is alive, and who has which share of the work."""
