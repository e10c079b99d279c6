import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.concurrent.CompletionException;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.TimeUnit;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ApiException;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.protocol.Errors;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/** Drives Kafka's own client by the lines that {@code tests/clients/README.md} describes. */
public final class Driver {
    private static final Duration PATIENCE = Duration.ofSeconds(120);
    private static final Duration TURN = Duration.ofMillis(50);
    private static final HexFormat HEX = HexFormat.of();
    private static final ObjectMapper JSON = new ObjectMapper();

    private final String bootstrap;
    private final Admin admin;
    private final List<ConsumerRecord<byte[], byte[]>> read = new ArrayList<>();
    private KafkaConsumer<byte[], byte[]> consumer;
    private boolean member;

    private Driver(String bootstrap) {
        this.bootstrap = bootstrap;
        this.admin = Admin.create(properties());
    }

    public static void main(String[] arguments) throws Exception {
        PrintStream out = new PrintStream(System.out, false, StandardCharsets.UTF_8);
        Driver driver = new Driver(arguments[0]);
        LinkedBlockingQueue<String> lines = new LinkedBlockingQueue<>();
        Thread reader = new Thread(() -> readLines(lines));
        reader.setDaemon(true);
        reader.start();
        Properties release = new Properties();
        release.load(Driver.class.getResourceAsStream("/kafka/kafka-version.properties"));
        answer(out, JSON.createObjectNode().put("ready", release.getProperty("version")));
        while (true) {
            String line = lines.poll(driver.member ? 0 : 1000, TimeUnit.MILLISECONDS);
            if (line == null) {
                driver.turn();
            } else if (line.isEmpty()) {
                driver.leave();
                System.exit(0);
            } else {
                answer(out, driver.carryOut(JSON.readTree(line)));
            }
        }
    }

