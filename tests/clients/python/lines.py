"""What the drivers of the Python clients share: the lines that tests/clients/README.md describes."""

import json
import queue
import sys
import threading
import time

PATIENCE_SECONDS = 120
TURN_SECONDS = 0.05


class Refused(Exception):
    """An error with Kafka's code, where the client tells one."""

    def __init__(self, text, code):
        super().__init__(text)
        self.code = code


def decode(text):
    return None if text is None else bytes.fromhex(text)


def encode(data):
    return None if data is None else data.hex()


def decode_headers(record):
    return [(name, decode(value)) for name, value in record["headers"]]


def read_record(partition, offset, timestamp, key, value, headers):
    return {
        "partition": partition,
        "offset": offset,
        "timestamp": timestamp,
        "key": encode(key),
        "value": encode(value),
        "headers": [[name, encode(value)] for name, value in headers or []],
    }


class Driver:
    """A client's operations are methods named after them, taking the request and returning the answer's fields.

    `turn` reads what has come without waiting for more than a moment, and puts it into `self.records`. `member` tells
    whether a group counts on this process.
    """

    member = False

    def __init__(self, bootstrap):
        self.bootstrap = bootstrap
        self.records = []

    def read(self, request):
        deadline = time.monotonic() + PATIENCE_SECONDS
        while len(self.records) < request["count"] and time.monotonic() < deadline:
            self.turn()
        return self.drained()

    def drain(self, _request):
        self.turn()
        return self.drained()

    def drained(self):
        records, self.records = self.records, []
        return {"records": records}

    def answer(self, request):
        try:
            return {"ok": getattr(self, request["op"])(request) or {}}
        except Exception as error:  # Whatever a client raises is its answer.
            told = f"{type(error).__name__}: {error}"
            code = getattr(error, "code", None) if isinstance(error, Refused) else self.code(error)
            return {"error": told, "code": code}

    def code(self, _error):
        return None


def run(driver_class, version):
    driver = driver_class(sys.argv[1])
    lines = queue.Queue()

    def read_lines():
        for line in sys.stdin:
            lines.put(line)
        lines.put("")

    threading.Thread(target=read_lines, daemon=True).start()
    print(json.dumps({"ready": version}), flush=True)
    while True:
        try:
            line = lines.get(timeout=0.001 if driver.member else 1)
        except queue.Empty:
            if driver.member:
                driver.turn()
            continue
        if not line:
            driver.leave({})
            return
        print(json.dumps(driver.answer(json.loads(line))), flush=True)
