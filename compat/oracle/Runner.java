// Runs scenarios against one Kafka server over plain sockets and writes what it answered, as JSON lines.
//
//   java -cp JARS Runner.java HOST:PORT SCENARIOS.jsonl ANSWERS.jsonl [THREADS]
//
// A scenario is {"name", "steps": [...]}; `lib.py` says what a step may hold. Requests and answers are Kafka's own
// generated message classes, so that nothing of interfluve's codec stands between the two servers that are compared.
// Nothing here judges an answer: that is diff.py's work. Every wait ends after ANSWER_LIMIT_MS.

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.JsonNodeFactory;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.net.InetSocketAddress;
import java.net.Socket;
import java.net.SocketException;
import java.net.SocketTimeoutException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Base64;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.Iterator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.message.FetchResponseData;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.ApiKeys;
import org.apache.kafka.common.protocol.ApiMessage;
import org.apache.kafka.common.protocol.ByteBufferAccessor;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.ObjectSerializationCache;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.CompressionType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.utils.internals.ByteBufferOutputStream;

public class Runner {
    static final int ANSWER_LIMIT_MS = 15_000;
    static final int RETRY_LIMIT_MS = 15_000;
    static final ObjectMapper JSON = new ObjectMapper();
    static final JsonNodeFactory NODES = JsonNodeFactory.instance;
    /** What times in scenarios count from ("T+5"): an hour ago. */
    static final long T0 = System.currentTimeMillis() - 3_600_000;

    static String host;
    static int port;

    public static void main(String[] args) throws Exception {
        host = args[0].substring(0, args[0].lastIndexOf(':'));
        port = Integer.parseInt(args[0].substring(args[0].lastIndexOf(':') + 1));
        int threads = args.length > 3 ? Integer.parseInt(args[3]) : 4;
        ExecutorService pool = Executors.newFixedThreadPool(threads);
        try (PrintWriter out = new PrintWriter(args[2], StandardCharsets.UTF_8)) {
            List<Future<ObjectNode>> running = new ArrayList<>();
            for (String line : Files.readAllLines(Path.of(args[1]))) {
                JsonNode scenario = JSON.readTree(line);
                // A scenario that stands alone runs when all before it are done, and before all behind it.
                if (scenario.path("alone").asBoolean()) {
                    for (Future<ObjectNode> one : running) one.get();
                    Future<ObjectNode> alone = pool.submit(() -> new Scenario(scenario).run());
                    alone.get();
                    running.add(alone);
                } else {
                    running.add(pool.submit(() -> new Scenario(scenario).run()));
                }
            }
            for (Future<ObjectNode> one : running) out.println(JSON.writeValueAsString(one.get()));
        }
        pool.shutdown();
    }

    // ── one scenario ────────────────────────────────────────────────────────────────────────────────────────────

    static class Scenario {
        final JsonNode scenario;
        final Map<String, Connection> connections = new HashMap<>();
        final Map<String, JsonNode> variables = new HashMap<>();

        Scenario(JsonNode scenario) {
            this.scenario = scenario;
        }

        ObjectNode run() {
            ObjectNode out = NODES.objectNode();
            out.put("name", scenario.get("name").asText());
            out.put("t0", T0);
            ArrayNode answers = out.putArray("answers");
            try {
                for (JsonNode step : scenario.get("steps")) {
                    JsonNode answer;
                    try {
                        answer = step(step);
                    } catch (Exception error) {
                        StackTraceElement at = error.getStackTrace().length > 0 ? error.getStackTrace()[0] : null;
                        answer = NODES.objectNode().put("runner", error + " at " + at);
                    }
                    answers.add(answer);
                }
            } finally {
                for (Connection connection : connections.values()) connection.close();
            }
            ObjectNode saved = out.putObject("saved");
            variables.forEach(saved::set);
            return out;
        }

        JsonNode step(JsonNode step) throws Exception {
            if (step.has("sleep")) {
                Thread.sleep(step.get("sleep").asLong());
                return NODES.nullNode();
            }
            String name = step.path("user").asText() + "/" + step.path("conn").asText();
            if (step.has("close")) {
                Connection old = connections.remove(name);
                if (old != null) old.close();
                return NODES.nullNode();
            }
            long limit = System.currentTimeMillis() + RETRY_LIMIT_MS;
            while (true) {
                JsonNode answer = once(step, name);
                boolean again = step.has("retry") && retried(answer, step.get("retry"));
                if (step.has("until")) {
                    for (Iterator<Map.Entry<String, JsonNode>> all = step.get("until").fields(); all.hasNext(); ) {
                        Map.Entry<String, JsonNode> want = all.next();
                        again |= !answer.at(want.getKey()).equals(substitute(want.getValue()));
                    }
                }
                if (!again || System.currentTimeMillis() > limit) {
                    for (Iterator<Map.Entry<String, JsonNode>> all = step.path("save").fields(); all.hasNext(); ) {
                        Map.Entry<String, JsonNode> one = all.next();
                        variables.put(one.getKey(), answer.at(one.getValue().asText()));
                    }
                    return answer;
                }
                Thread.sleep(step.path("pause").asLong(25));
            }
        }

