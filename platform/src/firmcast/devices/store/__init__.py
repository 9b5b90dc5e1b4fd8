"""All SQL of this capability is in this folder, a module for each of its tables; nobody outside `devices` enters."""
