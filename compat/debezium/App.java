// Debezium's two stores on a broker: the history of schemas, driven as a connector of databases drives it, and the offsets
// of its embedded engine, which runs Connect's file source here. Prints PASS and FAIL lines.

import io.debezium.config.Configuration;
import io.debezium.engine.*;
import io.debezium.relational.*;
import io.debezium.relational.ddl.DdlParser;
import io.debezium.relational.history.*;
import io.debezium.storage.kafka.history.KafkaSchemaHistory;
import java.lang.reflect.Proxy;
import java.nio.file.*;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.connect.source.SourceRecord;

public class App {
    static final String BROKER = System.getenv("KAFKA");

    interface Step { void run() throws Exception; }

    static void step(String name, Step step) {
        try {
            step.run();
            System.out.println("PASS " + name);
        } catch (Throwable error) {
            error.printStackTrace();
            System.out.println("FAIL " + name + ": " + error);
        }
    }

    static void equal(Object got, Object expected) {
        if (!Objects.equals(expected, got)) throw new AssertionError("expected " + expected + ", got " + got);
    }

    static KafkaSchemaHistory history() {
        KafkaSchemaHistory history = new KafkaSchemaHistory();
        history.configure(Configuration.create()
            .with(KafkaSchemaHistory.TOPIC, "schema-history")
            .with(KafkaSchemaHistory.BOOTSTRAP_SERVERS, BROKER)
            .with(KafkaSchemaHistory.RECOVERY_POLL_INTERVAL_MS, 500)
            .with(SchemaHistory.NAME, "shop-history")
            .with(SchemaHistory.INTERNAL_CONNECTOR_CLASS, "org.apache.kafka.connect.file.FileStreamSourceConnector")
            .with(SchemaHistory.INTERNAL_CONNECTOR_ID, "shop")
            .build(), HistoryRecordComparator.INSTANCE, SchemaHistoryListener.NOOP, true);
        history.start();
        return history;
    }

    /** What a fresh history gives back up to a position. */
    static List<String> recovered(long position) throws Exception {
        List<String> found = new ArrayList<>();
        DdlParser parser = (DdlParser) Proxy.newProxyInstance(App.class.getClassLoader(), new Class<?>[] {DdlParser.class}, (self, method, a) -> {
            if (method.getName().equals("parse")) found.add((String) a[0]);
            return null;
        });
        KafkaSchemaHistory history = history();
        history.recover(Map.of(Map.of("server", "shop"), Map.of("position", position)), new Tables(), parser);
        history.stop();
        return found;
    }

    static Map<String, String> config(Admin admin, String topic) throws Exception {
        Map<String, String> found = new TreeMap<>();
        admin.describeConfigs(List.of(new ConfigResource(ConfigResource.Type.TOPIC, topic))).all().get().values()
            .forEach(config -> config.entries().forEach(entry -> found.put(entry.name(), entry.value())));
        return found;
    }

    /** Runs the engine over the file until so many records came (or more than it should), then stops it. */
    static List<String> engine(Path file, int want) throws Exception {
        Properties p = new Properties();
        p.put("name", "engine");
        p.put("connector.class", "org.apache.kafka.connect.file.FileStreamSourceConnector");
        p.put("tasks.max", "1");
        p.put("file", file.toString());
        p.put("topic", "lines");
        p.put("topic.prefix", "lines");
        p.put("bootstrap.servers", BROKER);
        p.put("offset.storage", "org.apache.kafka.connect.storage.KafkaOffsetBackingStore");
        p.put("offset.storage.topic", "engine-offsets");
        p.put("offset.storage.partitions", "3");
        p.put("offset.storage.replication.factor", "1");
        p.put("offset.flush.interval.ms", "0");
        List<String> found = Collections.synchronizedList(new ArrayList<>());
        CountDownLatch ended = new CountDownLatch(1);
        List<String> trouble = Collections.synchronizedList(new ArrayList<>());
        DebeziumEngine<ChangeEvent<SourceRecord, SourceRecord>> engine = DebeziumEngine.create(io.debezium.embedded.Connect.class).using(p)
            .using((success, message, error) -> { if (!success) trouble.add(message + " " + error); ended.countDown(); })
            .notifying(event -> found.add((String) event.value().value()))
            .build();
        ExecutorService one = Executors.newSingleThreadExecutor();
        one.execute(engine);
        long limit = System.nanoTime() + 60_000_000_000L;
        while (found.size() < want && System.nanoTime() < limit && trouble.isEmpty()) Thread.sleep(50);
        Thread.sleep(1500);
        engine.close();
        ended.await(30, TimeUnit.SECONDS);
        one.shutdownNow();
        equal(trouble, List.of());
        return List.copyOf(found);
    }

    public static void main(String[] a) throws Exception {
        Path file = Path.of(a[0], "lines");
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", BROKER))) {
            step("schema_history_makes_its_topic", () -> {
                KafkaSchemaHistory history = history();
                equal(history.storageExists(), false);
                history.initializeStorage();
                equal(history.storageExists(), true);
                equal(history.exists(), false);
                history.checkStorageSettings();
                history.stop();
                var config = config(admin, "schema-history");
                equal(config.get("cleanup.policy"), "delete");
                equal(config.get("retention.ms"), "" + Long.MAX_VALUE);
                equal(config.get("retention.bytes"), "-1");
                equal(admin.describeTopics(List.of("schema-history")).allTopicNames().get().get("schema-history").partitions().size(), 1);
            });
            step("schema_history_is_recovered", () -> {
                KafkaSchemaHistory history = history();
                List<String> want = new ArrayList<>();
                for (long n = 0; n < 300; n++) {
                    String ddl = "CREATE TABLE t" + n + " (id INT PRIMARY KEY, note VARCHAR(" + (n + 1) + "))";
                    history.record(Map.of("server", "shop"), Map.of("position", n), "shop", ddl);
                    want.add(ddl);
                }
                equal(history.exists(), true);
                history.stop();
                equal(recovered(1000), want);
                equal(recovered(99), want.subList(0, 100));
            });
            step("engine_keeps_its_offsets", () -> {
                List<String> lines = new ArrayList<>();
                for (int n = 0; n < 200; n++) lines.add("line " + n);
                Files.write(file, lines);
                equal(engine(file, 200), lines);
                equal(config(admin, "engine-offsets").get("cleanup.policy"), "compact");
                List<String> more = List.of("late 1", "late 2", "late 3");
                Files.write(file, more, StandardOpenOption.APPEND);
                equal(engine(file, 3), more);
            });
        }
        System.out.println("DONE");
        System.exit(0);
    }
}