        JsonNode once(JsonNode step, String name) throws Exception {
            try {
                if (step.has("await")) return connections.get(name).receive();
                Connection connection = connections.get(name);
                if (connection == null || connection.socket.isClosed()) {
                    connection = new Connection(step.path("user").asText());
                    connections.put(name, connection);
                }
                if (step.has("bytes")) {
                    connection.socket.getOutputStream().write(HexFormat.of().parseHex(step.get("bytes").asText()));
                    return step.path("silent").asBoolean() ? NODES.nullNode() : connection.raw();
                }
                String client = step.has("client") ? step.get("client").asText() : "oracle";
                if (step.path("client").isNull()) client = null;
                JsonNode api = step.get("api");
                ApiKeys key = api.isInt() && !ApiKeys.hasId(api.asInt()) ? null : api.isInt() ? ApiKeys.forId(api.asInt()) : api(api.asText());
                short version = (short) step.get("v").asInt();
                byte[] body;
                if (step.has("raw")) body = HexFormat.of().parseHex(step.get("raw").asText());
                else body = body(key, version, substitute(step.path("body")));
                connection.send(key, key == null ? (short) api.asInt() : key.id, version, client, body);
                if (step.path("silent").asBoolean()) {
                    connection.waiting.removeLast();
                    return NODES.nullNode();
                }
                return step.path("later").asBoolean() ? NODES.nullNode() : connection.receive();
            } catch (EOFException | SocketException closed) {
                Connection old = connections.remove(name);
                if (old != null) old.close();
                return NODES.objectNode().put("closed", true);
            } catch (SocketTimeoutException late) {
                Connection old = connections.remove(name);
                if (old != null) old.close();
                return NODES.objectNode().put("timeout", true);
            }
        }

        /** "${x}" alone is the variable itself; within a text it is its text. */
        JsonNode substitute(JsonNode node) {
            if (node.isObject()) {
                ObjectNode out = NODES.objectNode();
                node.fields().forEachRemaining(field -> out.set(field.getKey(), substitute(field.getValue())));
                return out;
            }
            if (node.isArray()) {
                ArrayNode out = NODES.arrayNode();
                node.forEach(one -> out.add(substitute(one)));
                return out;
            }
            if (!node.isTextual() || !node.asText().contains("${")) return node;
            String text = node.asText();
            for (Map.Entry<String, JsonNode> one : variables.entrySet()) {
                String mark = "${" + one.getKey() + "}";
                if (text.equals(mark)) return one.getValue();
                if (text.equals("${" + one.getKey() + "+1}")) return NODES.numberNode(one.getValue().asLong() + 1);
                if (text.equals("${" + one.getKey() + "-1}")) return NODES.numberNode(one.getValue().asLong() - 1);
                text = text.replace(mark, one.getValue().asText());
            }
            return NODES.textNode(text);
        }
    }

    /** Whether any error code anywhere in the answer is one of those, or a text in it says that nothing came. */
    static boolean retried(JsonNode node, JsonNode codes) {
        if (node.isObject()) {
            JsonNode code = node.get("errorCode");
            if (code != null) for (JsonNode one : codes) if (one.asInt() == code.asInt()) return true;
        }
        for (JsonNode child : node) if (retried(child, codes)) return true;
        return false;
    }

    static ApiKeys api(String name) {
        for (ApiKeys key : ApiKeys.values()) if (key.name.equals(name)) return key;
        throw new IllegalArgumentException("no API " + name);
    }

    // ── connections ─────────────────────────────────────────────────────────────────────────────────────────────

    record Sent(ApiKeys key, short version, int correlation) {}

    static class Connection {
        final Socket socket = new Socket();
        final ArrayDeque<Sent> waiting = new ArrayDeque<>();
        int correlation = 100;

