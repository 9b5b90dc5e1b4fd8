"""Administrators: who may manage the platform, and what each of them may do."""
