// The programs of this script, told apart by the first argument. All of it is what anybody would write against
// Kafka Streams; nothing here knows what the broker is.
//
//   count APP STATE IN OUT         word count, at least once, until SIGTERM
//   join APP STATE STORE PREFIX    exactly once v2: PREFIX-orders joined with the table PREFIX-customers, repartitioned by
//                                  region and numbered there by a store; one record to PREFIX-out for each order
//   zoo APP STATE PREFIX           windows, suppression, a stream-stream join, a foreign-key join
//   topics N NAME...               makes the topics with N partitions
//   customers PREFIX               fills the table; region of customer c is c % 5
//   orders PREFIX COUNT RATE       COUNT orders, RATE in a second, over restarts of the broker
//   orders-check PREFIX COUNT      reads PREFIX-out committed and compares
//   store-check APP COUNT          the changelog of the counting store, committed, says the same
//   words-check OUT FILE           the last count of each word in OUT is that of FILE (`word count` lines)
//   zoo-feed PREFIX, zoo-check PREFIX

import java.nio.file.*;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.common.utils.Bytes;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.errors.StreamsUncaughtExceptionHandler.StreamThreadExceptionResponse;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.processor.api.*;
import org.apache.kafka.streams.state.*;

public class App {
    static final String BROKER = System.getenv("KAFKA");
    static final int CUSTOMERS = 50, REGIONS = 5;

    public static void main(String[] a) throws Exception {
        switch (a[0]) {
            case "count" -> run(count(a[3], a[4]), a[1], a[2], "at_least_once");
            case "join" -> run(join(a[3], a[4]), a[1], a[2], "exactly_once_v2");
            case "zoo" -> run(zoo(a[3]), a[1], a[2], "exactly_once_v2");
            case "topics" -> topics(Integer.parseInt(a[1]), Arrays.asList(a).subList(2, a.length));
            case "customers" -> customers(a[1]);
            case "orders" -> orders(a[1], Integer.parseInt(a[2]), Integer.parseInt(a[3]));
            case "orders-check" -> ordersCheck(a[1], Integer.parseInt(a[2]));
            case "store-check" -> storeCheck(a[1], Integer.parseInt(a[2]));
            case "words-check" -> wordsCheck(a[1], a[2]);
            case "zoo-feed" -> zooFeed(a[1]);
            case "zoo-check" -> zooCheck(a[1]);
            default -> throw new IllegalArgumentException(a[0]);
        }
    }

    // ── topologies

