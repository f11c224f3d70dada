"""Python runs this at start when its folder is on PYTHONPATH: no network but loopback."""

import pytest_socket

pytest_socket.socket_allow_hosts(["127.0.0.1", "::1", "localhost"], allow_unix_socket=True)
