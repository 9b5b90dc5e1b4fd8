"""Virtual LwM2M devices that upgrade over real UDP as real ones do, their oddities included."""
