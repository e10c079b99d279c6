import java.io.BufferedOutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.List;
import java.util.Properties;
import java.util.concurrent.atomic.AtomicReference;
import java.util.stream.Collectors;
import java.util.stream.StreamSupport;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * Produces and consumes with Kafka's own client, with the arguments and lines of {@code client.py} beside it.
 * The producer is idempotent, as it is by default; the consumer reads by assignment.
 */
public final class Client {
    private static final Duration PATIENCE = Duration.ofSeconds(120);
    private static final HexFormat HEX = HexFormat.of();

    private Client() {
    }

    public static void main(String[] arguments) throws Exception {
        List<String> rest = Arrays.asList(arguments).subList(1, arguments.length);
        if (arguments[0].equals("produce")) {
            produce(rest.get(0), rest.get(1), Path.of(rest.get(2)), rest.subList(3, rest.size()));
        } else {
            consume(rest.get(0), rest.get(1), Integer.parseInt(rest.get(2)), Integer.parseInt(rest.get(3)),
                rest.subList(4, rest.size()));
        }
    }

    private static void produce(String bootstrap, String topic, Path file, List<String> settings) throws Exception {
        AtomicReference<String> failed = new AtomicReference<>();
        Properties properties = properties(bootstrap, settings);
        PrintStream out = System.out;
        try (var producer = new KafkaProducer<>(properties, new ByteArraySerializer(), new ByteArraySerializer());
             var lines = Files.newBufferedReader(file, StandardCharsets.US_ASCII)) {
            int count = 0;
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                int index = count++;
                producer.send(record(topic, line), (metadata, error) -> {
                    if (error != null) {
                        failed.compareAndSet(null, "record " + index + ": " + error);
                    } else {
                        out.println(index + " " + metadata.partition() + " " + metadata.offset());
                    }
                });
            }
            producer.flush();
        }
        out.flush();
        if (failed.get() != null) {
            System.err.println(failed.get());
            System.exit(1);
        }
    }

    private static ProducerRecord<byte[], byte[]> record(String topic, String line) {
        String[] fields = line.split("\t", -1);
        List<Header> headers = new ArrayList<>();
        for (String pair : fields[4].isEmpty() ? new String[0] : fields[4].split(",")) {
            String[] sides = pair.split("=", -1);
            headers.add(new RecordHeader(new String(HEX.parseHex(sides[0]), StandardCharsets.UTF_8), decode(sides[1])));
        }
        return new ProducerRecord<>(topic, Integer.valueOf(fields[0]), Long.valueOf(fields[1]), decode(fields[2]),
            decode(fields[3]), headers);
    }

    private static void consume(String bootstrap, String topic, int partition, int count, List<String> settings) {
        Properties properties = properties(bootstrap, settings);
        properties.putIfAbsent("auto.offset.reset", "none");
        PrintStream out = new PrintStream(new BufferedOutputStream(System.out, 1 << 16));
        try (var consumer = new KafkaConsumer<>(properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            TopicPartition assigned = new TopicPartition(topic, partition);
            consumer.assign(List.of(assigned));
            consumer.seek(assigned, 0);
            int read = 0;
            while (read < count) {
                var records = consumer.poll(PATIENCE);
                if (records.isEmpty()) {
                    System.err.println("after " + read + " records: nothing");
                    System.exit(1);
                }
                for (ConsumerRecord<byte[], byte[]> record : records) {
                    if (read++ < count) {
                        out.println(line(record));
                    }
                }
            }
        }
        out.flush();
    }

    private static String line(ConsumerRecord<byte[], byte[]> record) {
        String headers = StreamSupport.stream(record.headers().spliterator(), false)
            .map(header -> HEX.formatHex(header.key().getBytes(StandardCharsets.UTF_8)) + "=" + encode(header.value()))
            .collect(Collectors.joining(","));
        return String.join("\t", Long.toString(record.offset()), Integer.toString(record.partition()),
            Long.toString(record.timestamp()), encode(record.key()), encode(record.value()), headers);
    }

    private static Properties properties(String bootstrap, List<String> settings) {
        Properties properties = new Properties();
        properties.put("bootstrap.servers", bootstrap);
        for (String setting : settings) {
            String[] sides = setting.split("=", 2);
            properties.put(sides[0], sides[1]);
        }
        return properties;
    }

    private static byte[] decode(String text) {
        return text.equals("-") ? null : HEX.parseHex(text);
    }

    private static String encode(byte[] data) {
        return data == null ? "-" : HEX.formatHex(data);
    }
}