        Connection(String user) throws Exception {
            socket.connect(new InetSocketAddress(host, port), ANSWER_LIMIT_MS);
            socket.setSoTimeout(ANSWER_LIMIT_MS);
            socket.setTcpNoDelay(true);
            if (user.isEmpty()) return;
            ObjectNode hello = NODES.objectNode().put("mechanism", "PLAIN");
            send(ApiKeys.SASL_HANDSHAKE, ApiKeys.SASL_HANDSHAKE.id, (short) 1, "oracle", body(ApiKeys.SASL_HANDSHAKE, (short) 1, hello));
            receive();
            ObjectNode proof = NODES.objectNode().put("authBytes", "\0" + user + "\0" + user + "-secret");
            send(ApiKeys.SASL_AUTHENTICATE, ApiKeys.SASL_AUTHENTICATE.id, (short) 2, "oracle", body(ApiKeys.SASL_AUTHENTICATE, (short) 2, proof));
            JsonNode answer = receive();
            if (answer.path("errorCode").asInt(-1) != 0) throw new IllegalStateException("not let in: " + answer);
        }

        void send(ApiKeys key, short number, short version, String client, byte[] body) throws IOException {
            correlation += 1;
            short headerVersion = key != null && key.id >= 0 && key.isVersionSupported(version) ? key.requestHeaderVersion(version) : 1;
            if (key == ApiKeys.API_VERSIONS && version >= 3) headerVersion = 2;
            RequestHeaderData header = new RequestHeaderData()
                .setRequestApiKey(number).setRequestApiVersion(version).setCorrelationId(correlation).setClientId(client);
            byte[] head = MessageUtil.toByteBufferAccessor(header, headerVersion).buffer().array();
            ByteBuffer frame = ByteBuffer.allocate(4 + head.length + body.length);
            frame.putInt(head.length + body.length).put(head).put(body);
            waiting.add(new Sent(key, version, correlation));
            socket.getOutputStream().write(frame.array());
        }

        byte[] frame() throws IOException {
            DataInputStream in = new DataInputStream(socket.getInputStream());
            byte[] frame = new byte[in.readInt()];
            in.readFully(frame);
            return frame;
        }

        JsonNode raw() throws IOException {
            return NODES.objectNode().put("bytes", HexFormat.of().formatHex(frame()));
        }

        JsonNode receive() throws Exception {
            ByteBuffer buffer = ByteBuffer.wrap(frame());
            Sent sent = waiting.remove();
            // ApiVersions is answered at version 0 where the version asked for is not known.
            short version = sent.version;
            if (sent.key == ApiKeys.API_VERSIONS && !sent.key.isVersionSupported(version)) version = 0;
            if (sent.key == null || !sent.key.isVersionSupported(version)) return NODES.objectNode().put("bytes", HexFormat.of().formatHex(buffer.array()));
            ResponseHeaderData header = new ResponseHeaderData(new ByteBufferAccessor(buffer), sent.key.responseHeaderVersion(version));
            if (sent.key == ApiKeys.API_VERSIONS && buffer.getShort(buffer.position()) == 35) version = 0;
            ApiMessage message = sent.key.messageType.newResponse();
            message.read(new ByteBufferAccessor(buffer), version);
            ObjectNode answer = (ObjectNode) converter(message).invoke(null, message, version, false);
            if (message instanceof FetchResponseData fetch) records(fetch, answer);
            if (header.correlationId() != sent.correlation) answer.put("wrongCorrelation", header.correlationId());
            if (buffer.hasRemaining()) answer.put("trailingBytes", buffer.remaining());
            return JSON.readTree(JSON.writeValueAsString(answer));
        }

        void close() {
            try {
                socket.close();
            } catch (IOException nothing) {
                // It is gone either way.
            }
        }
    }

    static Method converter(ApiMessage message) throws ReflectiveOperationException {
        Class<?> type = Class.forName(message.getClass().getName() + "JsonConverter");
        return type.getMethod("write", message.getClass(), short.class, boolean.class);
    }

    // ── requests from JSON ──────────────────────────────────────────────────────────────────────────────────────

    static byte[] body(ApiKeys key, short version, JsonNode json) throws Exception {
        ApiMessage request = key.messageType.newRequest();
        fill(request, json);
        ObjectSerializationCache cache = new ObjectSerializationCache();
        ByteBufferAccessor buffer = new ByteBufferAccessor(ByteBuffer.allocate(request.size(cache, version)));
        request.write(buffer, cache, version);
        return buffer.buffer().array();
    }

