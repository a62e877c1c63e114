"""Calls over Redis as small libraries in Python make them: a list of requests, a list of replies for
each caller, two commands on each side. Takes the arguments of the program that it stands in for, and
prints what that would."""

import argparse
import asyncio
import json
import os
import resource
import sys
import threading
import time

import redis
import redis.asyncio

REQUESTS = "echo"
WORKERS = 16
PATIENCE = 10


def serve(url):
    broker = redis.Redis.from_url(url)
    broker.ping()
    ready()
    while True:
        if popped := broker.blpop(REQUESTS, timeout=1):
            caller, payload = popped[1].split(b"\0", 1)
            broker.rpush(caller, payload)


async def serve_asyncio(url):
    broker = redis.asyncio.Redis.from_url(url)
    await broker.ping()
    ready()
    await asyncio.gather(*(work(broker) for _ in range(WORKERS)))


async def work(broker):
    while True:
        if popped := await broker.blpop(REQUESTS, timeout=1):
            caller, payload = popped[1].split(b"\0", 1)
            await broker.rpush(caller, payload)


def ready():
    """Says so, and ends this process when its standard input does."""
    print("ready", flush=True)
    threading.Thread(target=lambda: (sys.stdin.buffer.read(), os._exit(0)), daemon=True).start()


def call_repeatedly(broker, meter, position):
    caller = f"echo:{os.getpid()}:{position}"
    while meter.running:
        started = time.perf_counter_ns()
        broker.rpush(REQUESTS, caller.encode() + b"\0" + meter.payload)
        popped = broker.blpop(caller, timeout=PATIENCE)
        meter.count(position, started, popped)


def load(url, meter):
    broker = redis.Redis.from_url(url, max_connections=meter.in_flight + 1)
    callers = [
        threading.Thread(target=meter.failing(call_repeatedly), args=(broker, meter, position))
        for position in range(meter.in_flight)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()


async def call_repeatedly_asyncio(broker, meter, position):
    caller = f"echo:{os.getpid()}:{position}"
    while meter.running:
        started = time.perf_counter_ns()
        await broker.rpush(REQUESTS, caller.encode() + b"\0" + meter.payload)
        popped = await broker.blpop(caller, timeout=PATIENCE)
        meter.count(position, started, popped)


async def load_asyncio(url, meter):
    broker = redis.asyncio.Redis.from_url(url, max_connections=meter.in_flight + 1)
    callers = (call_repeatedly_asyncio(broker, meter, at) for at in range(meter.in_flight))
    await asyncio.gather(*callers)


class Meter:
    """Counts calls, and measures a window of them: see `meter.rs`."""

    def __init__(self, arguments):
        self.payload = bytes(position % 251 for position in range(arguments.size))
        self.in_flight = arguments.in_flight
        self.window = arguments.seconds
        self.servers = arguments.server_pid
        self.broker = arguments.broker_pid
        self.counters = redis.Redis.from_url(arguments.at)
        self.running = True
        self.recording = False
        # Of each caller, so that none waits for another.
        self.calls = [0] * self.in_flight
        self.latencies = [[] for _ in range(self.in_flight)]
        self.measured = None
        self.failure = None

    def count(self, position, started, popped):
        now = time.perf_counter_ns()
        if popped is None or popped[1] != self.payload:
            raise RuntimeError("the server answered with other bytes than it was sent, or not at all")
        self.calls[position] += 1
        if self.recording:
            self.latencies[position].append(now - started)

    def failing(self, work):
        """The same work, whose failure is that of the whole load."""

        def checked(*arguments):
            try:
                work(*arguments)
            except BaseException as failure:
                self.failure = self.failure or failure
                self.running = False

        return checked

    def watch(self):
        try:
            self.measured = self.measure()
        finally:
            self.running = False

    def measure(self):
        # Each caller has connected first.
        started = time.monotonic()
        while not all(self.calls):
            if time.monotonic() - started > PATIENCE or not self.running:
                raise RuntimeError(f"not every caller was answered within {PATIENCE} s")
            time.sleep(0.001)
        time.sleep(min(max(self.window / 4, 0.05), 0.5))

        before = self.readings()
        self.recording = True
        time.sleep(self.window)
        self.recording = False
        differences = [after - before for after, before in zip(self.readings(), before)]
        wall, calls, client, server, broker, commands = differences
        latencies = sorted(latency for own in self.latencies for latency in own)
        if not calls or not latencies:
            raise RuntimeError("no call was answered within the window")
        return {
            "calls": calls,
            "wall_seconds": wall,
            "p50_ns": latencies[len(latencies) // 2],
            "p99_ns": latencies[len(latencies) * 99 // 100],
            "client_processor_seconds": client,
            "server_processor_seconds": server,
            "broker_processor_seconds": broker,
            "broker_commands": commands,
        }

    def readings(self):
        return (
            time.monotonic(),
            sum(self.calls),
            processor_seconds(os.getpid()),
            sum(processor_seconds(server) for server in self.servers),
            processor_seconds(self.broker),
            self.counters.info("stats")["total_commands_processed"],
        )


def processor_seconds(process):
    """See `processor.rs`."""
    nanoseconds = 0
    for task in os.listdir(f"/proc/{process}/task"):
        with open(f"/proc/{process}/task/{task}/schedstat") as schedstat:
            nanoseconds += int(schedstat.read().split()[0])
    return nanoseconds / 1e9


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("command", choices=["serve", "load"])
    arguments.add_argument("peer", choices=["python", "python-asyncio"])
    arguments.add_argument("at")
    arguments.add_argument("--size", type=int)
    arguments.add_argument("--in-flight", type=int)
    arguments.add_argument("--seconds", type=float)
    arguments.add_argument("--server-pid", type=int, action="append")
    arguments.add_argument("--broker-pid", type=int)
    arguments = arguments.parse_args()
    # The same socket has another name here.
    arguments.at = arguments.at.replace("redis+unix:", "unix:")
    in_threads = arguments.peer == "python"

    if arguments.command == "serve":
        if in_threads:
            serve(arguments.at)
        else:
            asyncio.run(serve_asyncio(arguments.at))
        return

    # A connection for each caller.
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    meter = Meter(arguments)
    watcher = threading.Thread(target=meter.failing(meter.watch))
    watcher.start()
    if in_threads:
        load(arguments.at, meter)
    else:
        asyncio.run(load_asyncio(arguments.at, meter))
    watcher.join()
    if meter.failure:
        raise meter.failure
    print(json.dumps(meter.measured))


main()
