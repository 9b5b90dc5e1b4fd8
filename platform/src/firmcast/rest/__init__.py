"""Manners that every HTTP interface of the platform shares: who asks, how errors look, how lists are paged."""
