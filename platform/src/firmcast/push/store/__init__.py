"""All SQL of push is in this folder, a module for each of its tables or questions; nobody outside `push` enters."""
