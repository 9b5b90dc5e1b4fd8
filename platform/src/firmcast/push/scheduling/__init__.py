"""What the scheduler (`push/lanes.py`) is made of: lanes, turns, waits and limits. Nothing here does I/O."""