    /** Puts the lines of the standard input into the queue, and an empty one behind the last. */
    private static void readLines(LinkedBlockingQueue<String> lines) {
        try (var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line = in.readLine(); line != null; line = in.readLine()) {
                lines.add(line);
            }
        } catch (java.io.IOException error) {
            error.printStackTrace();
        }
        lines.add("");
    }

    private static void answer(PrintStream out, ObjectNode answer) {
        out.println(answer);
        out.flush();
    }

    private ObjectNode carryOut(JsonNode request) {
        try {
            return JSON.createObjectNode().set("ok", perform(request));
        } catch (Exception error) {
            Throwable cause = error;
            while ((cause instanceof ExecutionException || cause instanceof CompletionException
                || !(cause instanceof ApiException)) && cause.getCause() != null) {
                cause = cause.getCause();
            }
            ObjectNode refused = JSON.createObjectNode().put("error", cause.toString());
            return cause instanceof ApiException api ? refused.put("code", Errors.forException(api).code()) : refused;
        }
    }

    private JsonNode perform(JsonNode request) throws Exception {
        String topic = request.path("topic").asText();
        switch (request.get("op").asText()) {
            case "create_topic" -> {
                var created = new NewTopic(topic, Optional.of(request.get("partitions").asInt()), Optional.empty());
                await(admin.createTopics(List.of(created.configs(texts(request.get("config"))))).all());
            }
            case "delete_topic" -> await(admin.deleteTopics(List.of(topic)).all());
            case "list_topics" -> {
                return JSON.createObjectNode().set("topics", JSON.valueToTree(await(admin.listTopics().names())));
            }
            case "describe_topic" -> {
                var described = await(admin.describeTopics(List.of(topic)).allTopicNames()).get(topic);
                List<Integer> led = described.partitions().stream()
                    .filter(partition -> partition.leader() != null).map(partition -> partition.partition()).toList();
                return JSON.createObjectNode().set("partitions", JSON.valueToTree(led));
            }
            case "create_partitions" -> await(admin.createPartitions(
                Map.of(topic, NewPartitions.increaseTo(request.get("partitions").asInt()))).all());
            case "describe_config" -> {
                return describeConfig(topic);
            }
            case "alter_config" -> alterConfig(topic, texts(request.get("config")));
            case "delete_records" -> await(admin.deleteRecords(Map.of(
                new TopicPartition(topic, request.get("partition").asInt()),
                RecordsToDelete.beforeOffset(request.get("before").asLong()))).all());
            case "list_groups" -> {
                var groups = await(admin.listGroups().all()).stream().map(group -> group.groupId()).toList();
                return JSON.createObjectNode().set("groups", JSON.valueToTree(groups));
            }
            case "describe_group" -> {
                String group = request.get("group").asText();
                var described = await(admin.describeConsumerGroups(List.of(group)).all()).get(group);
                return JSON.createObjectNode().put("state", described.groupState().toString())
                    .put("members", described.members().size());
            }
            case "delete_group" ->
                await(admin.deleteConsumerGroups(List.of(request.get("group").asText())).all());
            case "committed" -> {
                return committed(request.get("group").asText());
            }
            case "produce" -> {
                return produce(topic, request);
            }
            case "assign" -> assign(topic, request);
            case "seek" -> {
                read.clear();
                consumer.seek(new TopicPartition(topic, request.get("partition").asInt()),
                    request.get("offset").asLong());
            }
            case "read" -> {
                return readUntil(request.get("count").asInt());
            }
            case "subscribe" -> subscribe(topic, request);
            case "drain" -> {
                turn();
                return drained();
            }
            case "commit" -> consumer.commitSync(PATIENCE);
            case "leave" -> leave();
            default -> throw new IllegalArgumentException("unknown operation");
        }
        return JSON.createObjectNode();
    }

    private JsonNode describeConfig(String topic) throws Exception {
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        ObjectNode config = JSON.createObjectNode();
        await(admin.describeConfigs(List.of(resource)).all()).get(resource).entries()
            .forEach(entry -> config.put(entry.name(), entry.value()));
        return JSON.createObjectNode().set("config", config);
    }

    private void alterConfig(String topic, Map<String, String> config) throws Exception {
        Collection<AlterConfigOp> changes = new ArrayList<>();
        config.forEach((name, value) ->
            changes.add(new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET)));
        ConfigResource resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        await(admin.incrementalAlterConfigs(Map.of(resource, changes)).all());
    }

    private JsonNode committed(String group) throws Exception {
        ObjectNode offsets = JSON.createObjectNode();
        await(admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata()).forEach((partition, offset) ->
            offsets.put(Integer.toString(partition.partition()), offset.offset()));
        return JSON.createObjectNode().set("offsets", offsets);
    }

    private JsonNode produce(String topic, JsonNode request) throws Exception {
        Properties properties = properties();
        properties.put("compression.type", request.get("compression").asText());
        properties.put("enable.idempotence", request.get("idempotent").asText());
        properties.put("delivery.timeout.ms", "180000");
        properties.put("max.block.ms", "120000");
        if (request.has("large_batches")) {
            properties.put("batch.size", "1000000");
            properties.put("linger.ms", "500");
        }
        if (request.has("max_bytes")) {
            properties.put("max.request.size", request.get("max_bytes").asText());
        }
        if (request.has("transactional")) {
            properties.put("transactional.id", request.get("transactional").asText());
        }
        int each = request.path("each").asInt(Integer.MAX_VALUE);
        ArrayNode offsets = JSON.createArrayNode();
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer())) {
            if (request.has("transactional")) {
                producer.initTransactions();
                producer.beginTransaction();
            }
            List<Future<RecordMetadata>> sent = new ArrayList<>();
            for (JsonNode record : request.get("records")) {
                sent.add(producer.send(record(topic, record)));
                if (sent.size() == each) {
                    collect(sent, offsets);
                }
            }
            producer.flush();
            collect(sent, offsets);
            if (request.has("transactional")) {
                producer.commitTransaction();
            }
        }
        return JSON.createObjectNode().set("offsets", offsets);
    }

    private static void collect(List<Future<RecordMetadata>> sent, ArrayNode offsets) throws Exception {
        for (Future<RecordMetadata> answer : sent) {
            offsets.add(answer.get().offset());
        }
        sent.clear();
    }

    private void assign(String topic, JsonNode request) {
        leave();
        consumer = consumer(properties());
        List<TopicPartition> partitions = new ArrayList<>();
        request.get("partitions").forEach(number -> partitions.add(new TopicPartition(topic, number.asInt())));
        consumer.assign(partitions);
        JsonNode from = request.get("from");
        if (from.has("timestamp")) {
            Map<TopicPartition, Long> times = new HashMap<>();
            partitions.forEach(partition -> times.put(partition, from.get("timestamp").asLong()));
            consumer.offsetsForTimes(times).forEach((partition, found) -> consumer.seek(partition, found.offset()));
        } else if (from.asText().equals("latest")) {
            consumer.seekToEnd(partitions);
            partitions.forEach(consumer::position);
        } else {
            consumer.seekToBeginning(partitions);
        }
    }

    private void subscribe(String topic, JsonNode request) {
        leave();
        Properties properties = properties();
        properties.put("group.id", request.get("group").asText());
        properties.put("auto.offset.reset", "earliest");
        properties.put("session.timeout.ms", request.get("session_ms").asText());
        properties.put("heartbeat.interval.ms", "500");
        if (request.has("instance")) {
            properties.put("group.instance.id", request.get("instance").asText());
        }
        consumer = consumer(properties);
        consumer.subscribe(List.of(topic));
        member = true;
    }

    private JsonNode readUntil(int count) {
        long deadline = System.nanoTime() + PATIENCE.toNanos();
        while (read.size() < count && System.nanoTime() < deadline) {
            turn();
        }
        return drained();
    }

    /** Polls once, if there is a consumer. */
    private void turn() {
        if (consumer != null) {
            consumer.poll(TURN).forEach(read::add);
        }
    }

    private JsonNode drained() {
        ArrayNode records = JSON.createArrayNode();
        read.forEach(record -> records.add(json(record)));
        read.clear();
        return JSON.createObjectNode().set("records", records);
    }

    private void leave() {
        if (consumer != null) {
            consumer.close();
            consumer = null;
            member = false;
            read.clear();
        }
    }

    private static KafkaConsumer<byte[], byte[]> consumer(Properties properties) {
        properties.put("enable.auto.commit", "false");
        properties.putIfAbsent("auto.offset.reset", "none");
        return new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer());
    }

    private Properties properties() {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        return properties;
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, JsonNode record) {
        List<Header> headers = new ArrayList<>();
        for (JsonNode header : record.get("headers")) {
            headers.add(new RecordHeader(header.get(0).asText(), decode(header.get(1))));
        }
        return new ProducerRecord<>(topic, record.get("partition").asInt(), record.get("timestamp").asLong(),
            decode(record.get("key")), decode(record.get("value")), headers);
    }

    private static ObjectNode json(ConsumerRecord<byte[], byte[]> record) {
        ArrayNode headers = JSON.createArrayNode();
        record.headers().forEach(header -> headers.addArray().add(header.key()).add(encode(header.value())));
        return JSON.createObjectNode().put("partition", record.partition()).put("offset", record.offset())
            .put("timestamp", record.timestamp()).put("key", encode(record.key()))
            .put("value", encode(record.value())).set("headers", headers);
    }

    private static Map<String, String> texts(JsonNode object) {
        Map<String, String> texts = new HashMap<>();
        object.fields().forEachRemaining(field -> texts.put(field.getKey(), field.getValue().asText()));
        return texts;
    }

    private static <T> T await(Future<T> answer) throws Exception {
        return answer.get(PATIENCE.toSeconds(), TimeUnit.SECONDS);
    }

    private static byte[] decode(JsonNode text) {
        return text.isNull() ? null : HEX.parseHex(text.asText());
    }

    private static String encode(byte[] data) {
        return data == null ? null : HEX.formatHex(data);
    }
}
