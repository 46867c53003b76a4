"""An HTTP server of the standard library. PORT says where it listens."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

asked = 0
lock = threading.Lock()


class Server(ThreadingHTTPServer):
    request_queue_size = 128
    daemon_threads = False  # server_close waits for those that still answer


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        if self.path == "/count":
            self.answer(str(asked))
        elif self.path == "/events":
            self.events()
        else:
            self.echo()

    def do_POST(self):
        self.echo()

    def events(self):
        """Sends five events, each as it happens."""
        self.count()
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")  # the end of the answer
        self.end_headers()
        for n in range(1, 6):
            self.wfile.write(f"data: {n}\n\n".encode())
            self.wfile.flush()
            time.sleep(0.05)
        self.close_connection = True

    def echo(self):
        self.count()
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.answer(
            json.dumps(
                {
                    "method": self.command,
                    "path": self.path,
                    "caller": self.headers.get("X-Postern-Key-Id"),
                    "credential": self.headers.get("Authorization"),
                    "body": body.decode("utf-8", "replace"),
                }
            ),
            "application/json",
        )

    def count(self):
        global asked
        with lock:
            asked += 1

    def answer(self, text, kind="text/plain"):
        body = text.encode()
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format, *args):
        print(f"{self.headers.get('X-Request-Id')} {format % args}")


if __name__ == "__main__":
    server = Server((os.environ.get("HOST", "127.0.0.1"), int(os.environ.get("PORT", "8080"))), Handler)
    # serve_forever runs here, so it has to be ended from another thread.
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(poll_interval=0.05)
    server.server_close()
