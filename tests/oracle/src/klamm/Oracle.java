package klamm;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStreamWriter;
import java.lang.reflect.InvocationTargetException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.ObjectSerializationCache;

/**
 * Reads and writes messages with Kafka's own generated classes. Each line asks for one:
 *
 * <pre>
 * bytes NAME VERSION HEX     answers HEX JSON: the message written back, and its values
 * json  NAME VERSION JSON    answers HEX: the message with these values
 * </pre>
 *
 * An answer that starts with "error" says why there is no other.
 */
public final class Oracle {
    private static final ObjectMapper JSON = new ObjectMapper();

    public static void main(String[] args) throws IOException {
        var in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        var out = new BufferedWriter(new OutputStreamWriter(System.out, StandardCharsets.UTF_8));
        for (String line = in.readLine(); line != null; line = in.readLine()) {
            out.write(answer(line).replace('\n', ' '));
            out.write('\n');
            out.flush();
        }
    }

    private static String answer(String line) {
        try {
            String[] words = line.split(" ", 4);
            short version = Short.parseShort(words[2]);
            return switch (words[0]) {
                case "bytes" -> readBytes(words[1], version, words[3]);
                case "json" -> HexFormat.of().formatHex(write(readJson(words[1], version, words[3]), version));
                default -> "error: no such question: " + words[0];
            };
        } catch (InvocationTargetException e) {
            return "error: " + e.getCause();
        } catch (ReflectiveOperationException | IOException | RuntimeException e) {
            return "error: " + e;
        }
    }

    private static String readBytes(String name, short version, String hex)
            throws ReflectiveOperationException, IOException {
        ByteBuffer bytes = ByteBuffer.wrap(HexFormat.of().parseHex(hex));
        ApiMessage message = (ApiMessage) type(name).getDeclaredConstructor().newInstance();
        message.read(new ByteBufferAccessor(bytes), version);
        if (bytes.hasRemaining()) {
            return "error: " + bytes.remaining() + " bytes are left over";
        }
        // Without their bytes: the converter has no form for records that reads back.
        Object json = converter(name).getMethod("write", type(name), short.class, boolean.class)
            .invoke(null, message, version, false);
        return HexFormat.of().formatHex(write(message, version)) + " " + JSON.writeValueAsString(json);
    }

    private static ApiMessage readJson(String name, short version, String json)
            throws ReflectiveOperationException, IOException {
        return (ApiMessage) converter(name).getMethod("read", JsonNode.class, short.class)
            .invoke(null, JSON.readTree(json), version);
    }

    private static byte[] write(ApiMessage message, short version) {
        var cache = new ObjectSerializationCache();
        ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, version));
        message.write(new ByteBufferAccessor(bytes), cache, version);
        if (bytes.hasRemaining()) {
            throw new IllegalStateException(bytes.remaining() + " bytes fewer than announced");
        }
        return bytes.array();
    }

    private static Class<?> type(String name) throws ClassNotFoundException {
        return Class.forName(generated(name));
    }

    private static Class<?> converter(String name) throws ClassNotFoundException {
        return Class.forName(generated(name) + "JsonConverter");
    }

    /** Messages of the protocol are the client's; the others are records of the group coordinator. */
    private static String generated(String name) {
        String message = "org.apache.kafka.common.message." + name + "Data";
        boolean known = Oracle.class.getClassLoader().getResource(message.replace('.', '/') + ".class") != null;
        return known ? message : "org.apache.kafka.coordinator.group.generated." + name;
    }
}
