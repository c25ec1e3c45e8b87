#!/usr/bin/env python3
"""Memory and CPU of very many Kafka connections: so many that are idle, and a tenth of them that ask.

    benches/peers/connections.py [COUNT]    default 10000; INTERFLUVE names the binary

Needs as many open files (`ulimit -n`), here and in the server.
"""

import asyncio
import pathlib
import struct
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "compat" / "lib"))

from broker import Server

COUNT = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
AT_ONCE = 200
ASKED = 20
BODY = struct.pack(">hhih", 18, 0, 7, 4) + b"idle"
API_VERSIONS = struct.pack(">i", len(BODY)) + BODY


async def ask(reader, writer):
    writer.write(API_VERSIONS)
    size = struct.unpack(">i", await reader.readexactly(4))[0]
    await reader.readexactly(size)


async def main(server):
    host, port = server.kafka.split(":")
    rss = lambda: int(next(l for l in open(f"/proc/{server.pid}/status") if l.startswith("VmRSS")).split()[1]) // 1024

    async def connect(n):
        # One address has fewer ports than there may be connections.
        pair = await asyncio.open_connection(host, int(port), local_addr=(f"127.0.0.{1 + n % 4}", 0))
        await ask(*pair)
        return pair

    before, pairs, began = rss(), [], time.monotonic()
    for n in range(0, COUNT, AT_ONCE):
        pairs += await asyncio.gather(*(connect(n + i) for i in range(min(AT_ONCE, COUNT - n))))
    print(f"{len(pairs)} connections in {time.monotonic() - began:.1f} s: memory {before} MiB before, {rss()} MiB with them")
    cpu = server.cpu_s()
    await asyncio.sleep(5)
    print(f"idle for 5 s: {server.cpu_s() - cpu:.2f} CPU-s")

    async def busy(pair):
        for _ in range(ASKED):
            await ask(*pair)

    cpu, began = server.cpu_s(), time.monotonic()
    await asyncio.gather(*(busy(pair) for pair in pairs[: COUNT // 10]))
    took = time.monotonic() - began
    print(f"{COUNT // 10} of them ask {ASKED} times: {took:.2f} s, {server.cpu_s() - cpu:.2f} CPU-s, memory {rss()} MiB")
    for _, writer in pairs:
        writer.close()


with tempfile.TemporaryDirectory(prefix="connections-") as home:
    server = Server(home, kind="interfluve")
    server.start()
    try:
        asyncio.run(main(server))
    finally:
        server.stop()
