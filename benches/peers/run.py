"""Runs the works of the peers bench and writes docs/performance.md; started by run.sh.

Each pair starts both sides on empty directories, one after the other. A work is a function that takes a running (or, for
the starts, a stopped) server and returns named figures. CPU is the server's own, from /proc/PID/stat, over the work alone.
"""

import argparse
import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

from broker import ROOT, Server

LOAD = os.environ["LOAD"]
PAGE = ROOT / "docs" / "performance.md"
BEGIN, END = "<!-- measured: begin -->", "<!-- measured: end -->"
GIB = 1 << 30


def load(work, server, **flags):
    """One call of the load generator; its figures."""
    arguments = [LOAD, work, "-server", server]
    for name, value in flags.items():
        arguments += [f"-{name}", str(value)]
    done = subprocess.run(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        raise RuntimeError(f"{work} {flags}: {done.stderr.strip()[-300:]}")
    return json.loads(done.stdout)


def with_cpu(server, per, work, *rest, **flags):
    """The load's figures with the server's CPU-seconds over it, divided by `per`."""
    before, written = server.cpu_s(), server.written_bytes()
    figures = load(work, *rest, **flags)
    figures["cpu"] = (server.cpu_s() - before) / per
    if work == "produce":
        # Bytes to the disk for each byte of values, as far as they were sent there before the load ended.
        figures["amplification"] = (server.written_bytes() - written) / (flags["mib"] << 20)
    return figures


def time_to_ack(server):
    """Starts the server and measures from the exec of its process to the first acknowledged produce."""
    waiting = subprocess.Popen(
        [LOAD, "first-ack", "-server", server.kafka, "-topic", "first"], stdout=subprocess.PIPE, text=True
    )
    time.sleep(0.2)  # the load generator is up and polling
    began = time.time_ns()
    server.start(wait=False)
    out, _ = waiting.communicate(timeout=90)
    return (json.loads(out)["acked_unix_ns"] - began) / 1e6


# ── the works, in the order in which a pair does them ───────────────────────────────────────────────────────────────


class Side:
    """One side of one pair: a server on an empty directory and what is measured with it."""

    def __init__(self, kind, options, home):
        self.kind, self.options, self.figures = kind, options, {}
        self.server = Server(home / kind, kind=kind)
        if kind == "kafka-4.4":
            self.server.start()  # formats the directory, which is no part of its start
            self.server.stop()

    def wants(self, work):
        return not self.options.only or work in self.options.only

    def measure(self, work, run):
        if not self.wants(work):
            return
        try:
            for name, value in run().items():
                self.figures[f"{work} {name}".strip()] = value
        except Exception as error:  # a work that fails is shown as such; the others go on
            print(f"  {self.kind} {work}: FAILED: {error}", file=sys.stderr, flush=True)
            self.figures[f"{work} failed"] = str(error)

    def run(self):
        server, mib = self.server, self.options.mib
        per_gib = mib / 1024
        self.measure("start", lambda: {"ms": time_to_ack(server)})
        if not server.alive():
            server.start()
        self.measure("idle", self.idle)
        kafka = server.kafka
        # A JVM is at its best only after a while: both sides are warmed up first, unmeasured.
        load("produce", kafka, topic="warm", partitions=12, mib=min(256, mib))
        self.measure("produce12", lambda: pick(with_cpu(server, per_gib, "produce", kafka, topic="p12", partitions=12, mib=mib)))
        self.measure("consume12", lambda: pick(with_cpu(server, per_gib, "consume", kafka, topic="p12", partitions=12, mib=mib)))
        self.measure("produce100", lambda: pick(with_cpu(server, per_gib, "produce", kafka, topic="p100", partitions=100, mib=mib)))
        self.measure("consume100", lambda: pick(with_cpu(server, per_gib, "consume", kafka, topic="p100", partitions=100, mib=mib)))
        self.measure("loaded", lambda: {"rss_mib": server.rss_mib()})
        if self.kind == "kafka-4.4":
            synced = {"topic": "synced", "partitions": 12, "mib": max(mib // 8, 16), "config": "flush.messages=1"}
            self.measure("synced12", lambda: pick(with_cpu(server, max(mib // 8, 16) / 1024, "produce", kafka, **synced)))
        else:
            self.measure("synced12", lambda: {n: self.figures[f"produce12 {n}"] for n in ("mb_per_s", "cpu")})
        seconds = self.options.seconds
        self.measure("e2e", lambda: pick(with_cpu(server, seconds / 1000, "e2e", kafka, topic="e2e", rate=1000, seconds=seconds, size=100)))
        relaxed = {"config": "flush.messages=1000000,flush.ms=1000"} if self.kind == "interfluve" else {}
        self.measure(
            "e2erelaxed", lambda: pick(load("e2e", kafka, topic="e2er", rate=1000, seconds=seconds, size=100, **relaxed))
        )
        self.measure("closed", lambda: pick(load("closed", kafka, topic="closed", partitions=1, seconds=seconds // 2 + 1, size=100)))
        # Kafka's controller refuses a request that makes more than 10,000 records.
        batch = 100 if self.kind == "kafka-4.4" else 1000
        self.measure("topics", lambda: pick(with_cpu(server, 1, "topics", kafka, topic="many", partitions=10, batch=batch)))
        server.stop()
        self.measure("restart", self.restart)
        server.stop()

    def idle(self):
        time.sleep(3)
        before = self.server.cpu_s()
        time.sleep(5)
        return {"cpu_ms_per_s": (self.server.cpu_s() - before) / 5 * 1000, "rss_mib": self.server.rss_mib()}

    def restart(self):
        """A directory of its own with 1 GiB in 100 logs; killed, started, and timed to the first acknowledged produce."""
        server = Server(self.server.home.parent / f"{self.kind}-restart", kind=self.kind)
        try:
            server.start()
            load("produce", server.kafka, topic="filled", partitions=100, mib=self.options.restart_mib)
            load("closed", server.kafka, topic="first", partitions=1, seconds=1)
            server.kill9()
            return {"ms": time_to_ack(server)}
        finally:
            server.kill9()
            shutil.rmtree(server.home, ignore_errors=True)


class PutSide:
    """PutRecords 500 × 100 B against one of the servers that speak Kinesis."""

    KINDS = {"interfluve": "interfluve", "ferrokinesis": "ferrokinesis", "ferrokinesis-durable": "ferrokinesis"}

    def __init__(self, name, options, home):
        self.kind, self.options, self.figures = name, options, {}
        state = home / f"{name}-state"
        extra = ["--state-dir", str(state)] if name == "ferrokinesis-durable" else []
        self.server = Server(home / name, kind=self.KINDS[name], extra=extra)

    def run(self):
        calls = self.options.put_calls // (20 if self.kind == "ferrokinesis-durable" else 1)
        try:
            self.server.start()
            load("put", self.server.kinesis, topic="warm", size=100, calls=max(calls // 10, 4))
            million = calls * 500 / 1e6
            figures = with_cpu(self.server, million, "put", self.server.kinesis, topic="put", size=100, calls=calls)
            self.figures = {f"put {name}": value for name, value in pick(figures).items()}
        except Exception as error:
            print(f"  {self.kind} put: FAILED: {error}", file=sys.stderr, flush=True)
        finally:
            self.server.kill9()


def pick(figures):
    return {name: value for name, value in figures.items() if name not in ("records", "seconds", "topics")}


# ── the table ───────────────────────────────────────────────────────────────────────────────────────────────────────

# (work, what it is called, figure, unit, target)
ROWS = [
    ("produce12 cpu", "produce 1 KiB × 12: server CPU", "CPU-s/GiB", "≤ ½ of Kafka"),
    ("produce12 mb_per_s", "produce 1 KiB × 12: throughput", "MB/s", "see below"),
    ("produce12 amplification", "produce 1 KiB × 12: bytes to the disk for each byte", "", ""),
    ("produce100 cpu", "produce 1 KiB × 100: server CPU", "CPU-s/GiB", "≤ ¼ of Kafka"),
    ("produce100 mb_per_s", "produce 1 KiB × 100: throughput", "MB/s", ""),
    ("synced12 mb_per_s", "produce × 12, Kafka with `flush.messages=1`", "MB/s", "≥ 3 × Kafka"),
    ("consume12 cpu", "consume 1 KiB × 12: server CPU", "CPU-s/GiB", "≤ 1.0 × Kafka"),
    ("consume12 mb_per_s", "consume 1 KiB × 12: throughput", "MB/s", ""),
    ("consume100 cpu", "consume 1 KiB × 100: server CPU", "CPU-s/GiB", ""),
    ("e2e p50_ms", "end to end at 1,000/s: p50", "ms", "≤ 1.5 × sync p50 + 1 ms"),
    ("e2e p99_ms", "end to end at 1,000/s: p99", "ms", "≤ 2 × sync p99 + 1 ms"),
    ("e2e cpu", "end to end at 1,000/s: server CPU", "CPU-ms per 1,000", ""),
    ("e2erelaxed p50_ms", "end to end, our sync relaxed: p50", "ms", "≤ Kafka"),
    ("e2erelaxed p99_ms", "end to end, our sync relaxed: p99", "ms", "≤ Kafka"),
    ("closed p50_ms", "closed loop, one client: p50", "ms", "≤ sync + 1 ms"),
    ("closed p99_ms", "closed loop, one client: p99", "ms", ""),
    ("start ms", "start to first acknowledged produce, empty", "ms", "≤ 100 ms"),
    ("restart ms", "restart after `kill -9`, {restart_mib} MiB in 100 logs", "ms", "≤ 500 ms"),
    ("idle rss_mib", "memory (RSS) when idle", "MiB", "≤ 25 MiB"),
    ("idle cpu_ms_per_s", "CPU when idle", "ms/s", ""),
    ("loaded rss_mib", "memory (RSS) after the load", "MiB", "≤ 256 MiB"),
    ("topics usable_s", "1,000 topics × 10 partitions, usable (one request; Kafka: ten)", "s", "≤ 2 s"),
]


def show(value):
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}"


def medians(runs):
    names = {name for run in runs for name, value in run.items() if isinstance(value, (int, float))}
    return {
        name: statistics.median(run[name] for run in runs if isinstance(run.get(name), (int, float))) for name in names
    }


def commit():
    """What is measured: asked for at the start, since the tree may move on meanwhile."""
    asked = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"], stdout=subprocess.PIPE, text=True)
    return asked.stdout.strip()


def table(results, disk, ceiling, options, commit):
    middle = {kind: medians(runs) for kind, runs in results.items()}
    ours, theirs = middle.get("interfluve", {}), middle.get("kafka-4.4", {})
    lines = [
        f"Measured {datetime.date.today()}, commit {commit}, `{options.command.strip()}`: medians of "
        f"{options.pairs} interleaved pairs, {options.mib} MiB a work. We sync before each ack; Kafka runs with its defaults "
        "(no sync). CPU is the server's own.",
        "",
        f"This disk: `fdatasync` after a 4 KiB append p50 {show(disk['sync_p50_ms'])} ms, p99 {show(disk['sync_p99_ms'])} ms; "
        f"synced sequential writes of 8 MiB {show(disk['synced_mb_per_s'])} MB/s. The load generator's own ceiling, beside a "
        f"server that only answers: {show(ceiling)} MB/s.",
        "",
        "| work | unit | interfluve | Kafka 4.4 | ratio | target |",
        "|---|---|--:|--:|--:|---|",
    ]
    for key, name, unit, target in ROWS:
        a, b = ours.get(key), theirs.get(key)
        if a is None and b is None:
            continue
        ratio = f"{a / b:.2f}" if a is not None and b else "–"
        lines.append(f"| {name.format(restart_mib=options.restart_mib)} | {unit} | {show(a)} | {show(b)} | {ratio} | {target} |")
    put = {kind: middle.get(kind, {}) for kind in ("put:interfluve", "put:ferrokinesis", "put:ferrokinesis-durable")}
    if any(put.values()):
        lines += [
            "",
            "| PutRecords 500 × 100 B, JSON over HTTP/1.1 | unit | interfluve | ferrokinesis (memory) | ratio | "
            "ferrokinesis durable | ratio |",
            "|---|---|--:|--:|--:|--:|--:|",
        ]
        rows = [("put cpu", "server CPU", "CPU-s per million"), ("put records_per_s", "rate", "records/s")]
        rows += [("put p50_ms", "p50 of a call", "ms"), ("put p99_ms", "p99 of a call", "ms")]
        for key, name, unit in rows:
            a, b, c = (figures.get(key) for figures in put.values())
            ratios = [f"{a / other:.3f}" if a is not None and other else "–" for other in (b, c)]
            lines.append(f"| {name} | {unit} | {show(a)} | {show(b)} | {ratios[0]} | {show(c)} | {ratios[1]} |")
    failed = sorted({f"{kind}: {name[:-7]}: {run[name]}" for kind, runs in results.items() for run in runs for name in run if name.endswith(" failed")})
    if failed:
        lines += ["", "Failed and therefore not shown:", "", *(f"- {text}" for text in failed)]
    return "\n".join(lines)


def write(text):
    page = PAGE.read_text() if PAGE.exists() else f"# Performance\n\n{BEGIN}\n{END}\n"
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}")
    print(f"wrote {PAGE.relative_to(ROOT)}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--mib", type=int, default=1024, help="MiB produced and consumed in each work")
    parser.add_argument("--restart-mib", type=int, default=1024)
    parser.add_argument("--seconds", type=int, default=15, help="of the end-to-end work")
    parser.add_argument("--put-calls", type=int, default=2000)
    parser.add_argument("--only", type=lambda text: text.split(","), default=[], help="works, e.g. produce12,e2e,put")
    parser.add_argument("--sides", type=lambda text: text.split(","), default=["interfluve", "kafka-4.4"])
    parser.add_argument("--command", default="benches/peers/run.sh")
    parser.add_argument("--print", action="store_true", help="print the table, leave docs/performance.md alone")
    options = parser.parse_args()
    results, measured = {}, commit()
    with tempfile.TemporaryDirectory(prefix="peers-") as folder:
        disk = load("disk", "", dir=folder)
        ceiling = statistics.median(load("ceiling", "", partitions=12, mib=options.mib)["mb_per_s"] for _ in range(5))
        print(f"disk: {disk}, generator: {ceiling}", flush=True)
        works = [(Side, options.sides, "")]
        if not options.only or "put" in options.only:
            names = [n for n in PutSide.KINDS if n != "interfluve" or "interfluve" in options.sides]
            works.append((PutSide, names, "put:"))
        if options.only == ["put"]:
            works = works[1:]
        for pair in range(options.pairs):
            for what, kinds, prefix in works:
                # ours, theirs, theirs, ours: a drift of the machine meets both alike
                for kind in kinds if pair % 2 == 0 else reversed(kinds):
                    home = pathlib.Path(folder) / f"{pair}-{prefix.strip(':')}-{kind}"
                    home.mkdir()
                    side = what(kind, options, home)
                    try:
                        side.run()
                    finally:
                        side.server.kill9()
                        shutil.rmtree(home, ignore_errors=True)
                    results.setdefault(prefix + kind, []).append(side.figures)
                    shown = {name: show(value) if isinstance(value, (int, float)) else value for name, value in side.figures.items()}
                    print(f"pair {pair + 1}, {prefix}{kind}: {json.dumps(shown)}", flush=True)
    text = table(results, disk, ceiling, options, measured)
    print(text) if options.print else write(text)


main()