    static Topology count(String in, String out) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(in, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> Arrays.asList(line.toLowerCase().split("[^a-z0-9]+")))
            .filter((key, word) -> !word.isEmpty())
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .to(out, Produced.with(Serdes.String(), Serdes.Long()));
        return builder.build();
    }

    static Topology join(String store, String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        boolean memory = store.equals("memory");
        KeyValueBytesStoreSupplier names =
            memory ? Stores.inMemoryKeyValueStore("names") : Stores.persistentKeyValueStore("names");
        KeyValueBytesStoreSupplier numbers =
            memory ? Stores.inMemoryKeyValueStore("numbers") : Stores.persistentKeyValueStore("numbers");
        builder.addStateStore(Stores.keyValueStoreBuilder(numbers, Serdes.String(), Serdes.Long()));
        KTable<String, String> customers = builder.table(prefix + "-customers",
            Consumed.with(Serdes.String(), Serdes.String()), Materialized.as(names));
        builder.stream(prefix + "-orders", Consumed.with(Serdes.String(), Serdes.String()))
            .leftJoin(customers, (customer, order, name) -> order + "|" + name + "|" + customer)
            .selectKey((customer, value) -> "region-" + Integer.parseInt(customer) % REGIONS)
            .repartition(Repartitioned.with(Serdes.String(), Serdes.String()).withName("regions"))
            .process(Numbering::new, "numbers")
            .to(prefix + "-out", Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    /** Numbers what passes, for each key, in a store. */
    static class Numbering implements Processor<String, String, String, String> {
        private ProcessorContext<String, String> context;
        private KeyValueStore<String, Long> numbers;

        @Override public void init(ProcessorContext<String, String> context) {
            this.context = context;
            numbers = context.getStateStore("numbers");
        }

        @Override public void process(org.apache.kafka.streams.processor.api.Record<String, String> order) {
            Long before = numbers.get(order.key());
            long number = before == null ? 1 : before + 1;
            numbers.put(order.key(), number);
            context.forward(order.withValue(order.value() + "|" + number));
        }
    }

    static Topology zoo(String prefix) {
        StreamsBuilder builder = new StreamsBuilder();
        var strings = Consumed.with(Serdes.String(), Serdes.String());
        KStream<String, String> clicks = builder.stream(prefix + "-clicks", strings);
        clicks.groupByKey()
            .windowedBy(TimeWindows.ofSizeAndGrace(Duration.ofSeconds(10), Duration.ofSeconds(5)))
            .count(Materialized.<String, Long, WindowStore<Bytes, byte[]>>as("ten"))
            .suppress(Suppressed.untilWindowCloses(Suppressed.BufferConfig.unbounded()))
            .toStream()
            .map((window, n) -> KeyValue.pair("window|" + window.key() + "|" + window.window().start(), "" + n))
            .to(prefix + "-out", Produced.with(Serdes.String(), Serdes.String()));
        clicks.groupByKey()
            .windowedBy(SessionWindows.ofInactivityGapWithNoGrace(Duration.ofSeconds(3)))
            .count()
            .toStream()
            .filter((window, n) -> n != null)
            .map((window, n) -> KeyValue.pair("session|" + window.key() + "|" + window.window().start(), "" + n))
            .to(prefix + "-out", Produced.with(Serdes.String(), Serdes.String()));
        KStream<String, String> views = builder.stream(prefix + "-views", strings);
        clicks.join(views, (click, view) -> click + "+" + view, JoinWindows.ofTimeDifferenceWithNoGrace(Duration.ofSeconds(1)),
                StreamJoined.with(Serdes.String(), Serdes.String(), Serdes.String()))
            .map((key, both) -> KeyValue.pair("pair|" + key + "|" + both, both))
            .to(prefix + "-out", Produced.with(Serdes.String(), Serdes.String()));
        KTable<String, String> pages = builder.table(prefix + "-pages", strings);
        KTable<String, String> authors = builder.table(prefix + "-authors", strings);
        pages.join(authors, author -> author, (author, name) -> author + "=" + name)
            .toStream((page, text) -> "page|" + page)
            .to(prefix + "-out", Produced.with(Serdes.String(), Serdes.String()));
        return builder.build();
    }

    static void run(Topology topology, String app, String state, String guarantee) throws Exception {
        Properties p = new Properties();
        p.put("bootstrap.servers", BROKER);
        p.put("application.id", app);
        p.put("client.id", app + "-" + ProcessHandle.current().pid());
        p.put("state.dir", state);
        p.put("processing.guarantee", guarantee);
        p.put("num.stream.threads", 2);
        p.put("replication.factor", 1);
        p.put("commit.interval.ms", 100);
        p.put("num.standby.replicas", 1);
        p.put("repartition.purge.interval.ms", 2000);
        p.put("default.key.serde", Serdes.StringSerde.class);
        p.put("default.value.serde", Serdes.StringSerde.class);
        p.put("statestore.cache.max.bytes", 0);
        p.put("consumer.session.timeout.ms", 6000);
        p.put("consumer.heartbeat.interval.ms", 1000);
        p.put("consumer.auto.offset.reset", "earliest");
        KafkaStreams streams = new KafkaStreams(topology, p);
        CountDownLatch end = new CountDownLatch(1);
        streams.setStateListener((now, before) -> System.out.println("state " + now));
        streams.setUncaughtExceptionHandler(error -> {
            System.out.println("uncaught " + error);
            error.printStackTrace();
            return StreamThreadExceptionResponse.REPLACE_THREAD;
        });
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            streams.close(Duration.ofSeconds(20));
            end.countDown();
        }));
        streams.start();
        end.await();
    }

    // ── what goes in

    static void topics(int partitions, List<String> names) throws Exception {
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", BROKER))) {
            admin.createTopics(names.stream().map(name -> new NewTopic(name, partitions, (short) 1)).toList()).all().get();
        }
    }

    static KafkaProducer<String, String> producer() {
        return new KafkaProducer<>(Map.of("bootstrap.servers", BROKER, "linger.ms", 5, "delivery.timeout.ms", 300000),
            new StringSerializer(), new StringSerializer());
    }

    static void customers(String prefix) {
        try (var producer = producer()) {
            for (int c = 0; c < CUSTOMERS; c++)
                producer.send(new ProducerRecord<>(prefix + "-customers", "" + c, "name-" + c));
        }
    }

    static void orders(String prefix, int count, int rate) throws Exception {
        List<Exception> lost = Collections.synchronizedList(new ArrayList<>());
        try (var producer = producer()) {
            long began = System.nanoTime();
            for (int order = 0; order < count; order++) {
                long early = began + order * 1_000_000_000L / rate - System.nanoTime();
                if (early > 0) TimeUnit.NANOSECONDS.sleep(early);
                producer.send(new ProducerRecord<>(prefix + "-orders", "" + order % CUSTOMERS, "" + order),
                    (place, error) -> { if (error != null) lost.add(error); });
            }
        }
        if (!lost.isEmpty()) throw new RuntimeException(lost.size() + " orders not written", lost.get(0));
        System.out.println("orders written " + count);
    }

    static void zooFeed(String prefix) throws Exception {
        long base = System.currentTimeMillis() / 60_000 * 60_000 - 120_000;
        try (var producer = producer()) {
            for (int a = 0; a < 3; a++) producer.send(new ProducerRecord<>(prefix + "-authors", "a" + a, "author " + a));
            for (int p = 0; p < 9; p++) producer.send(new ProducerRecord<>(prefix + "-pages", "p" + p, "a" + p % 3));
            // Twenty clicks of each of two users, a second apart, a view with every fifth; then one far ahead in each
            // partition, which closes all windows.
            for (int second = 0; second < 20; second++)
                for (String user : List.of("ann", "bob")) {
                    producer.send(new ProducerRecord<>(prefix + "-clicks", null, base + second * 1000L, user, "c" + second));
                    if (second % 5 == 0)
                        producer.send(new ProducerRecord<>(prefix + "-views", null, base + second * 1000L + 100, user, "v" + second));
                }
            for (int partition = 0; partition < 2; partition++)
                producer.send(new ProducerRecord<>(prefix + "-clicks", partition, base + 100_000, "end" + partition, "e"));
        }
        System.out.println("base " + base);
    }

    // ── what comes out

    interface Each { void take(ConsumerRecord<byte[], byte[]> found); }

    /** All of a topic from its start to its end as it is now; returns how many records. */
    static long read(String topic, String isolation, Each each) {
        Map<String, Object> p = Map.of("bootstrap.servers", BROKER, "isolation.level", isolation,
            "enable.auto.commit", "false", "auto.offset.reset", "none");
        long n = 0;
        try (var consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
            List<TopicPartition> all = consumer.partitionsFor(topic).stream()
                .map(info -> new TopicPartition(topic, info.partition())).toList();
            consumer.assign(all);
            consumer.seekToBeginning(all);
            Map<TopicPartition, Long> ends = consumer.endOffsets(all);
            long limit = System.nanoTime() + 30_000_000_000L;
            while (all.stream().anyMatch(one -> consumer.position(one) < ends.get(one))) {
                if (System.nanoTime() > limit) throw new RuntimeException("no end of " + topic + " to be read: " + ends);
                for (var found : consumer.poll(Duration.ofMillis(200))) {
                    each.take(found);
                    n++;
                }
            }
        }
        return n;
    }

    static String text(byte[] bytes) { return bytes == null ? null : new String(bytes); }

    static void ordersCheck(String prefix, int count) throws Exception {
        long limit = System.nanoTime() + 180_000_000_000L;
        while (true) {
            int[] times = new int[count];
            Map<String, Long> last = new TreeMap<>();
            List<String> wrong = new ArrayList<>();
            long n = read(prefix + "-out", "read_committed", found -> {
                String[] part = text(found.value()).split("\\|");
                int order = Integer.parseInt(part[0]), customer = Integer.parseInt(part[2]);
                String region = text(found.key());
                times[order]++;
                long number = Long.parseLong(part[3]), before = last.getOrDefault(region, 0L);
                if (number != before + 1) wrong.add(region + " goes from " + before + " to " + number);
                last.put(region, number);
                if (!part[1].equals("name-" + customer) || customer != order % CUSTOMERS || !region.equals("region-" + customer % REGIONS))
                    wrong.add("joined wrongly: " + text(found.value()));
            });
            long twice = Arrays.stream(times).filter(t -> t > 1).count(), never = Arrays.stream(times).filter(t -> t == 0).count();
            if (twice > 0) wrong.add(twice + " orders came more than once");
            if (!wrong.isEmpty() || (never > 0 && System.nanoTime() > limit)) {
                System.out.println("of " + count + " orders " + never + " never, " + n + " records; " + last);
                wrong.stream().limit(10).forEach(System.out::println);
                System.exit(1);
            }
            if (never == 0) {
                long raw = read(prefix + "-out", "read_uncommitted", found -> { });
                System.out.println("exact: " + n + " records, " + (raw - n) + " more in aborted transactions; " + last);
                return;
            }
            Thread.sleep(500);
        }
    }

    static void storeCheck(String app, int count) {
        Map<String, Long> last = new TreeMap<>();
        List<String> wrong = new ArrayList<>();
        read(app + "-numbers-changelog", "read_committed", found -> {
            long number = new LongDeserializer().deserialize("", found.value());
            if (number <= last.getOrDefault(text(found.key()), 0L)) wrong.add(text(found.key()) + " goes back to " + number);
            last.put(text(found.key()), number);
        });
        long sum = last.values().stream().mapToLong(n -> n).sum();
        System.out.println(last + " " + wrong);
        if (sum != count || last.size() != REGIONS || !wrong.isEmpty()) System.exit(1);
    }

    static void wordsCheck(String out, String file) throws Exception {
        Map<String, Long> want = new TreeMap<>();
        for (String line : Files.readAllLines(Path.of(file))) {
            String[] part = line.trim().split(" ");
            want.put(part[0], Long.parseLong(part[1]));
        }
        Map<String, Long> have = new TreeMap<>();
        for (int attempt = 0; attempt < 60; attempt++) {
            have.clear();
            read(out, "read_committed", found -> have.put(text(found.key()), new LongDeserializer().deserialize("", found.value())));
            if (have.equals(want)) { System.out.println(want.size() + " words"); return; }
            Thread.sleep(500);
        }
        want.forEach((word, n) -> { if (!n.equals(have.get(word))) System.out.println(word + ": " + have.get(word) + " for " + n); });
        System.exit(1);
    }

    static void zooCheck(String prefix) throws Exception {
        Map<String, String> have = new TreeMap<>();
        for (int attempt = 0; attempt < 60; attempt++) {
            have.clear();
            read(prefix + "-out", "read_committed", found -> have.put(text(found.key()), text(found.value())));
            long windows = have.keySet().stream().filter(k -> k.startsWith("window|ann") || k.startsWith("window|bob")).count();
            boolean tens = have.entrySet().stream().filter(e -> e.getKey().startsWith("window|ann") || e.getKey().startsWith("window|bob"))
                .allMatch(e -> e.getValue().equals("10"));
            long sessions = have.entrySet().stream().filter(e -> e.getKey().startsWith("session|ann") || e.getKey().startsWith("session|bob"))
                .filter(e -> e.getValue().equals("20")).count();
            long pairs = have.keySet().stream().filter(k -> k.startsWith("pair|")).count();
            long pages = have.entrySet().stream().filter(e -> e.getKey().startsWith("page|") && e.getValue().contains("=author ")).count();
            // A view at second s + 0.1 pairs with the clicks at s and s + 1, for s = 0, 5, 10, 15 and two users.
            if (windows == 4 && tens && sessions == 2 && pairs == 16 && pages == 9) { System.out.println(have.size() + " results"); return; }
            String kinds = windows + " windows (all ten: " + tens + "), " + sessions + " sessions of 20, " + pairs + " pairs, " + pages + " pages";
            if (attempt == 59) System.out.println(kinds + " " + have);
            Thread.sleep(500);
        }
        System.exit(1);
    }
}
