"""How a post reaches its callback: libcurl for every callback, connections of our own for those that answer many."""
