"""Applications: who may call us, with which secret and token."""
