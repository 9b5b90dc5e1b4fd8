"""Loaded before any other conftest: pytest names test modules after their folders, and `platform/` is one of them.

It imports the folder in place of the standard library's module of that name unless that module is loaded and looks
like a package; so it is made to look like an empty one.
"""

import platform

platform.__path__ = []  # type: ignore[attr-defined]  # the reason stands above
