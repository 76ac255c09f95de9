"""As much of an editor's side of the Debug Adapter Protocol as it takes to attach and look at where a program stops."""

import itertools
import json
import socket
import time

PATIENCE = 60.0


class Editor:
    """Attached to a debug adapter on loopback."""

    def __init__(self, port):
        limit = time.monotonic() + PATIENCE
        while True:
            try:
                self._socket = socket.create_connection(("127.0.0.1", port), timeout=PATIENCE)
                break
            except ConnectionRefusedError:
                assert time.monotonic() < limit, "nobody listens"
                time.sleep(0.05)
        self._file = self._socket.makefile("rb")
        self._numbers = itertools.count(1)
        self._events = []
        self.ask("initialize", {"adapterID": "test", "pathFormat": "path"})
        attached = self._send("attach", {"justMyCode": True})
        self.event("initialized")
        self.ask("setExceptionBreakpoints", {"filters": ["uncaught"]})
        self.ask("configurationDone")
        self._answer(attached)

    def ask(self, command, arguments=None):
        return self._answer(self._send(command, arguments))

    def event(self, name):
        while True:
            for one in self._events:
                if one["event"] == name:
                    self._events.remove(one)
                    return one.get("body", {})
            self._take(self._next())

    def variables(self, thread):
        """Give the name of the innermost frame where a thread stands, and its variables."""
        frame = self.ask("stackTrace", {"threadId": thread})["stackFrames"][0]
        scopes = self.ask("scopes", {"frameId": frame["id"]})["scopes"]
        found = self.ask("variables", {"variablesReference": scopes[0]["variablesReference"]})["variables"]
        return frame["name"], {one["name"]: one["value"] for one in found}

    def close(self):
        self._socket.close()

    def _send(self, command, arguments=None):
        number = next(self._numbers)
        body = json.dumps({"seq": number, "type": "request", "command": command, "arguments": arguments or {}}).encode()
        self._socket.sendall(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        return number

    def _answer(self, number):
        while True:
            message = self._next()
            if message["type"] == "response" and message["request_seq"] == number:
                assert message["success"], message
                return message.get("body", {})
            self._take(message)

    def _take(self, message):
        if message["type"] == "event":
            self._events.append(message)

    def _next(self):
        length = 0
        while (line := self._file.readline()) != b"\r\n":
            assert line, "the program has ended, or does not stop there"
            if line.lower().startswith(b"content-length:"):
                length = int(line.partition(b":")[2])
        return json.loads(self._file.read(length))
