"""The other way to receive: an application reads its events itself, and needs no address of its own."""
