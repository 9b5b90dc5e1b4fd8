"""One worker process of an application: takes pushes from a shared listening socket, and writes down what it does.

Usage: receiver_worker.py asgi|wsgi DESCRIPTOR STORE RECORD
"""

import os
import random
import socket
import socketserver
import sys
import threading
import wsgiref.simple_server
from datetime import timedelta

import uvicorn

from firmcast_sdk import Receiver, SqliteDeliveryStore


class QuietHandler(wsgiref.simple_server.WSGIRequestHandler):
    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, wsgiref.simple_server.WSGIServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """The sender gives connections up."""


def main():
    interface, descriptor, store, record = sys.argv[1:]
    receiver = Receiver(deduplicate=SqliteDeliveryStore(store, lease=timedelta(seconds=2)))
    # A line is one write to a file opened for appending: lines of all processes stand in the order of what they tell.
    file = os.open(record, os.O_WRONLY | os.O_APPEND | os.O_CREAT)

    def note(word, event):
        os.write(file, f"{word} {event.device_id} {event.sequence} {os.getpid()}\n".encode())

    def handle(event):
        note("begin", event)
        threading.Event().wait(random.random() / 50)  # the work of a handler, in which the process may be killed
        note("end", event)

    receiver.on_firmware_state(handle)
    receiver.on_firmware_result(handle)
    listener = socket.socket(fileno=int(descriptor))
    if interface == "asgi":
        server = uvicorn.Server(uvicorn.Config(receiver.asgi, log_config=None, ws="none", lifespan="off"))
        print("ready", flush=True)
        server.run(sockets=[listener])
    else:
        server = Server(("127.0.0.1", 0), QuietHandler, bind_and_activate=False)
        server.socket.close()
        server.socket = listener
        server.server_name, server.server_port = listener.getsockname()
        server.setup_environ()
        server.set_app(receiver.wsgi)
        print("ready", flush=True)
        server.serve_forever()


if __name__ == "__main__":
    main()
