"""An API server that fails as told: for what a real one does only at its own time, such as forgetting old versions."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from kubernetes.client import Configuration

from wazir.controller.kubernetes.api import Api

Json = dict[str, Any]
Query = dict[str, str]
Answer = tuple[int, Any]
"""A status, and JSON; or a list of bytes, which are streamed one by one. After a CUT the connection breaks."""
CUT = b""
Script = Callable[[str, str, Query, Json], Answer]
"""From method, path, query and body."""


@contextmanager
def api_server(script: Script) -> Iterator[Api]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _answer(self) -> None:
            where = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(where.query).items()}
            size = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(size)) if size else {}
            status, answer = script(self.command, where.path, query, body)
            self.send_response(status)
            if not isinstance(answer, list):
                text = json.dumps(answer).encode()
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)
                return
            self.send_header("Transfer-Encoding", "chunked")
            self.end_headers()
            for part in [*answer, None]:
                if part == CUT:
                    self.close_connection = True
                    return
                self.wfile.write(b"%x\r\n%s\r\n" % (len(part or b""), part or b""))

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _answer  # noqa: N815 - the library's names

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Api(Configuration(host=f"http://127.0.0.1:{server.server_port}"))
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def lines(*events: Json) -> list[bytes]:
    return [json.dumps(event).encode() + b"\n" for event in events]


def status(code: int, words: str) -> Json:
    return {"kind": "Status", "message": words, "code": code}
