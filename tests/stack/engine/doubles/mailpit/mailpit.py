# SPDX-License-Identifier: Apache-2.0
"""A double of Mailpit: mail on port 1025; /readyz, /api/v1/messages and /api/v1/message/ID on port 8025."""

import email
import email.policy
import json
import os
import signal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from aiosmtpd.controller import Controller

MESSAGES: list[dict[str, Any]] = []


class Catcher:
    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        message = email.message_from_bytes(envelope.content, policy=email.policy.default)
        plain = message.get_body(("plain",))
        MESSAGES.append(
            {
                "ID": str(len(MESSAGES) + 1),
                "From": {"Name": "", "Address": envelope.mail_from},
                "To": [{"Name": "", "Address": each} for each in envelope.rcpt_tos],
                "Subject": message["Subject"],
                "Text": plain.get_content() if plain else "",
            }
        )
        return "250 OK"


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
Controller(Catcher(), hostname="0.0.0.0", port=1025).start()
ThreadingHTTPServer(("0.0.0.0", 8025), Api).serve_forever()
