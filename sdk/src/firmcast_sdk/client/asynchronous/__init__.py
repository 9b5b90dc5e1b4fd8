"""The event-loop client's methods, one module for each section; written by `scripts/client_methods.py`."""