    /** Sets what the JSON names; everything else keeps the message's own default. A name it does not have is an error. */
    static void fill(Object target, JsonNode json) throws Exception {
        for (Iterator<Map.Entry<String, JsonNode>> all = json.fields(); all.hasNext(); ) {
            Map.Entry<String, JsonNode> field = all.next();
            String setter = "set" + field.getKey().substring(0, 1).toUpperCase() + field.getKey().substring(1);
            Method found = null;
            for (Method one : target.getClass().getMethods()) {
                if (one.getName().equals(setter) && one.getParameterCount() == 1) found = one;
            }
            if (found == null) throw new IllegalArgumentException(target.getClass().getSimpleName() + " has no " + field.getKey());
            found.invoke(target, value(found.getGenericParameterTypes()[0], field.getValue()));
        }
    }

    @SuppressWarnings("unchecked")
    static Object value(Type type, JsonNode json) throws Exception {
        Class<?> raw = type instanceof ParameterizedType many ? (Class<?>) many.getRawType() : (Class<?>) type;
        if (json.isNull()) return null;
        if (raw == boolean.class || raw == Boolean.class) return json.asBoolean();
        if (raw == byte.class || raw == Byte.class) return (byte) json.asInt();
        if (raw == short.class || raw == Short.class) return (short) json.asInt();
        if (raw == int.class || raw == Integer.class) return json.asInt();
        if (raw == long.class || raw == Long.class) return time(json);
        if (raw == double.class || raw == Double.class) return json.asDouble();
        if (raw == String.class) return json.asText();
        if (raw == Uuid.class) return Uuid.fromString(json.asText());
        if (raw == byte[].class) return bytes(json);
        if (raw == ByteBuffer.class) return ByteBuffer.wrap(bytes(json));
        if (BaseRecords.class.isAssignableFrom(raw)) return batches(json);
        if (Collection.class.isAssignableFrom(raw)) {
            Type element;
            Collection<Object> list;
            if (raw == List.class) {
                element = ((ParameterizedType) type).getActualTypeArguments()[0];
                list = new ArrayList<>();
            } else {
                element = ((ParameterizedType) raw.getGenericSuperclass()).getActualTypeArguments()[0];
                list = (Collection<Object>) raw.getConstructor().newInstance();
            }
            for (JsonNode one : json) list.add(value(element, one));
            return list;
        }
        Object inner = raw.getConstructor().newInstance();
        fill(inner, json);
        return inner;
    }

    static long time(JsonNode json) {
        if (!json.isTextual()) return json.asLong();
        String text = json.asText();
        if (text.startsWith("T")) return T0 + (text.length() == 1 ? 0 : Long.parseLong(text.substring(1)));
        if (text.startsWith("now")) return System.currentTimeMillis() + (text.length() == 3 ? 0 : Long.parseLong(text.substring(3)));
        return Long.parseLong(text);
    }

    /** "b64:…", "hex:…", or the text itself in UTF-8. */
    static byte[] bytes(JsonNode json) {
        String text = json.asText();
        if (text.startsWith("b64:")) return Base64.getDecoder().decode(text.substring(4));
        if (text.startsWith("hex:")) return HexFormat.of().parseHex(text.substring(4));
        return text.getBytes(StandardCharsets.UTF_8);
    }

    // ── records ─────────────────────────────────────────────────────────────────────────────────────────────────

    static MemoryRecords batches(JsonNode json) {
        if (json.isTextual()) return MemoryRecords.readableRecords(ByteBuffer.wrap(bytes(json)));
        List<byte[]> parts = new ArrayList<>();
        int size = 0;
        for (JsonNode batch : json) {
            byte[] part = batch(batch);
            parts.add(part);
            size += part.length;
        }
        ByteBuffer all = ByteBuffer.allocate(size);
        parts.forEach(all::put);
        all.flip();
        return MemoryRecords.readableRecords(all);
    }

