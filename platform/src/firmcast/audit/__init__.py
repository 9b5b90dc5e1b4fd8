"""Audit: who changed what, and when."""
