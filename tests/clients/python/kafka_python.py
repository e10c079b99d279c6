"""Drives kafka-python."""

import kafka
from kafka import KafkaAdminClient, KafkaConsumer, KafkaProducer, TopicPartition
from kafka.admin import ConfigResource, ConfigResourceType
from kafka.errors import BrokerResponseError, for_code

from lines import PATIENCE_SECONDS, TURN_SECONDS, Driver, decode, decode_headers, read_record, run

PATIENCE_MS = PATIENCE_SECONDS * 1000


class KafkaPython(Driver):
    def __init__(self, bootstrap):
        super().__init__(bootstrap)
        self.consumer = None
        self.admin = KafkaAdminClient(bootstrap_servers=bootstrap)

    def code(self, error):
        return error.errno if isinstance(error, BrokerResponseError) else None

    def create_topic(self, request):
        options = {"num_partitions": request["partitions"], "configs": request["config"]}
        self.admin.create_topics({request["topic"]: options})

    def delete_topic(self, request):
        self.admin.delete_topics([request["topic"]])

    def list_topics(self, _request):
        return {"topics": self.admin.list_topics()}

    def describe_topic(self, request):
        (described,) = self.admin.describe_topics([request["topic"]])
        if described["error_code"]:
            raise for_code(described["error_code"])
        partitions = described["partitions"]
        return {"partitions": [at["partition_index"] for at in partitions if at["leader_id"] >= 0]}

    def create_partitions(self, request):
        self.admin.create_partitions({request["topic"]: request["partitions"]})

    def describe_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"])
        entries = self.admin.describe_configs([resource], config_filter="all")["topic"][request["topic"]]
        return {"config": {name: entry["value"] for name, entry in entries.items()}}

    def alter_config(self, request):
        resource = ConfigResource(ConfigResourceType.TOPIC, request["topic"], request["config"])
        told = self.admin.alter_configs([resource])["topic"][request["topic"]]
        if told != "OK":
            raise RuntimeError(told)

    def delete_records(self, request):
        place = TopicPartition(request["topic"], request["partition"])
        self.admin.delete_records({place: request["before"]})

    def list_groups(self, _request):
        return {"groups": [group["group_id"] for group in self.admin.list_groups()]}

    def describe_group(self, request):
        described = self.admin.describe_groups([request["group"]])[request["group"]]
        return {"state": described["group_state"], "members": len(described["members"])}

    def delete_group(self, request):
        told = self.admin.delete_groups([request["group"]])[request["group"]]
        if told != "OK":
            raise RuntimeError(told)

    def committed(self, request):
        told = self.admin.list_group_offsets(request["group"])[request["group"]]
        return {"offsets": {str(at.partition): committed.offset for at, committed in told.items()}}

    def produce(self, request):
        compression = request["compression"]
        producer = KafkaProducer(
            bootstrap_servers=self.bootstrap,
            compression_type=None if compression == "none" else compression,
            enable_idempotence=request["idempotent"],
            max_request_size=request.get("max_bytes", 1_048_588),
            max_block_ms=PATIENCE_MS,
            delivery_timeout_ms=180_000,
            transactional_id=request.get("transactional"),
        )
        try:
            if "transactional" in request:
                producer.init_transactions()
                producer.begin_transaction()
            offsets, sent = [], []
            for record in request["records"]:
                sent.append(self.send(producer, request["topic"], record))
                if len(sent) == request.get("each"):
                    offsets += [answer.get(PATIENCE_SECONDS).offset for answer in sent]
                    sent.clear()
            offsets += [answer.get(PATIENCE_SECONDS).offset for answer in sent]
            if "transactional" in request:
                producer.commit_transaction()
        finally:
            producer.close(5)
        return {"offsets": offsets}

    @staticmethod
    def send(producer, topic, record):
        return producer.send(
            topic,
            partition=record["partition"],
            timestamp_ms=record["timestamp"],
            key=decode(record["key"]),
            value=decode(record["value"]),
            headers=decode_headers(record),
        )

    def open(self, **more):
        self.leave({})
        settings = {"auto_offset_reset": "none", **more}
        self.consumer = KafkaConsumer(bootstrap_servers=self.bootstrap, enable_auto_commit=False, **settings)

    def assign(self, request):
        self.open()
        places = [TopicPartition(request["topic"], number) for number in request["partitions"]]
        self.consumer.assign(places)
        start = request["from"]
        if start == "earliest":
            self.consumer.seek_to_beginning(*places)
        elif start == "latest":
            self.consumer.seek_to_end(*places)
            for place in places:
                self.consumer.position(place)
        else:
            for place, found in self.consumer.offsets_for_times(dict.fromkeys(places, start["timestamp"])).items():
                self.consumer.seek(place, found.offset)

    def seek(self, request):
        self.records.clear()
        self.consumer.seek(TopicPartition(request["topic"], request["partition"]), request["offset"])

    def subscribe(self, request):
        self.open(
            group_id=request["group"],
            auto_offset_reset="earliest",
            session_timeout_ms=request["session_ms"],
            heartbeat_interval_ms=500,
            group_instance_id=request.get("instance"),
        )
        self.consumer.subscribe([request["topic"]])
        self.member = True

    def commit(self, _request):
        self.consumer.commit()

    def turn(self):
        if self.consumer is None:
            return
        for batch in self.consumer.poll(timeout_ms=int(TURN_SECONDS * 1000)).values():
            for at in batch:
                self.records.append(read_record(at.partition, at.offset, at.timestamp, at.key, at.value, at.headers))

    def leave(self, _request):
        if self.consumer is not None:
            self.consumer.close()
        self.consumer, self.member = None, False
        self.records.clear()


run(KafkaPython, kafka.__version__)
