"""A schema registry with the part of the Confluent v7 API that is used, and with the usual ways of failing."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class StubRegistry:
    """Context manager; `trouble` is None, or one of down, 500, wrong-id, no-json, proxy-404, huge."""

    def __init__(self, first_id: int = 1001) -> None:
        self.trouble: str | None = None
        self.schemas: dict[int, str] = {}
        self.subjects: dict[str, list[int]] = {}
        self.calls: list[str] = []
        self._next = first_id
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> "StubRegistry":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def add(self, subject: str, text: str) -> int:
        same = (number for number, known in self.schemas.items() if json.loads(known) == json.loads(text))
        number = next(same, None)
        if number is None:
            number, self._next = self._next, self._next + 1
            self.schemas[number] = text
        if number not in self.subjects.setdefault(subject, []):
            self.subjects[subject].append(number)
        return number

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        parts = path.strip("/").split("/")
        match method, parts:
            case "GET", ["schemas", "ids", number]:
                text = self.schemas.get(int(number))
                return (200, {"schema": text}) if text else (404, {"error_code": 40403, "message": "Schema not found"})
            case "POST", ["subjects", subject]:
                for number in self.subjects.get(subject, []):
                    if json.loads(self.schemas[number]) == json.loads(body["schema"]):
                        return 200, {"subject": subject, "id": number, "version": 1}
                return 404, {"error_code": 40401, "message": f"Subject '{subject}' not found."}
            case "POST", ["subjects", subject, "versions"]:
                if subject.startswith("refused"):
                    return 409, {"error_code": 409, "message": "incompatible with an earlier schema"}
                return 200, {"id": self.add(subject, body["schema"])}
        return 404, {"error_code": 404, "message": "no such path"}

    def _handler(stub) -> type[BaseHTTPRequestHandler]:  # noqa: N805
        class Handler(BaseHTTPRequestHandler):
            def _respond(self) -> None:
                length = int(self.headers.get("content-length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                stub.calls.append(f"{self.command} {self.path}")
                status, value = stub.answer(self.command, self.path, body)
                content = json.dumps(value).encode()
                match stub.trouble:
                    case "500":
                        status, content = 500, b'{"error_code": 50001, "message": "the store is away"}'
                    case "down":
                        self.close_connection = True
                        return
                    case "wrong-id":
                        content = json.dumps({"id": -7, "schema": 12}).encode()
                    case "no-json":
                        content = b"<html>hello</html>"
                    case "proxy-404":
                        status, content = 404, b"<html>not here</html>"
                    case "huge":
                        content = b" " * (2 << 20) + content
                self.send_response(status)
                self.send_header("content-length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _respond  # noqa: N815

            def log_message(self, *_: object) -> None:
                """Quiet."""

        return Handler
