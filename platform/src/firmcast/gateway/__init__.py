"""The southbound edge: LwM2M devices over CoAP."""
