"""What the client in a device is, how it was seen to behave, and what follows from it for whoever drives it."""
