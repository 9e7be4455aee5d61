"""Interpreters that end in the middle of traffic: no abort, no hang, no word."""

from __future__ import annotations

import itertools
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor

from conftest import LONG, python

#: How many end: of those that are started, and of those that are forked.
FRESH, FORKED = 20, 180

PROGRAM = """
import asyncio, os, sys, threading
import c_http_core

url, how, io_threads, moment = sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])

def leave():
    if how == "exit":
        sys.exit()
    if how == "error":
        raise SystemExit(0)
    if how == "_exit":
        os._exit(0)

async def traffic():
    global client
    client = c_http_core.AsyncClient(options={"io_threads": io_threads})
    async def one(path):
        while True:
            await client.get(url + path)
    async def streaming():
        global kept
        async with client.stream("GET", url + "/bytes/1000000000") as response:
            async for view in response.aiter_views():
                kept = view
    tasks = [asyncio.ensure_future(one(path)) for path in ("/", "/bytes/100000", "/chunked/50/100", "/hang")]
    tasks.append(asyncio.ensure_future(streaming()))
    await asyncio.sleep(moment)
    if how != "return":
        leave()
    for task in tasks:
        task.cancel()

def threads():
    sync = c_http_core.Client()
    def work(path):
        while True:
            sync.get(url + path)
    for path in ("/", "/bytes/100000", "/hang"):
        threading.Thread(target=work, args=(path,), daemon=True).start()

if how == "threads":
    threads()
asyncio.run(traffic())
"""


# Forks an interpreter for each case, which costs a tenth of starting one, and ends as completely.
DRIVER = """
import os, signal, sys, time
import asyncio, c_http_core

program, url, *words = sys.argv[1:]
code = compile(program, "program", "exec")
for number in range(0, len(words), 3):
    pid = os.fork()
    if pid == 0:
        sys.argv[1:] = [url, *words[number : number + 3]]
        signal.alarm(60)
        exec(code)
        break
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    if status != 0:
        print(words[number : number + 3], "ended with", status)
"""


def cases(count: int) -> list[list[str]]:
    """How it ends, whether the library has a thread, and after how many seconds of traffic."""
    hows = itertools.cycle(["exit", "return", "_exit", "threads"])
    return [[next(hows), str(n // 4 % 2), str(n % 7 * 0.004)] for n in range(count)]


def test_exits(url: str) -> None:
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for case, result in zip(cases(FRESH), pool.map(lambda case: python(PROGRAM, url, *case), cases(FRESH))):
            assert (result.returncode, result.stdout, result.stderr) == (0, "", ""), case


def test_exits_of_forked_interpreters(url: str) -> None:
    drivers = os.cpu_count() or 1

    def drive(number: int) -> subprocess.CompletedProcess[str]:
        words = [word for case in cases(FORKED)[number::drivers] for word in case]
        return python(DRIVER, PROGRAM, url, *words, timeout=10 * LONG)

    with ThreadPoolExecutor(drivers) as pool:
        for result in pool.map(drive, range(drivers)):
            assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
