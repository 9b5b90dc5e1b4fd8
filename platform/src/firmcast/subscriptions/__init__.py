"""Subscriptions: which application wants which event, at which callback."""
