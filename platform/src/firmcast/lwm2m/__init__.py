"""What LwM2M says, as pure functions: bytes and text in, records out; nothing here knows the rest of Firmcast."""
