"""Upgrade tasks as an operator sees and stops them."""
