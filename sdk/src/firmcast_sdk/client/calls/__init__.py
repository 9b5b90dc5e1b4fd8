"""Pure: the calls of the northbound API, declared here and nowhere else, one module for each section.

A function that returns a `Call` or a `Paging` becomes a method of both clients, with its name, its parameters and its
docstring: `scripts/client_methods.py` writes them. What a caller passes are keywords; records are passed only where the
contract nests one in another.
"""
