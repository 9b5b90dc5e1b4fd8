"""Replays: history that is told to an application again, at a rate, beside what is told to it live."""
