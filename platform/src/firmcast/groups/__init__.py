"""Device groups: devices that an application upgrades together."""
