// Reads our bytes with Kafka's own generated message classes, compares every field with what we say is in it, writes
// the message again and compares the bytes. Then makes random values of each message itself, from Kafka's own schema of
// it, for us to read and write again. Everything of Kafka is reached by reflection, so that several releases can
// stand side by side, each behind a class loader of its own. Never opens a socket.
//
// usage: java Oracle.java CASES MADE COUNT SEED RELEASE=DIRECTORY_OF_JARS ...     oldest release first
// Reads CASES, writes MADE: COUNT values of each message and version. The format of both is described in
// src/kafka/wire/tests/oracle.rs. Every message, version and field of ours must be known to at least one release; a
// release that does not know it has no say. Every version of a client-facing API key must be stated by us.

import java.io.BufferedReader;
import java.io.BufferedWriter;
import java.io.File;
import java.lang.reflect.Array;
import java.lang.reflect.Constructor;
import java.lang.reflect.Field;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Method;
import java.lang.reflect.Modifier;
import java.net.URL;
import java.net.URLClassLoader;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;

public class Oracle {
    static final HexFormat HEX = HexFormat.of();
    static final int SHOWN = 20;
    /** Fields of InitProducerId 6, which is not stable in Kafka and not stated by us. */
    static final List<String> NOT_STATED = List.of(
            "InitProducerIdRequest.enable2_pc", "InitProducerIdRequest.keep_prepared_txn",
            "InitProducerIdResponse.ongoing_txn_producer_id", "InitProducerIdResponse.ongoing_txn_producer_epoch");

    /** Fields that 3.9 calls by an older name. */
    static final Map<String, String> RENAMED =
            Map.of("TxnOffsetCommitRequest.generation_id", ".generation_id_or_member_epoch");
    /** First and last of the API keys that clients use and that must be stated at every version of every release. */
    static final int[][] KEYS = {
        {0, 3}, {8, 51}, {55, 55}, {57, 57}, {60, 61}, {64, 66}, {68, 69}, {74, 75}};
    /** Not stable (22), with record formats that nobody writes any more (0, 1), or of another name until 4.1 (74). */
    static final String NOT_ASKED = "InitProducerId(Request|Response) version 6|Produce(Request|Response) version [0-2]"
            + "|Fetch(Request|Response) version [0-3]|ListClientMetricsResources(Request|Response) version 0";

