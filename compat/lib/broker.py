#!/usr/bin/env python3
"""Starts, kills and stops the server under test; as a module (class Server) and as a command.

    broker.py start HOME     starts it; prints KAFKA=, KINESIS=, DATA_DIR=, PID= for a shell to read
    broker.py kill9 HOME     SIGKILL, and waits until it is gone
    broker.py restart HOME   starts it again on the same ports and data
    broker.py stop HOME      SIGTERM, then SIGKILL after 20 s

BROKER says which: interfluve (default), kafka-4.4 (the oracle), ferrokinesis. INTERFLUVE names our binary. Ports are
picked free once and kept, so a client finds a restarted server where it was. Only the process that was started here
is ever signalled, by its id.
"""

import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

LIB = pathlib.Path(__file__).resolve().parent
ROOT = LIB.parent.parent
CACHE = pathlib.Path(os.environ.get("COMPAT_CACHE", LIB.parent / ".cache"))
START_LIMIT_S = 60
STOP_LIMIT_S = 20


def free_ports(count):
    """Ports nobody listens on now, below the range the kernel hands out to clients (so none is taken meanwhile)."""
    found = []
    port = 10_000 + os.getpid() * 7 % 20_000
    while len(found) < count:
        port = 10_000 + (port + 1) % 20_000
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            found.append(port)
    return found


def binary():
    named = os.environ.get("INTERFLUVE")
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    path = pathlib.Path(named) if named else target / "release" / "interfluve"
    if not path.exists():
        raise SystemExit(f"{path} is not there: cargo build --release first")
    return str(path)


