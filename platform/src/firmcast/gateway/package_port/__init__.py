"""The ports at which devices fetch packages by HTTP and HTTPS."""
