"""Why a device is where it is: what is known of it from the south and from the north, on one line of time."""
