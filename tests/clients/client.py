"""Produces and consumes with confluent-kafka (librdkafka), driven by the tests in Rust.

    client.py produce BOOTSTRAP TOPIC FILE [SETTING=VALUE...]
    client.py consume BOOTSTRAP TOPIC PARTITION COUNT [SETTING=VALUE...]
    client.py group BOOTSTRAP TOPIC GROUP MEMBERS COUNT [SETTING=VALUE...]

`produce` sends the records of FILE, one a line: partition, timestamp, key, value, headers, separated by tabs. Bytes
are hexadecimal, `-` is null; headers are `name=value` separated by commas, their names hexadecimal too. Each
acknowledgement is a line `index partition offset`, written as it comes. `consume` reads by assignment from the first
offset and writes lines of the same form with the offset in front. `group` reads by subscription, with some members at
once, from where the group is, until they have COUNT records together; it commits what it read, and its members leave.
"""

import sys
import threading
import time

from confluent_kafka import Consumer, Producer, TopicPartition

PATIENCE_SECONDS = 120


def decode(text):
    return None if text == "-" else bytes.fromhex(text)


def encode(data):
    return "-" if data is None else data.hex()


def decode_headers(text):
    pairs = (pair.split("=") for pair in text.split(",") if pair)
    return [(bytes.fromhex(name).decode(), decode(value)) for name, value in pairs]


def encode_headers(headers):
    return ",".join(f"{name.encode().hex()}={encode(value)}" for name, value in headers or [])


def settings(arguments):
    return dict(argument.split("=", 1) for argument in arguments)


def produce(bootstrap, topic, file, *arguments):
    producer = Producer({"bootstrap.servers": bootstrap, "enable.idempotence": True, **settings(arguments)})
    failed = []

    def report(index):
        def answered(error, message):
            if error is not None:
                failed.append(f"record {index}: {error}")
            else:
                print(index, message.partition(), message.offset(), flush=True)

        return answered

    with open(file, encoding="ascii") as lines:
        for index, line in enumerate(lines):
            partition, timestamp, key, value, headers = line.rstrip("\n").split("\t")
            record = {
                "partition": int(partition),
                "timestamp": int(timestamp),
                "key": decode(key),
                "value": decode(value),
                "headers": decode_headers(headers),
                "on_delivery": report(index),
            }
            while True:
                try:
                    producer.produce(topic, **record)
                    break
                except BufferError:
                    producer.poll(0.1)
            producer.poll(0)
    left = producer.flush(PATIENCE_SECONDS)
    if failed or left:
        sys.exit(f"{left} records without an answer; {len(failed)} failed, the first: {failed[:1]}")


def show(message):
    print(
        message.offset(),
        message.partition(),
        message.timestamp()[1],
        encode(message.key()),
        encode(message.value()),
        encode_headers(message.headers()),
        sep="\t",
        flush=True,
    )


def group(bootstrap, topic, name, members, count, *arguments):
    lock = threading.Lock()
    left = int(count)
    failed = []

    def member():
        nonlocal left
        consumer = Consumer(
            {
                "bootstrap.servers": bootstrap,
                "group.id": name,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                **settings(arguments),
            }
        )
        consumer.subscribe([topic])
        until = time.monotonic() + PATIENCE_SECONDS
        while left > 0 and not failed:
            message = consumer.poll(0.2)
            if time.monotonic() > until:
                failed.append("too slow")
            if message is None:
                continue
            if message.error():
                failed.append(message.error())
                continue
            with lock:
                left -= 1
                show(message)
            consumer.commit(message, asynchronous=True)
        consumer.close()

    threads = [threading.Thread(target=member) for _ in range(int(members))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        sys.exit(f"{left} records left: {failed[:1]}")


def consume(bootstrap, topic, partition, count, *arguments):
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "unused",
            "enable.auto.commit": False,
            "auto.offset.reset": "error",
            "check.crcs": True,
            **settings(arguments),
        }
    )
    consumer.assign([TopicPartition(topic, int(partition), 0)])
    for read in range(int(count)):
        message = consumer.poll(PATIENCE_SECONDS)
        if message is None or message.error():
            sys.exit(f"after {read} records: {message and message.error()}")
        show(message)
    consumer.close()


if __name__ == "__main__":
    {"produce": produce, "consume": consume, "group": group}[sys.argv[1]](*sys.argv[2:])
