// Reads our bytes with Kafka's own generated message classes, compares every field with what we say is in it, writes
// the message again and compares the bytes. Everything of Kafka is reached by reflection, so that several releases can
// stand side by side, each behind a class loader of its own. Never opens a socket.
//
// usage: java Oracle.java CASES RELEASE=DIRECTORY_OF_JARS ...
// The format of CASES is described in src/kafka/wire/tests/oracle.rs. Every message, version and field of ours must be
// known to at least one release; a release that does not know it has no say.

import java.io.BufferedReader;
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
import java.util.Collection;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.TreeSet;

public class Oracle {
    static final HexFormat HEX = HexFormat.of();
    static final int SHOWN = 20;
    /** Fields of InitProducerId 6, which is not stable in Kafka and not stated by us. */
    static final List<String> NOT_STATED = List.of(
            "InitProducerIdRequest.enable2_pc", "InitProducerIdRequest.keep_prepared_txn",
            "InitProducerIdResponse.ongoing_txn_producer_id", "InitProducerIdResponse.ongoing_txn_producer_epoch");

    public static void main(String[] args) throws Exception {
        List<Release> releases = new ArrayList<>();
        for (int i = 1; i < args.length; i++) {
            releases.add(new Release(args[i].split("=", 2)[0], args[i].split("=", 2)[1]));
        }
        long passed = 0, failed = 0;
        // Message and version, to the releases that judged it.
        Map<String, TreeSet<String>> judged = new TreeMap<>();
        try (BufferedReader lines = Files.newBufferedReader(Path.of(args[0]))) {
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                String[] part = line.split("\t", -1);
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
        // A field that no release has ever shown is a field of ours alone.
        for (String field : unseen(releases)) {
            failed++;
            System.out.println("FAILED no release knows the field " + field);
        }
        for (Release release : releases) {
            System.out.println(release.name + ": " + release.passed + " judgements");
        }
        System.out.println(judged.size() + " messages and versions");
        System.out.println(passed + " passed, " + failed + " failed");
        System.exit(failed == 0 ? 0 : 1);
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
        final Class<?> accessor, readable, writable, cache;
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
                        "org.apache.kafka.coordinator.group.generated." + message)) {
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

        /** Whether this release has this version of a message. */
        boolean has(Class<?> type, short version) throws Exception {
            Object empty = type.getConstructor().newInstance();
            short lowest = (Short) type.getMethod("lowestSupportedVersion").invoke(empty);
            short highest = (Short) type.getMethod("highestSupportedVersion").invoke(empty);
            return lowest <= version && version <= highest;
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

        String value(String[] part) throws Exception {
            Class<?> type = message(part[1]);
            short version = Short.parseShort(part[2]);
            if (type == null || !has(type, version)) {
                return UNKNOWN;
            }
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
                String our = ours.remove(leaf.getKey());
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
