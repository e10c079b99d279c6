import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.AlterConfigOp.OpType;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.CreatePartitionsOptions;
import org.apache.kafka.clients.admin.DescribeClusterOptions;
import org.apache.kafka.clients.admin.DescribeTopicsOptions;
import org.apache.kafka.clients.admin.ListConfigResourcesOptions;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.config.ConfigResource.Type;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Administers a broker with Kafka's own client and prints, step by step, what it is told: the same lines for every broker
 * that does as Kafka does. Arguments: bootstrap, topic.
 */
public final class Admin {
    private final org.apache.kafka.clients.admin.Admin admin;
    private final String topic;
    private final TopicPartition first;

    private Admin(org.apache.kafka.clients.admin.Admin admin, String topic) {
        this.admin = admin;
        this.topic = topic;
        this.first = new TopicPartition(topic, 0);
    }

    public static void main(String[] arguments) throws Exception {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", arguments[0]);
        try (var admin = org.apache.kafka.clients.admin.Admin.create(properties)) {
            var self = new Admin(admin, arguments[1]);
            admin.createTopics(List.of(new NewTopic(arguments[1], 2, (short) 1))).all().get();
            self.produce(properties);
            self.describe();
            self.configure();
            self.delete();
            self.extend();
        }
    }

    /** Prints what came of a step: a value, or the name of an error. */
    private void step(String name, Callable<Object> step) throws Exception {
        String result;
        try {
            result = String.valueOf(step.call());
        } catch (ExecutionException error) {
            result = error.getCause().getClass().getSimpleName();
        }
        System.out.println(name + ": " + result.replace(topic, "T"));
    }

    private void produce(Properties properties) throws Exception {
        try (var producer = new KafkaProducer<>(properties, new StringSerializer(), new StringSerializer())) {
            for (int i = 0; i < 10; i++) {
                producer.send(new ProducerRecord<>(topic, 0, 1000L + i, "k" + i, "v" + i)).get();
            }
        }
    }

    private void describe() throws Exception {
        var operations = new DescribeClusterOptions().includeAuthorizedOperations(true);
        step("operations", () -> new TreeSet<>(admin.describeCluster(operations).authorizedOperations().get()));
        var fenced = new DescribeClusterOptions().includeFencedBrokers(true);
        step("brokers", () -> admin.describeCluster(fenced).nodes().get().size());
        var paged = new DescribeTopicsOptions().partitionSizeLimitPerResponse(1);
        step("partitions", () -> admin.describeTopics(List.of(topic), paged).allTopicNames().get().get(topic)
            .partitions().stream().map(it -> it.partition() + " " + it.isr().size() + " " + it.elr()).toList());
        step("no topic", () -> admin.describeTopics(List.of(topic + "-none")).allTopicNames().get());
        step("producers", () -> admin.describeProducers(List.of(first)).partitionResult(first).get()
            .activeProducers().stream().map(it -> it.lastSequence() + " " + it.lastTimestamp()).toList());
        step("sizes", this::sizes);
        step("resources", () -> admin.listConfigResources(Set.of(Type.TOPIC), new ListConfigResourcesOptions()).all()
            .get().contains(new ConfigResource(Type.TOPIC, topic)));
    }

    private Object sizes() throws Exception {
        int broker = admin.describeCluster().nodes().get().iterator().next().id();
        var directory = admin.describeLogDirs(List.of(broker)).allDescriptions().get().get(broker).values()
            .iterator().next();
        var sizes = new TreeMap<String, Long>();
        directory.replicaInfos().forEach((partition, replica) -> {
            if (partition.topic().equals(topic)) {
                sizes.put(partition.toString(), replica.size());
            }
        });
        return sizes + " " + (directory.usableBytes().getAsLong() < directory.totalBytes().getAsLong());
    }

    private void configure() throws Exception {
        step("keys", () -> config().size());
        for (OpType op : List.of(OpType.SET, OpType.DELETE, OpType.APPEND, OpType.SUBTRACT)) {
            for (var entry : List.of(Map.entry("retention.ms", "5000"), Map.entry("retention.ms", "long"),
                    Map.entry("no.such.key", "1"), Map.entry("leader.replication.throttled.replicas", "0:1"))) {
                step(op + " " + entry, () -> alter(topic, op, entry.getKey(), entry.getValue()));
                step("  then", () -> value("retention.ms") + ", " + value("leader.replication.throttled.replicas"));
            }
        }
        step("SET elsewhere", () -> alter(topic + "-none", OpType.SET, "retention.ms", "1"));
    }

    private Object alter(String name, OpType type, String key, String value) throws Exception {
        var op = new AlterConfigOp(new ConfigEntry(key, value), type);
        return admin.incrementalAlterConfigs(Map.of(new ConfigResource(Type.TOPIC, name), List.of(op))).all().get();
    }

    private Map<String, ConfigEntry> config() throws Exception {
        var resource = new ConfigResource(Type.TOPIC, topic);
        var entries = new TreeMap<String, ConfigEntry>();
        admin.describeConfigs(List.of(resource)).all().get().get(resource).entries()
            .forEach(entry -> entries.put(entry.name(), entry));
        return entries;
    }

    private String value(String key) throws Exception {
        var entry = config().get(key);
        return entry.value() + " " + entry.source();
    }

    private void delete() throws Exception {
        for (long offset : List.of(0L, 3L, 11L, -2L, 2L, 5L, -1L, 4L)) {
            step("delete before " + offset, () -> admin
                .deleteRecords(Map.of(first, RecordsToDelete.beforeOffset(offset))).lowWatermarks().get(first).get()
                .lowWatermark());
            step("  earliest", () -> offset(OffsetSpec.earliest()));
            step("  at 1000", () -> offset(OffsetSpec.forTimestamp(1000)));
            step("  at 1007", () -> offset(OffsetSpec.forTimestamp(1007)));
            step("  latest", () -> offset(OffsetSpec.latest()));
        }
    }

    private long offset(OffsetSpec spec) throws Exception {
        return admin.listOffsets(Map.of(first, spec)).partitionResult(first).get().offset();
    }

    private void extend() throws Exception {
        for (var asked : List.of(NewPartitions.increaseTo(2), NewPartitions.increaseTo(1), NewPartitions.increaseTo(-1),
                NewPartitions.increaseTo(4, List.of(List.of(1))), NewPartitions.increaseTo(3, List.of(List.of(1, 1))),
                NewPartitions.increaseTo(3, List.of(List.of(9))), NewPartitions.increaseTo(3, List.of(List.of())))) {
            step("extend to " + asked.totalCount() + " " + asked.assignments(),
                () -> admin.createPartitions(Map.of(topic, asked)).all().get());
        }
        var checked = new CreatePartitionsOptions().validateOnly(true);
        step("check 4", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4)), checked).all().get());
        step("  count", this::count);
        step("extend to 4", () -> admin.createPartitions(Map.of(topic, NewPartitions.increaseTo(4))).all().get());
        step("  count", this::count);
        step("extend elsewhere",
            () -> admin.createPartitions(Map.of(topic + "-none", NewPartitions.increaseTo(4))).all().get());
    }

    private Object count() throws Exception {
        return admin.describeTopics(List.of(topic)).allTopicNames().get().get(topic).partitions().size();
    }
}