class Server:
    """One server process with its folder `home`: data, log, ports."""

    def __init__(self, home, kind=None, extra=()):
        self.home = pathlib.Path(home).resolve()
        self.kind = kind or os.environ.get("BROKER", "interfluve")
        self.extra = list(extra) or os.environ.get("BROKER_ARGS", "").split()
        self.data = self.home / "data"
        self.log = self.home / "broker.log"
        self.child = None
        saved = self.home / "state.json"
        if saved.exists():
            state = json.loads(saved.read_text())
            self.kind, self.ports, self.pid, self.extra = state["kind"], state["ports"], state["pid"], state["extra"]
        else:
            self.home.mkdir(parents=True, exist_ok=True)
            self.ports, self.pid = free_ports(3), None

    @property
    def kafka(self):
        return "" if self.kind == "ferrokinesis" else f"127.0.0.1:{self.ports[0]}"

    @property
    def kinesis(self):
        return "" if self.kind == "kafka-4.4" else f"http://127.0.0.1:{self.ports[1]}"

    # ── starting ────────────────────────────────────────────────────────────────────────────────────────────────

    def start(self, wait=True):
        """Starts it and (unless told not to) waits until it is ready; returns the seconds that took."""
        command = {"interfluve": self._ours, "kafka-4.4": self._kafka, "ferrokinesis": self._ferrokinesis}[self.kind]()
        began = time.monotonic()
        out = self.home / "stdout"
        with open(out, "wb") as stdout, open(self.log, "ab") as log:
            log.write(f"--- start: {' '.join(command)[-400:]}\n".encode())
            log.flush()
            self.child = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=stdout, stderr=log, start_new_session=True, cwd=self.home
            )
        self.pid = self.child.pid
        self._save()
        while wait and not self._ready(out):
            if self.child.poll() is not None:
                raise RuntimeError(f"{self.kind} ended with {self.child.returncode} at start; see {self.log}:\n{self.tail()}")
            if time.monotonic() - began > START_LIMIT_S:
                self.kill9()
                raise RuntimeError(f"{self.kind} was not ready in {START_LIMIT_S} s; see {self.log}:\n{self.tail()}")
            time.sleep(0.005)
        return time.monotonic() - began

    def _ours(self):
        own = [] if "--kafka-listeners" in self.extra else ["--kafka-listeners", f"127.0.0.1:{self.ports[0]}"]
        return [
            binary(),
            "serve",
            "--data-dir", str(self.data),
            *own,
            "--aws-listen", f"127.0.0.1:{self.ports[1]}",
            "--ready-json",
            *self.extra,
        ]  # fmt: skip

    def _kafka(self):
        """Kafka as it comes: its defaults, with the replication that a single node needs."""
        jars = str(CACHE / "maven" / "kafka-4.4" / "*")
        config = self.home / "server.properties"
        java = ["java", "-cp", jars, "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        if not config.exists():
            kafka, _, controller = self.ports
            settings = {
                "process.roles": "broker,controller",
                "node.id": 1,
                "controller.quorum.voters": f"1@127.0.0.1:{controller}",
                "listeners": f"PLAINTEXT://127.0.0.1:{kafka},CONTROLLER://127.0.0.1:{controller}",
                "advertised.listeners": f"PLAINTEXT://127.0.0.1:{kafka}",
                "controller.listener.names": "CONTROLLER",
                "log.dirs": self.data,
                "offsets.topic.replication.factor": 1,
                "transaction.state.log.replication.factor": 1,
                "transaction.state.log.min.isr": 1,
                "share.coordinator.state.topic.replication.factor": 1,
                "share.coordinator.state.topic.min.isr": 1,
                "group.initial.rebalance.delay.ms": 0,
            }
            settings |= dict(entry.split("=", 1) for entry in self.extra)
            config.write_text("".join(f"{key}={value}\n" for key, value in settings.items()))
            with open(self.log, "ab") as log:
                tool = [*java, "kafka.tools.StorageTool"]
                uuid = subprocess.run([*tool, "random-uuid"], stdout=subprocess.PIPE, stderr=log, check=True, text=True)
                subprocess.run(
                    [*tool, "format", "-t", uuid.stdout.split()[-1], "-c", str(config)], stdout=log, stderr=log, check=True
                )
        heap = os.environ.get("KAFKA_HEAP", "1g")
        return [*java, f"-Xmx{heap}", f"-Xms{heap}", "-XX:+UseG1GC", "kafka.Kafka", str(config)]

    def _ferrokinesis(self):
        named = os.environ.get("FERROKINESIS_BIN", str(CACHE / "cargo" / "bin" / "ferrokinesis"))
        return [named, "serve", "--port", str(self.ports[1]), *self.extra]

    def _ready(self, out):
        if self.kind == "interfluve":
            for line in out.read_text(errors="replace").splitlines():
                if line.startswith("{"):
                    self.ready_line = json.loads(line)
                    return True
            return False
        port = self.ports[0] if self.kind == "kafka-4.4" else self.ports[1]
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    # ── ending ──────────────────────────────────────────────────────────────────────────────────────────────────

    def alive(self):
        if self.pid is None:
            return False
        if self.child is not None:
            return self.child.poll() is None
        try:
            return pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    def kill9(self):
        self._end(signal.SIGKILL)

    def stop(self):
        """Asks it to stop; returns its exit code if it was started by this object."""
        self._end(signal.SIGTERM)
        return self.child.returncode if self.child else None

    def _end(self, how):
        if not self.alive():
            return
        os.kill(self.pid, how)
        limit = time.monotonic() + STOP_LIMIT_S
        while self.alive():
            if time.monotonic() > limit:
                os.kill(self.pid, signal.SIGKILL)
                limit += STOP_LIMIT_S
            time.sleep(0.005)

    # ── watching ────────────────────────────────────────────────────────────────────────────────────────────────

    def cpu_s(self):
        """CPU-seconds of the process so far, user and system."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def written_bytes(self):
        """Bytes that the process has sent towards the disk so far (`write_bytes` of proc(5); root may read it)."""
        for line in pathlib.Path(f"/proc/{self.pid}/io").read_text().splitlines():
            if line.startswith("write_bytes:"):
                return int(line.split()[1])
        return 0

    def rss_mib(self):
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
        return 0.0

    def tail(self, lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])

    def _save(self):
        state = {"kind": self.kind, "ports": self.ports, "pid": self.pid, "extra": self.extra}
        (self.home / "state.json").write_text(json.dumps(state))


def main():
    verb, home = sys.argv[1:3]
    server = Server(home)
    if verb in ("start", "restart"):
        try:
            server.start()
        except RuntimeError as error:
            raise SystemExit(str(error))
        print(f"KAFKA={server.kafka}\nKINESIS={server.kinesis}\nDATA_DIR={server.data}\nPID={server.pid}")
    elif verb == "kill9":
        server.kill9()
    elif verb == "stop":
        server.stop()
    else:
        raise SystemExit(__doc__)


if __name__ == "__main__":
    main()
