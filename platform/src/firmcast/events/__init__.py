"""The seam between the halves: a durable, ordered log of what happened to each device."""
