"""CoAP without I/O: datagrams and `now` go in, datagrams and events come out; only `udp` touches a socket."""
