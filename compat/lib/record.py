#!/usr/bin/env python3
"""Records what a real client says to the server and what it hears: the goldens of tests/wire/.

    record.py CLIENT...      runs compat/CLIENT/run.sh against a server of its own, with a proxy in between that passes
                             every byte on unchanged, and writes tests/wire/goldens/CLIENT.txt

One exchange a line, in the order in which they were asked; bytes in base64:

    kafka CONNECTION REQUEST ANSWER     a frame without its length; the answer is `-` where there was none (acks=0)
    http1 CONNECTION REQUEST ANSWER     head and body
    http2 CONNECTION SENT HEARD         everything one connection said, both ways

Only a few exchanges of each kind are kept, small ones first: a kind is an API, its version and, for records, their
codec; or an operation, the members it was given and what became of it. Nothing is made up and nothing is edited.
"""

import base64
import json
import os
import pathlib
import socket
import subprocess
import sys
import tempfile
import threading

from broker import LIB, ROOT, Server, free_ports

LIMIT_BYTES = 6 << 10
KEPT = 2
HTTP2_KEPT = 14
PRODUCE = 0
CODECS = ["none", "gzip", "snappy", "lz4", "zstd"]


class Tape:
    """Everything that was said, in the order in which it began."""

    def __init__(self):
        self.lock = threading.Lock()
        self.connections = 0
        self.exchanges = []  # [form, connection, kind, asked, heard]

    def connection(self):
        with self.lock:
            self.connections += 1
            return self.connections

    def asked(self, form, connection, kind, request):
        exchange = [form, connection, kind, request, None]
        with self.lock:
            self.exchanges.append(exchange)
        return exchange

    def chosen(self):
        """A few of each kind: the first, then the smallest that has another length."""
        kinds = {}
        for place, (form, _, kind, asked, heard) in enumerate(self.exchanges):
            silent = form == "kafka" and kind[0] == PRODUCE
            if kind is None or (heard is None and not silent):
                continue
            if len(asked) <= LIMIT_BYTES and len(heard or b"") <= LIMIT_BYTES:
                kinds.setdefault((form, kind), []).append((len(asked), place))
        places = set()
        for (form, kind), found in kinds.items():
            kept = HTTP2_KEPT if form == "http2" else 1 if kind[0] == PRODUCE else KEPT
            if form != "http2":
                places.add(min(place for _, place in found))
            by_length = {}
            for length, place in sorted(found):
                by_length.setdefault(length, place)
            for place in by_length.values():
                if len(places & {place for _, place in found}) < kept:
                    places.add(place)
        return [self.exchanges[place] for place in sorted(places)]

    def write(self, path, client):
        text = lambda data: base64.b64encode(data).decode() if data is not None else "-"
        lines = [f"# {client}. Recorded by compat/lib/record.py, which says what this is.\n"]
        for form, connection, _, asked, heard in self.chosen():
            lines.append(f"{form} {connection} {text(asked)} {text(heard)}\n")
        path.write_text("".join(lines))
        return len(lines) - 1


def codec(frame):
    """The codec of the first batch in a Produce request: its magic stands 16 bytes in, its attributes 21."""
    for at in range(len(frame) - 61):
        length = int.from_bytes(frame[at + 8 : at + 12], "big", signed=True)
        if frame[at : at + 8] == bytes(8) and frame[at + 16] == 2 and 49 <= length <= len(frame) - at - 12:
            return CODECS[frame[at + 22] & 7]
    return "nothing"


class Frames:
    """Kafka frames of one connection, both ways."""

    def __init__(self, tape):
        self.tape = tape
        self.number = tape.connection()
        self.buffers = {"up": b"", "down": b""}
        self.waiting = {}

    def feed(self, way, data):
        self.buffers[way] += data
        while len(self.buffers[way]) >= 4:
            length = int.from_bytes(self.buffers[way][:4], "big")
            if len(self.buffers[way]) < 4 + length:
                return
            frame, self.buffers[way] = self.buffers[way][4 : 4 + length], self.buffers[way][4 + length :]
            if way == "up":
                key, version = int.from_bytes(frame[:2], "big"), int.from_bytes(frame[2:4], "big")
                kind = (key, version, codec(frame)) if key == PRODUCE else (key, version)
                self.waiting[frame[4:8]] = self.tape.asked("kafka", self.number, kind, frame)
            else:
                self.waiting.pop(frame[:4])[4] = frame

    def end(self):
        pass


