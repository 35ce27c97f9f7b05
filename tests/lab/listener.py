# SPDX-License-Identifier: Apache-2.0
"""What servers of the lab that are written in Python have in common."""

import socket
import threading
import time

from . import namespaces


class Listener:
    """Listens on an address of the lab and calls serve(connection) for each connection, in a thread of its own. That the other side
    is gone is no error there. The connection is closed at its end, or when all stops."""

    def __init__(self, network, address, port, serve):
        self._serve = serve
        self._open = set()
        self._stopped = False
        self._listener = namespaces.listen_in(network, address, port)
        threading.Thread(target=self._accept, daemon=True).start()

    def stop(self):
        self._stopped = True
        # close() alone would leave the accepting thread asleep.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in list(self._open):
            connection.close()

    def _accept(self):
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                if self._stopped:
                    return
                time.sleep(0.1)  # a client that is gone already, or no descriptor for the moment
                continue
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection):
        self._open.add(connection)
        try:
            self._serve(connection)
        except OSError:
            pass
        finally:
            self._open.discard(connection)
            connection.close()