    static byte[] batch(JsonNode batch) {
        boolean control = batch.has("control");
        ByteBufferOutputStream out = new ByteBufferOutputStream(1024);
        byte magic = (byte) batch.path("magic").asInt(2);
        MemoryRecordsBuilder builder = new MemoryRecordsBuilder(
            out, magic, Compression.of(CompressionType.forName(batch.path("codec").asText("none"))).build(),
            batch.path("append_time").asBoolean() ? TimestampType.LOG_APPEND_TIME : TimestampType.CREATE_TIME,
            batch.path("base").asLong(0), batch.path("append_time").asBoolean() ? T0 : -1L,
            batch.path("pid").asLong(-1), (short) batch.path("epoch").asInt(-1), batch.path("seq").asInt(-1),
            batch.path("txn").asBoolean(), control, batch.path("leader_epoch").asInt(-1), 64 << 20);
        if (control) {
            ControlRecordType type = batch.get("control").asText().equals("commit") ? ControlRecordType.COMMIT : ControlRecordType.ABORT;
            builder.appendEndTxnMarker(T0, new EndTransactionMarker(type, 0));
        }
        for (JsonNode record : batch.path("records")) {
            JsonNode list = record.path("h");
            Header[] headers = new Header[list.size()];
            for (int at = 0; at < headers.length; at += 1) {
                JsonNode value = list.get(at).get(1);
                headers[at] = new RecordHeader(list.get(at).get(0).asText(), value.isNull() ? null : bytes(value));
            }
            long time = record.has("t") ? time(record.get("t")) : T0;
            byte[] value = record.path("v").isNull() || record.path("v").isMissingNode() ? null : bytes(record.get("v"));
            if (record.has("size")) value = new byte[record.get("size").asInt()];
            byte[] key = record.path("k").isNull() || record.path("k").isMissingNode() ? null : bytes(record.get("k"));
            if (magic == 2) builder.append(time, key, value, headers);
            else builder.append(time, key, value);
        }
        MemoryRecords made = builder.build();
        byte[] bytes = new byte[made.sizeInBytes()];
        made.buffer().duplicate().get(bytes);
        for (JsonNode patch : batch.path("patch")) {
            byte[] with = HexFormat.of().parseHex(patch.get("hex").asText());
            System.arraycopy(with, 0, bytes, patch.get("at").asInt(), with.length);
        }
        if (batch.has("cut")) bytes = java.util.Arrays.copyOf(bytes, bytes.length - batch.get("cut").asInt());
        if (batch.path("crc").asBoolean()) {
            java.util.zip.CRC32C crc = new java.util.zip.CRC32C();
            crc.update(bytes, 21, bytes.length - 21);
            ByteBuffer.wrap(bytes).putInt(17, (int) crc.getValue());
        }
        return bytes;
    }

    /** Puts what the batches say in place of the size of their bytes. */
    static void records(FetchResponseData fetch, ObjectNode answer) {
        for (int topic = 0; topic < fetch.responses().size(); topic += 1) {
            for (int at = 0; at < fetch.responses().get(topic).partitions().size(); at += 1) {
                ObjectNode said = (ObjectNode) answer.get("responses").get(topic).get("partitions").get(at);
                BaseRecords records = fetch.responses().get(topic).partitions().get(at).records();
                said.remove("recordsSizeInBytes");
                if (records == null) {
                    said.putNull("records");
                    continue;
                }
                ArrayNode list = said.putArray("records");
                for (MutableRecordBatch batch : ((MemoryRecords) records).batches()) list.add(said(batch));
            }
        }
    }

    static ObjectNode said(MutableRecordBatch batch) {
        ObjectNode out = NODES.objectNode();
        out.put("base", batch.baseOffset()).put("last", batch.lastOffset()).put("magic", batch.magic());
        out.put("codec", batch.compressionType().name).put("timestampType", batch.timestampType().name);
        out.put("producerId", batch.producerId()).put("producerEpoch", batch.producerEpoch()).put("sequence", batch.baseSequence());
        out.put("transactional", batch.isTransactional()).put("control", batch.isControlBatch());
        out.put("leaderEpoch", batch.partitionLeaderEpoch()).put("crcValid", batch.isValid()).put("maxTimestamp", batch.maxTimestamp());
        ArrayNode records = out.putArray("list");
        for (Record record : batch) {
            ObjectNode one = records.addObject();
            one.put("offset", record.offset()).put("timestamp", record.timestamp());
            if (batch.isControlBatch()) {
                one.put("marker", ControlRecordType.parse(record.key()).name());
                one.put("coordinatorEpoch", EndTransactionMarker.deserialize(record).coordinatorEpoch());
                continue;
            }
            one.put("key", text(record.key())).put("value", text(record.value()));
            ArrayNode headers = one.putArray("headers");
            for (Header header : record.headers()) headers.add(header.key() + "=" + text(header.value() == null ? null : ByteBuffer.wrap(header.value())));
        }
        return out;
    }

    static String text(ByteBuffer bytes) {
        if (bytes == null) return null;
        if (bytes.remaining() > 200) return bytes.remaining() + " bytes";
        return StandardCharsets.ISO_8859_1.decode(bytes).toString();
    }
}