    public static void main(String[] args) throws Exception {
        List<Release> releases = new ArrayList<>();
        for (int i = 4; i < args.length; i++) {
            releases.add(new Release(args[i].split("=", 2)[0], args[i].split("=", 2)[1]));
        }
        long values = 0, passed = 0, failed = 0;
        // Message and version, to the releases that judged it.
        Map<String, TreeSet<String>> judged = new TreeMap<>();
        try (BufferedReader lines = Files.newBufferedReader(Path.of(args[0]))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] part = line.split("\t", -1);
                values += part[0].equals("value") ? 1 : 0;
                String place = part[1] + (part[2].isEmpty() ? " defaults" : " version " + part[2]);
                TreeSet<String> by = judged.computeIfAbsent(place, ignored -> new TreeSet<>());
                for (Release release : releases) {
                    String wrong;
                    try {
                        wrong = switch (part[0]) {
                            case "value" -> release.value(part);
                            case "moved" -> release.moved(part);
                            default -> release.defaults(part);
                        };
                    } catch (InvocationTargetException e) {
                        wrong = "threw " + e.getCause();
                    }
                    if (wrong == Release.UNKNOWN) {
                        continue;
                    }
                    by.add(release.name);
                    if (wrong == null) {
                        passed++;
                        release.passed++;
                    } else if (failed++ < SHOWN) {
                        System.out.println("FAILED " + release.name + " " + place + " seed " + part[3] + ": " + wrong);
                    }
                }
            }
        }
        for (Map.Entry<String, TreeSet<String>> entry : judged.entrySet()) {
            if (entry.getValue().isEmpty()) {
                failed++;
                System.out.println("FAILED " + entry.getKey() + ": no release knows it");
            }
        }
        for (Release release : releases) {
            for (String place : release.versionsOfKeys()) {
                if (!judged.containsKey(place) && !place.matches(NOT_ASKED)) {
                    failed++;
                    System.out.println("FAILED " + release.name + " has " + place + ", we do not state it");
                }
            }
        }
        // A field that no release has ever shown is a field of ours alone.
        for (String field : unseen(releases)) {
            failed++;
            System.out.println("FAILED no release knows the field " + field);
        }
        long made = 0;
        try (BufferedWriter lines = Files.newBufferedWriter(Path.of(args[1]))) {
            for (String place : judged.keySet()) {
                if (place.contains(" version ")) {
                    made += make(lines, place, Integer.parseInt(args[2]), Long.parseLong(args[3]), releases);
                }
            }
        }
        for (Release release : releases) {
            System.out.println(release.name + ": " + release.passed + " judgements");
        }
        System.out.println(judged.size() + " messages and versions, " + values + " values of ours");
        System.out.println(made + " values of Kafka's");
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
    }

    /** Writes values of one message and version, made by the newest release that has it. */
    static long make(BufferedWriter lines, String place, int count, long seed, List<Release> releases)
            throws Exception {
        String name = place.substring(0, place.indexOf(' '));
        String version = place.substring(place.lastIndexOf(' ') + 1);
        for (int i = releases.size() - 1; i >= 0; i--) {
            Release release = releases.get(i);
            Class<?> type = release.message(name);
            if (type != null && release.has(type, Short.parseShort(version))) {
                for (long each = seed; each < seed + count; each++) {
                    String value = release.made(name, type, Short.parseShort(version), new Random(each));
                    lines.write(String.join("\t", "made", name, version, Long.toString(each), value) + "\n");
                }
                return count;
            }
        }
        return 0;
    }

    /** Our fields that no release knows. */
    static TreeSet<String> unseen(List<Release> releases) {
        TreeSet<String> unseen = new TreeSet<>();
        for (Release release : releases) {
            unseen.addAll(release.seen.keySet());
        }
        for (Release release : releases) {
            unseen.removeIf(field -> release.seen.getOrDefault(field, false));
        }
        return unseen;
    }

    static class Release {
        static final String UNKNOWN = new String("not in this release");

        final String name;
        final URLClassLoader loader;
        final Class<?> accessor, readable, writable, cache, schema, schemaField, schemaType;
        final Method size, write, unknownTags;
        final Map<String, Class<?>> messages = new HashMap<>();
        final Map<Class<?>, List<Field>> fields = new HashMap<>();
        /** Every field seen, as Message.field without indexes, true if this release knows it. */
        final TreeMap<String, Boolean> seen = new TreeMap<>();
        long passed = 0;

        Release(String name, String directory) throws Exception {
            this.name = name;
            List<URL> jars = new ArrayList<>();
            for (File jar : new File(directory).listFiles()) {
                jars.add(jar.toURI().toURL());
            }
            loader = new URLClassLoader(jars.toArray(URL[]::new), ClassLoader.getPlatformClassLoader());
            accessor = loader.loadClass("org.apache.kafka.common.protocol.ByteBufferAccessor");
            readable = loader.loadClass("org.apache.kafka.common.protocol.Readable");
            writable = loader.loadClass("org.apache.kafka.common.protocol.Writable");
            cache = loader.loadClass("org.apache.kafka.common.protocol.ObjectSerializationCache");
            schema = loader.loadClass("org.apache.kafka.common.protocol.types.Schema");
            schemaField = loader.loadClass("org.apache.kafka.common.protocol.types.Field");
            schemaType = loader.loadClass("org.apache.kafka.common.protocol.types.Type");
            Class<?> message = loader.loadClass("org.apache.kafka.common.protocol.Message");
            size = message.getMethod("size", cache, short.class);
            write = message.getMethod("write", writable, cache, short.class);
            unknownTags = message.getMethod("unknownTaggedFields");
        }

        /** The class of a message; null if this release has none. */
        Class<?> message(String message) {
            return messages.computeIfAbsent(message, ignored -> {
                for (String place : List.of(
                        "org.apache.kafka.common.message." + message + "Data",
                        "org.apache.kafka.common.message." + message,
                        "org.apache.kafka.coordinator.group.generated." + message,
                        "org.apache.kafka.coordinator.transaction.generated." + message)) {
                    try {
                        return loader.loadClass(place);
                    } catch (ClassNotFoundException e) {
                        // The next place, then.
                    }
                }
                return null;
            });
        }

        String defaults(String[] part) throws Exception {
            Class<?> type = message(part[1]);
            if (type == null) {
                return UNKNOWN;
            }
            return compareFields(part[1], part[5], type.getConstructor().newInstance());
        }

        /** The versions of a message that this release has: lowest and highest. */
        short[] versions(Class<?> type) throws Exception {
            return new short[] {
                type.getField("LOWEST_SUPPORTED_VERSION").getShort(null),
                type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null)};
        }

        /** Every message and version of the API keys that clients use. */
        List<String> versionsOfKeys() throws Exception {
            Class<?> keys = loader.loadClass("org.apache.kafka.common.protocol.ApiKeys");
            List<String> places = new ArrayList<>();
            for (int[] range : KEYS) {
                for (int key = range[0]; key <= range[1]; key++) {
                    if (!(Boolean) keys.getMethod("hasId", int.class).invoke(null, key)) {
                        continue;
                    }
                    Object known = keys.getMethod("forId", int.class).invoke(null, key);
                    for (String kind : List.of("Request", "Response")) {
                        String name = keys.getField("name").get(known) + kind;
                        short[] versions = versions(message(name));
                        for (short version = versions[0]; version <= versions[1]; version++) {
                            places.add(name + " version " + version);
                        }
                    }
                }
            }
            return places;
        }

        /** Whether this release has this version of a message. */
        boolean has(Class<?> type, short version) throws Exception {
            short[] versions = versions(type);
            return versions[0] <= own(type, version) && own(type, version) <= versions[1];
        }

        /** What stands before the key of a record tells its kind; 4.4 calls each of them version 0. */
        short own(Class<?> type, short version) throws Exception {
            boolean ofItsKind = type.getSimpleName().endsWith("Key") && versions(type)[1] == 0
                    && (Short) type.getMethod("apiKey").invoke(type.getConstructor().newInstance()) == version;
            return ofItsKind ? 0 : version;
        }

        Object read(Class<?> type, ByteBuffer in, short version) throws Exception {
            Constructor<?> read = type.getConstructor(readable, short.class);
            return read.newInstance(accessor.getConstructor(ByteBuffer.class).newInstance(in), version);
        }

        String write(Object message, short version) throws Exception {
            Object sizes = cache.getConstructor().newInstance();
            ByteBuffer out = ByteBuffer.allocate((Integer) size.invoke(message, sizes, version));
            write.invoke(message, accessor.getConstructor(ByteBuffer.class).newInstance(out), sizes, version);
            return HEX.formatHex(out.array(), 0, out.position());
        }

        /** Random bytes of a message, what Kafka finds in them, and the bytes it makes of that. */
        String made(String name, Class<?> type, short version, Random random) throws Exception {
            version = own(type, version);
            ByteBuffer out = ByteBuffer.allocate(1 << 20);
            fill(((Object[]) type.getField("SCHEMAS").get(null))[version], false, random, out);
            ByteBuffer in = out.flip().slice();
            Object message = read(type, in, version);
            if (in.hasRemaining()) {
                throw new IllegalStateException(name + " version " + version + " leaves bytes of its own schema");
            }
            Map<String, String> known = new LinkedHashMap<>();
            describe("", message, known);
            List<String> leaves = new ArrayList<>();
            for (Map.Entry<String, String> leaf : known.entrySet()) {
                if (!NOT_STATED.contains(name + leaf.getKey())) {
                    leaves.add(leaf.getKey() + "=" + leaf.getValue());
                }
            }
            String bytes = HEX.formatHex(out.array(), 0, out.limit());
            return bytes + "\t" + String.join(";", leaves) + "\t" + write(message, version);
        }

        /** Writes any value of a type of Kafka's schemas; `tagged` where it is all that a tagged field holds. */
        void fill(Object type, boolean tagged, Random random, ByteBuffer out) throws Exception {
            String kind = type.getClass().getSimpleName();
            boolean isNull = (Boolean) schemaType.getMethod("isNullable").invoke(type) && random.nextInt(4) == 0;
            if (schema.isInstance(type)) {
                if (kind.equals("NullableSchema")) {
                    // The schemas do not tell, but Kafka's classes write null otherwise in a tagged field.
                    out.put((byte) (!isNull ? 1 : tagged ? 0 : -1));
                    if (isNull) {
                        return;
                    }
                }
                for (Object bound : (Object[]) schema.getMethod("fields").invoke(type)) {
                    fill(typeOf(bound.getClass().getField("def").get(bound)), false, random, out);
                }
            } else if (kind.equals("TaggedFields")) {
                Field own = type.getClass().getDeclaredField("fields");
                own.setAccessible(true);
                TreeMap<Integer, byte[]> parts = new TreeMap<>();
                for (Map.Entry<?, ?> field : ((Map<?, ?>) own.get(type)).entrySet()) {
                    ByteBuffer value = ByteBuffer.allocate(1 << 18);
                    fill(typeOf(field.getValue()), true, random, value);
                    if (random.nextInt(4) > 0) {
                        parts.put((Integer) field.getKey(), Arrays.copyOf(value.array(), value.position()));
                    }
                }
                uvarint(parts.size(), out);
                for (Map.Entry<Integer, byte[]> field : parts.entrySet()) {
                    uvarint(field.getKey(), out);
                    uvarint(field.getValue().length, out);
                    out.put(field.getValue());
                }
            } else if ((Boolean) schemaType.getMethod("isArray").invoke(type)) {
                int count = isNull ? -1 : random.nextInt(4);
                if (kind.equals("CompactArrayOf")) {
                    uvarint(count + 1, out);
                } else {
                    out.putInt(count);
                }
                Object element = ((Optional<?>) schemaType.getMethod("arrayElementType").invoke(type)).get();
                for (int index = 0; index < count; index++) {
                    fill(element, false, random, out);
                }
            } else {
                String name = type.toString();
                byte[] bytes = name.contains("STRING")
                        ? random.ints(random.nextInt(random.nextInt(16) == 0 ? 200 : 12), 1, 0xd7ff)
                                .collect(StringBuilder::new, StringBuilder::appendCodePoint, StringBuilder::append)
                                .toString().getBytes("UTF-8")
                        : new byte[random.nextInt(40)];
                switch (name) {
                    case "BOOLEAN" -> out.put((byte) random.nextInt(2));
                    case "INT8" -> out.put((byte) random.nextInt());
                    case "INT16", "UINT16" -> out.putShort((short) random.nextInt());
                    case "INT32" -> out.putInt(random.nextInt(4) == 0 ? -1 : random.nextInt());
                    case "INT64" -> out.putLong(random.nextInt(4) == 0 ? -1 : random.nextLong());
                    case "FLOAT64" -> out.putDouble(random.nextGaussian());
                    case "UUID" -> out.putLong(random.nextLong()).putLong(random.nextLong());
                    case "STRING", "NULLABLE_STRING" -> out.putShort((short) (isNull ? -1 : bytes.length));
                    case "BYTES", "NULLABLE_BYTES", "RECORDS", "NULLABLE_RECORDS" ->
                            out.putInt(isNull ? -1 : bytes.length);
                    case "COMPACT_STRING", "COMPACT_NULLABLE_STRING", "COMPACT_BYTES", "COMPACT_NULLABLE_BYTES",
                            "COMPACT_RECORDS", "COMPACT_NULLABLE_RECORDS" ->
                            uvarint(isNull ? 0 : bytes.length + 1, out);
                    default -> throw new IllegalStateException("a type of no message of ours: " + name);
                }
                if (!isNull && (name.contains("STRING") || name.contains("BYTES") || name.contains("RECORDS"))) {
                    out.put(bytes);
                }
            }
        }

        Object typeOf(Object field) throws Exception {
            return schemaField.getField("type").get(field);
        }

        void uvarint(int value, ByteBuffer out) {
            for (; value > 0x7f; value >>>= 7) {
                out.put((byte) (value | 0x80));
            }
            out.put((byte) value);
        }

        String value(String[] part) throws Exception {
            Class<?> type = message(part[1]);
            short version = Short.parseShort(part[2]);
            if (type == null || !has(type, version)) {
                return UNKNOWN;
            }
            version = own(type, version);
            ByteBuffer in = ByteBuffer.wrap(HEX.parseHex(part[4]));
            Object message = read(type, in, version);
            if (in.hasRemaining()) {
                return in.remaining() + " bytes left over";
            }
            String wrong = compareFields(part[1], part[5], message);
            if (wrong != null) {
                return wrong;
            }
            String again = write(message, version);
            return again.equals(part[4]) ? null : "written again as " + again + ", not " + part[4];
        }

        /** What one version can say, written as another: dropped where it may be, refused where not. */
        String moved(String[] part) throws Exception {
            Class<?> type = message(part[1]);
            short version = Short.parseShort(part[2]);
            short other = Short.parseShort(part[6]);
            if (type == null || !has(type, version) || !has(type, other)) {
                return UNKNOWN;
            }
            version = own(type, version);
            other = own(type, other);
            Object message = read(type, ByteBuffer.wrap(HEX.parseHex(part[4])), version);
            Map<String, String> known = new LinkedHashMap<>();
            describe("", message, known);
            for (String leaf : part[5].split(";")) {
                if (!known.containsKey(leaf.substring(0, leaf.indexOf('=')))) {
                    return UNKNOWN;
                }
            }
            String written;
            try {
                written = write(message, other);
            } catch (InvocationTargetException e) {
                String refusal = e.getCause().getClass().getSimpleName();
                if (!refusal.equals("UnsupportedVersionException") && !refusal.equals("NullPointerException")) {
                    throw e;
                }
                written = "refused";
            }
            return written.equals(part[7]) ? null : "at version " + other + " " + written + ", not " + part[7];
        }

        /** Compares every field this release knows with what we said; notes the ones it does not know. */
        String compareFields(String name, String description, Object message) throws Exception {
            Map<String, String> ours = new HashMap<>();
            for (String leaf : description.split(";")) {
                int at = leaf.indexOf('=');
                ours.put(leaf.substring(0, at), leaf.substring(at + 1));
            }
            Map<String, String> theirs = new LinkedHashMap<>();
            describe("", message, theirs);
            for (Map.Entry<String, String> leaf : theirs.entrySet()) {
                String our = ours.remove(RENAMED.getOrDefault(name + leaf.getKey(), leaf.getKey()));
                String field = name + leaf.getKey().replaceAll("\\.[0-9]+", "");
                if (our == null && NOT_STATED.contains(field)) {
                    continue;
                }
                seen.put(field, true);
                if (!leaf.getValue().equals(our)) {
                    return leaf.getKey() + " is " + leaf.getValue() + ", not " + our;
                }
            }
            for (String leaf : ours.keySet()) {
                seen.putIfAbsent(name + leaf.replaceAll("\\.[0-9]+", ""), false);
            }
            return null;
        }

        /** Adds `.path.to.a_leaf=value` for every leaf of a value. */
        void describe(String path, Object value, Map<String, String> out) throws Exception {
            if (value == null) {
                out.put(path, "null");
            } else if (value instanceof String text) {
                out.put(path, HEX.formatHex(text.getBytes("UTF-8")));
            } else if (value instanceof byte[] bytes) {
                out.put(path, HEX.formatHex(bytes));
            } else if (value instanceof ByteBuffer buffer) {
                byte[] bytes = new byte[buffer.remaining()];
                buffer.duplicate().get(bytes);
                out.put(path, HEX.formatHex(bytes));
            } else if (value instanceof Collection<?> elements) {
                out.put(path, "[" + elements.size() + "]");
                int index = 0;
                for (Object element : elements) {
                    describe(path + "." + index++, element, out);
                }
            } else if (value.getClass().isArray()) {
                out.put(path, "[" + Array.getLength(value) + "]");
                for (int index = 0; index < Array.getLength(value); index++) {
                    describe(path + "." + index, Array.get(value, index), out);
                }
            } else if (value.getClass().getSimpleName().equals("Uuid")) {
                long most = (Long) value.getClass().getMethod("getMostSignificantBits").invoke(value);
                long least = (Long) value.getClass().getMethod("getLeastSignificantBits").invoke(value);
                out.put(path, String.format("%016x%016x", most, least));
            } else if (value.getClass().getSimpleName().equals("MemoryRecords")) {
                describe(path, value.getClass().getMethod("buffer").invoke(value), out);
            } else if (unknownTags.getDeclaringClass().isInstance(value)) {
                for (Field field : fieldsOf(value.getClass())) {
                    String snake = field.getName().replaceAll("([a-z0-9])([A-Z])", "$1_$2").toLowerCase();
                    describe(path + "." + snake, field.get(value), out);
                }
            } else if (value instanceof Double number) {
                out.put(path, String.format("%016x", Double.doubleToRawLongBits(number)));
            } else {
                out.put(path, value.toString());
            }
        }

        List<Field> fieldsOf(Class<?> type) {
            return fields.computeIfAbsent(type, ignored -> {
                List<Field> own = new ArrayList<>();
                for (Field field : type.getDeclaredFields()) {
                    // `next` and `prev` link elements of Kafka's own collections.
                    boolean links = List.of("_unknownTaggedFields", "next", "prev").contains(field.getName());
                    if (!links && !Modifier.isStatic(field.getModifiers())) {
                        field.setAccessible(true);
                        own.add(field);
                    }
                }
                return own;
            });
        }
    }
}
