# SPDX-License-Identifier: Apache-2.0
"""A double of Mailpit: mail on port 1025; /readyz, /api/v1/messages and /api/v1/message/ID on port 8025."""

import email
import email.policy
import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import StreamRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import Any

MESSAGES: list[dict[str, Any]] = []


class Smtp(StreamRequestHandler):
    """One SMTP session (RFC 5321), as far as Alertmanager goes: no TLS, no authentication."""

    def handle(self) -> None:
        self._say("220 mailpit")
        recipients: list[str] = []
        sender = ""
        for line in self.rfile:
            command = line.decode("utf-8", "replace").strip()
            verb = command[:4].upper()
            if verb == "MAIL":
                sender, recipients = _address(command), []
            elif verb == "RCPT":
                recipients.append(_address(command))
            elif verb == "DATA":
                self._say("354 end with a dot")
                _keep(sender, recipients, self._data())
            self._say("221 bye" if verb == "QUIT" else "250 OK")
            if verb == "QUIT":
                return

    def _say(self, line: str) -> None:
        self.wfile.write(line.encode() + b"\r\n")

    def _data(self) -> bytes:
        lines = iter(self.rfile.readline, b".\r\n")
        return b"".join(line.removeprefix(b".") if line.startswith(b"..") else line for line in lines)


def _address(command: str) -> str:
    return command.partition("<")[2].partition(">")[0]


def _keep(sender: str, recipients: list[str], content: bytes) -> None:
    message = email.message_from_bytes(content, policy=email.policy.default)
    plain = message.get_body(("plain",))
    MESSAGES.append(
        {
            "ID": str(len(MESSAGES) + 1),
            "From": {"Name": "", "Address": sender},
            "To": [{"Name": "", "Address": each} for each in recipients],
            "Subject": message["Subject"],
            "Text": plain.get_content() if plain else "",
        }
    )


class Api(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        newest = MESSAGES[::-1]
        if self.path == "/api/v1/messages":
            listed = [{key: each[key] for key in each if key != "Text"} for each in newest]
            self._answer({"total": len(listed), "messages": listed})
        elif self.path.startswith("/api/v1/message/"):
            number = self.path.rpartition("/")[2]
            self._answer(next((each for each in newest if each["ID"] == number), None))
        else:
            self._answer("ok" if self.path in ("/readyz", "/livez") else None)

    def _answer(self, document: Any) -> None:
        body = json.dumps(document).encode()
        self.send_response(404 if document is None else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *arguments: object) -> None:
        pass


signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
Thread(target=ThreadingTCPServer(("0.0.0.0", 1025), Smtp).serve_forever, daemon=True).start()
ThreadingHTTPServer(("0.0.0.0", 8025), Api).serve_forever()