class Http:
    """HTTP of one connection: HTTP/1.1 as exchanges, HTTP/2 as a whole."""

    def __init__(self, tape):
        self.tape = tape
        self.number = tape.connection()
        self.buffers = {"up": b"", "down": b""}
        self.waiting = []
        self.whole = None

    def feed(self, way, data):
        self.buffers[way] += data
        if way == "up" and self.whole is None and self.buffers["up"].startswith(b"PRI "):
            self.whole = self.tape.asked("http2", self.number, None, b"")
        if self.whole is not None:
            return
        while b"\r\n\r\n" in self.buffers[way]:
            head, _, rest = self.buffers[way].partition(b"\r\n\r\n")
            fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
            length = int(fields.get(b"content-length", 0))
            if len(rest) < length:
                return
            message = head + b"\r\n\r\n" + rest[:length]
            self.buffers[way] = rest[length:]
            if way == "up":
                self.waiting.append(self.tape.asked("http1", self.number, None, message))
            else:
                exchange = self.waiting.pop(0)
                exchange[4] = message
                exchange[2] = self.kind(exchange[3], message)

    def kind(self, asked, heard):
        """The operation, the members it was given, and what became of it."""
        head, _, body = asked.partition(b"\r\n\r\n")
        target = [line for line in head.split(b"\r\n") if line.lower().startswith(b"x-amz-target")]
        try:
            members = tuple(sorted(json.loads(body)))
        except ValueError:
            members = None
        status = heard.split(b" ", 2)[1]
        problem = json.loads(heard.partition(b"\r\n\r\n")[2]).get("__type") if status != b"200" else None
        return (bytes(b"".join(target)), members, status, problem)

    def end(self):
        if self.whole is not None:
            self.whole[2:] = [("connection",), self.buffers["up"], self.buffers["down"]]


def pump(way, source, target, listener, lock):
    try:
        while data := source.recv(1 << 16):
            with lock:
                listener.feed(way, data)
            target.sendall(data)
    except OSError:
        pass
    for side in (source, target):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def serve(port, target, make):
    """Passes every connection to `port` on to `target` and shows it to a listener of its own."""
    door = socket.create_server(("127.0.0.1", port))

    def one(client):
        server = socket.create_connection(target)
        for side in (client, server):
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener, lock = make(), threading.Lock()
        up = threading.Thread(target=pump, args=("up", client, server, listener, lock), daemon=True)
        up.start()
        pump("down", server, client, listener, lock)
        up.join()
        listener.end()

    def accept():
        while True:
            client, _ = door.accept()
            threading.Thread(target=one, args=(client,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()


def record(client):
    with tempfile.TemporaryDirectory() as home:
        kafka, kinesis = free_ports(2)
        server = Server(home, kind="interfluve", extra=["--kafka-advertised", f"127.0.0.1:{kafka}", "--num-partitions", "4"])
        # The proxy has taken the first ports it found free; the server's are others.
        server.ports = free_ports(8)[4:7]
        server.start()
        tape = Tape()
        try:
            serve(kafka, ("127.0.0.1", server.ports[0]), lambda: Frames(tape))
            serve(kinesis, ("127.0.0.1", server.ports[1]), lambda: Http(tape))
            env = os.environ | {
                "KAFKA": f"127.0.0.1:{kafka}", "KINESIS": f"http://127.0.0.1:{kinesis}", "DATA_DIR": str(server.data),
                # Results of a run through the proxy are no results of the client: they go elsewhere.
                "BROKER": "recorded",
            }  # fmt: skip
            subprocess.run(["bash", str(LIB.parent / client / "run.sh")], env=env)
        finally:
            server.stop()
        goldens = ROOT / "tests" / "wire" / "goldens" / f"{client}.txt"
        goldens.parent.mkdir(parents=True, exist_ok=True)
        print(f"{client}: {len(tape.exchanges)} exchanges seen, {tape.write(goldens, client)} kept")


if __name__ == "__main__":
    if len(sys.argv) < 2:
        raise SystemExit(__doc__)
    for name in sys.argv[1:]:
        record(name)
