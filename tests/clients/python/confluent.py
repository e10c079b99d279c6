"""Drives confluent-kafka, which has librdkafka inside."""

import confluent_kafka
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka import ConsumerGroupTopicPartitions
from confluent_kafka.admin import (
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
)

from lines import PATIENCE_SECONDS, TURN_SECONDS, Driver, Refused, decode, decode_headers, read_record, run


def refused(error):
    return Refused(str(error), error.code())


class Confluent(Driver):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.consumer = None
        self.admin = AdminClient({"bootstrap.servers": bootstrap})

    def code(self, error):
        return error.args[0].code() if isinstance(error, KafkaException) else None

    def create_topic(self, request):
        topic = NewTopic(request["topic"], num_partitions=request["partitions"], config=request["config"])
        self.one(self.admin.create_topics([topic]))

    def delete_topic(self, request):
        self.one(self.admin.delete_topics([request["topic"]]))

    def list_topics(self, _request):
        return {"topics": list(self.admin.list_topics(timeout=PATIENCE_SECONDS).topics)}

    def describe_topic(self, request):
        described = self.admin.list_topics(request["topic"], timeout=PATIENCE_SECONDS).topics[request["topic"]]
        if described.error:
            raise refused(described.error)
        return {"partitions": [number for number, at in described.partitions.items() if at.leader >= 0]}

    def create_partitions(self, request):
        self.one(self.admin.create_partitions([NewPartitions(request["topic"], request["partitions"])]))

    def describe_config(self, request):
        entries = self.one(self.admin.describe_configs([ConfigResource(ResourceType.TOPIC, request["topic"])]))
        return {"config": {name: entry.value for name, entry in entries.items()}}

    def alter_config(self, request):
        changes = [
            ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
            for name, value in request["config"].items()
        ]
        resource = ConfigResource(ResourceType.TOPIC, request["topic"], incremental_configs=changes)
        self.one(self.admin.incremental_alter_configs([resource]))

    def delete_records(self, request):
        before = TopicPartition(request["topic"], request["partition"], request["before"])
        self.one(self.admin.delete_records([before]))

    def list_groups(self, _request):
        listed = self.admin.list_consumer_groups().result(PATIENCE_SECONDS)
        if listed.errors:
            raise listed.errors[0]
        return {"groups": [group.group_id for group in listed.valid]}

    def describe_group(self, request):
        described = self.one(self.admin.describe_consumer_groups([request["group"]]))
        return {"state": described.state.name, "members": len(described.members)}

    def delete_group(self, request):
        self.one(self.admin.delete_consumer_groups([request["group"]]))

    def committed(self, request):
        asked = [ConsumerGroupTopicPartitions(request["group"])]
        told = self.one(self.admin.list_consumer_group_offsets(asked)).topic_partitions
        return {"offsets": {str(at.partition): at.offset for at in told}}

    @staticmethod
    def one(futures):
        (future,) = futures.values()
        return future.result(PATIENCE_SECONDS)

    def produce(self, request):
        settings = {
            "bootstrap.servers": self.bootstrap,
            "compression.type": request["compression"],
            "enable.idempotence": request["idempotent"],
            "message.max.bytes": request.get("max_bytes", 1_048_588),
            "message.timeout.ms": 60_000 if "transactional" in request else 180_000,
        }
        if "large_batches" in request:
            settings |= {"batch.num.messages": 100_000, "linger.ms": 500}
        if "transactional" in request:
            settings["transactional.id"] = request["transactional"]
        producer = Producer(settings)
        if "transactional" in request:
            producer.init_transactions(PATIENCE_SECONDS)
            producer.begin_transaction()
        records, failed = request["records"], []
        offsets = [None] * len(records)

        def report(index):
            def answered(error, message):
                if error is not None:
                    failed.append(error)
                else:
                    offsets[index] = message.offset()

            return answered

        for index, record in enumerate(records):
            self.send(producer, request["topic"], record, report(index))
            if (index + 1) % request.get("each", len(records)) == 0:
                producer.flush(PATIENCE_SECONDS)
        producer.flush(PATIENCE_SECONDS)
        if failed:
            raise refused(failed[0])
        if "transactional" in request:
            producer.commit_transaction()
        return {"offsets": offsets}

    @staticmethod
    def send(producer, topic, record, on_delivery):
        while True:
            try:
                producer.produce(
                    topic,
                    partition=record["partition"],
                    timestamp=record["timestamp"],
                    key=decode(record["key"]),
                    value=decode(record["value"]),
                    headers=decode_headers(record),
                    on_delivery=on_delivery,
                )
                producer.poll(0)
                return
            except BufferError:
                producer.poll(0.1)

    def open(self, more):
        self.leave({})
        self.consumer = Consumer(
            {
                "bootstrap.servers": self.bootstrap,
                "enable.auto.commit": False,
                "enable.partition.eof": False,
                "auto.offset.reset": "error",
                "check.crcs": True,
                **more,
            }
        )

    def assign(self, request):
        self.open({"group.id": "unused"})
        start, places = request["from"], []
        for number in request["partitions"]:
            place = TopicPartition(request["topic"], number, OFFSET_BEGINNING)
            if start == "latest":
                place.offset = self.consumer.get_watermark_offsets(place, PATIENCE_SECONDS)[1]
            elif start != "earliest":
                place.offset = start["timestamp"]
                (place,) = self.consumer.offsets_for_times([place], PATIENCE_SECONDS)
            places.append(place)
        self.consumer.assign(places)

    def seek(self, request):
        self.turn()
        self.records.clear()
        self.consumer.seek(TopicPartition(request["topic"], request["partition"], request["offset"]))

    def subscribe(self, request):
        more = {
            "group.id": request["group"],
            "auto.offset.reset": "earliest",
            "session.timeout.ms": request["session_ms"],
            "heartbeat.interval.ms": 500,
        }
        if "instance" in request:
            more["group.instance.id"] = request["instance"]
        self.open(more)
        self.consumer.subscribe([request["topic"]])
        self.member = True

    def commit(self, _request):
        self.consumer.commit(asynchronous=False)

    def turn(self):
        if self.consumer is None:
            return
        for message in self.consumer.consume(1000, TURN_SECONDS):
            if message.error():
                raise refused(message.error())
            self.records.append(
                read_record(
                    message.partition(),
                    message.offset(),
                    message.timestamp()[1],
                    message.key(),
                    message.value(),
                    message.headers(),
                )
            )

    def leave(self, _request):
        if self.consumer is not None:
            self.consumer.close()
        self.consumer, self.member = None, False
        self.records.clear()


run(Confluent, f"{confluent_kafka.__version__}, librdkafka {confluent_kafka.libversion()[0]}")
