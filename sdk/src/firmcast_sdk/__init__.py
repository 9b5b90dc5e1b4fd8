"""What an application installs to receive firmware-upgrade notifications and to call the northbound API."""

__version__ = "0.1.0"
