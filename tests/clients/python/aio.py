"""Drives aiokafka; its event loop runs in a thread of its own, so that it works between the requests too."""

import asyncio
import threading

import aiokafka
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic, RecordsToDelete
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import BrokerResponseError, for_code

from lines import PATIENCE_SECONDS, TURN_SECONDS, Driver, decode, decode_headers, read_record, run


def check(code):
    if code:
        raise for_code(code)


class AioKafka(Driver):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.consumer = None
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.admin = self.wait(self.open_admin())

    def wait(self, work):
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(3 * PATIENCE_SECONDS)

    async def open_admin(self):
        admin = AIOKafkaAdminClient(bootstrap_servers=self.bootstrap)
        await admin.start()
        return admin

    def code(self, error):
        return error.errno if isinstance(error, BrokerResponseError) else None

    def create_topic(self, request):
        topic = NewTopic(request["topic"], request["partitions"], 1, topic_configs=request["config"])
        for told in self.wait(self.admin.create_topics([topic])).topic_errors:
            check(told[1])

    def delete_topic(self, request):
        for told in self.wait(self.admin.delete_topics([request["topic"]])).topic_error_codes:
            check(told[1])

    def list_topics(self, _request):
        return {"topics": self.wait(self.admin.list_topics())}

    def describe_topic(self, request):
        (described,) = self.wait(self.admin.describe_topics([request["topic"]]))
        check(described["error_code"])
        return {"partitions": [at["partition"] for at in described["partitions"] if at["leader"] >= 0]}

    def create_partitions(self, request):
        more = {request["topic"]: NewPartitions(total_count=request["partitions"])}
        for told in self.wait(self.admin.create_partitions(more)).topic_errors:
            check(told[1])

    def describe_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"])
        ((code, _, _, _, entries),) = self.wait(self.admin.describe_configs([resource]))[0].resources
        check(code)
        return {"config": {entry[0]: entry[1] for entry in entries}}

    def alter_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"], request["config"])
        for told in self.wait(self.admin.alter_configs([resource]))[0].resources:
            check(told[0])

    def delete_records(self, request):
        place = TopicPartition(request["topic"], request["partition"])
        self.wait(self.admin.delete_records({place: RecordsToDelete(request["before"])}))

    def list_groups(self, _request):
        return {"groups": [group[0] for group in self.wait(self.admin.list_consumer_groups())]}

    def describe_group(self, request):
        ((code, _, state, _, _, members, *_),) = self.wait(
            self.admin.describe_consumer_groups([request["group"]])
        )[0].groups
        check(code)
        return {"state": state, "members": len(members)}

    def committed(self, request):
        told = self.wait(self.admin.list_consumer_group_offsets(request["group"]))
        return {"offsets": {str(at.partition): committed.offset for at, committed in told.items()}}

    def produce(self, request):
        return {"offsets": self.wait(self.produced(request))}

    async def produced(self, request):
        compression = request["compression"]
        producer = AIOKafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if compression == "none" else compression,
            acks="all",
            enable_idempotence=request["idempotent"],
            max_request_size=request.get("max_bytes", 1_048_588),
            request_timeout_ms=PATIENCE_SECONDS * 1000,
            transactional_id=request.get("transactional"),
        )
        await producer.start()
        try:
            if "transactional" in request:
                await producer.begin_transaction()
            offsets, sent = [], []
            for record in request["records"]:
                sent.append(await self.send(producer, request["topic"], record))
                if len(sent) == request.get("each"):
                    offsets += [(await answer).offset for answer in sent]
                    sent.clear()
            offsets += [(await answer).offset for answer in sent]
            if "transactional" in request:
                await producer.commit_transaction()
            return offsets
        finally:
            await producer.stop()

    @staticmethod
    async def send(producer, topic, record):
        return await producer.send(
            topic,
            partition=record["partition"],
            timestamp_ms=record["timestamp"],
            key=decode(record["key"]),
            value=decode(record["value"]),
            headers=decode_headers(record),
        )

    async def open(self, topics=(), **more):
        settings = {"auto_offset_reset": "none", **more}
        consumer = AIOKafkaConsumer(
            *topics, bootstrap_servers=self.bootstrap, enable_auto_commit=False, **settings
        )
        await consumer.start()
        return consumer

    def assign(self, request):
        self.leave({})
        self.consumer = self.wait(self.open())
        self.wait(self.begin(request))

    async def begin(self, request):
        places = [TopicPartition(request["topic"], number) for number in request["partitions"]]
        self.consumer.assign(places)
        start = request["from"]
        if start == "earliest":
            await self.consumer.seek_to_beginning(*places)
        elif start == "latest":
            await self.consumer.seek_to_end(*places)
        else:
            found = await self.consumer.offsets_for_times(dict.fromkeys(places, start["timestamp"]))
            for place, at in found.items():
                self.consumer.seek(place, at.offset)

    def seek(self, request):
        self.records.clear()
        self.consumer.seek(TopicPartition(request["topic"], request["partition"]), request["offset"])

    def subscribe(self, request):
        self.leave({})
        self.consumer = self.wait(
            self.open(
                [request["topic"]],
                group_id=request["group"],
                auto_offset_reset="earliest",
                session_timeout_ms=request["session_ms"],
                heartbeat_interval_ms=500,
                group_instance_id=request.get("instance"),
            )
        )
        self.member = True

    def commit(self, _request):
        self.wait(self.consumer.commit())

    def turn(self):
        if self.consumer is None:
            return
        for batch in self.wait(self.consumer.getmany(timeout_ms=int(TURN_SECONDS * 1000))).values():
            for at in batch:
                self.records.append(read_record(at.partition, at.offset, at.timestamp, at.key, at.value, at.headers))

    def leave(self, _request):
        if self.consumer is not None:
            self.wait(self.consumer.stop())
        self.consumer, self.member = None, False
        self.records.clear()


run(AioKafka, aiokafka.__version__)
