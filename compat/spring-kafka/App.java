// Spring's listener containers on a broker: what an application configured by hand would have. One step for each
// feature; prints PASS and FAIL lines.

import java.time.Duration;
import java.util.*;
import java.util.concurrent.*;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.AdminClient;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;
import org.springframework.context.annotation.*;
import org.springframework.kafka.annotation.*;
import org.springframework.kafka.config.*;
import org.springframework.kafka.core.*;
import org.springframework.kafka.listener.*;
import org.springframework.kafka.requestreply.ReplyingKafkaTemplate;
import org.springframework.kafka.support.Acknowledgment;
import org.springframework.kafka.support.KafkaHeaders;
import org.springframework.kafka.transaction.KafkaTransactionManager;
import org.springframework.messaging.handler.annotation.Header;
import org.springframework.messaging.handler.annotation.SendTo;
import org.springframework.scheduling.concurrent.ThreadPoolTaskScheduler;
import org.springframework.transaction.annotation.EnableTransactionManagement;
import org.springframework.util.backoff.FixedBackOff;

public class App {
    static final String BROKER = System.getenv("KAFKA");

    @Configuration
    @EnableKafka
    @EnableKafkaRetryTopic
    @EnableTransactionManagement
    static class Beans {
        @Bean KafkaAdmin admin() { return new KafkaAdmin(Map.of("bootstrap.servers", BROKER)); }

        /** Topics that the application declares: KafkaAdmin makes them at the start. */
        @Bean KafkaAdmin.NewTopics topics() {
            return new KafkaAdmin.NewTopics(List.of("plain", "batch", "poison", "poison-dlt", "retried", "in", "out", "ask", "answers", "regex-one")
                .stream().map(name -> TopicBuilder.name(name).partitions(3).replicas(1).config("retention.ms", "3600000").build())
                .toArray(NewTopic[]::new));
        }

        @Bean ProducerFactory<String, String> producers() {
            return new DefaultKafkaProducerFactory<>(Map.of("bootstrap.servers", BROKER), new StringSerializer(), new StringSerializer());
        }

        @Bean @Primary KafkaTemplate<String, String> template(ProducerFactory<String, String> producers) {
            return new KafkaTemplate<>(producers);
        }

        @Bean KafkaTemplate<String, String> transactional() {
            var factory = new DefaultKafkaProducerFactory<String, String>(Map.of("bootstrap.servers", BROKER), new StringSerializer(), new StringSerializer());
            factory.setTransactionIdPrefix("spring-");
            return new KafkaTemplate<>(factory);
        }

        @Bean KafkaTransactionManager<String, String> transactions(@org.springframework.beans.factory.annotation.Qualifier("transactional") KafkaTemplate<String, String> transactional) {
            return new KafkaTransactionManager<>(transactional.getProducerFactory());
        }

        static ConsumerFactory<String, String> consumers(String... more) {
            Map<String, Object> p = new HashMap<>(Map.of("bootstrap.servers", BROKER, "auto.offset.reset", "earliest",
                "isolation.level", "read_committed", "metadata.max.age.ms", 1000, "session.timeout.ms", 6000));
            for (int n = 0; n < more.length; n += 2) if (more[n + 1] == null) p.remove(more[n]); else p.put(more[n], more[n + 1]);
            return new DefaultKafkaConsumerFactory<>(p, new StringDeserializer(), new StringDeserializer());
        }

        static ConcurrentKafkaListenerContainerFactory<String, String> containers(ConsumerFactory<String, String> consumers) {
            var factory = new ConcurrentKafkaListenerContainerFactory<String, String>();
            factory.setConsumerFactory(consumers);
            factory.setConcurrency(2);
            return factory;
        }

        @Bean ConcurrentKafkaListenerContainerFactory<String, String> kafkaListenerContainerFactory(KafkaTemplate<String, String> template) {
            var factory = containers(consumers());
            factory.setReplyTemplate(template);
            return factory;
        }

        @Bean ConcurrentKafkaListenerContainerFactory<String, String> manual() {
            var factory = containers(consumers());
            factory.getContainerProperties().setAckMode(ContainerProperties.AckMode.MANUAL_IMMEDIATE);
            return factory;
        }

        @Bean ConcurrentKafkaListenerContainerFactory<String, String> batches() {
            var factory = containers(consumers("group.protocol", "consumer", "session.timeout.ms", null));
            factory.setBatchListener(true);
            return factory;
        }

        @Bean ConcurrentKafkaListenerContainerFactory<String, String> withDeadLetters(KafkaTemplate<String, String> template) {
            var factory = containers(consumers());
            factory.setCommonErrorHandler(new DefaultErrorHandler(new DeadLetterPublishingRecoverer(template), new FixedBackOff(100, 2)));
            return factory;
        }

        @Bean ConcurrentKafkaListenerContainerFactory<String, String> exactlyOnce(KafkaTransactionManager<String, String> transactions) {
            var factory = containers(consumers());
            factory.getContainerProperties().setKafkaAwareTransactionManager(transactions);
            factory.getContainerProperties().setEosMode(ContainerProperties.EOSMode.V2);
            factory.setAfterRollbackProcessor(new DefaultAfterRollbackProcessor<>(new FixedBackOff(50, 20)));
            return factory;
        }

        @Bean ThreadPoolTaskScheduler scheduler() { return new ThreadPoolTaskScheduler(); }

        @Bean ReplyingKafkaTemplate<String, String, String> replying(ProducerFactory<String, String> producers) {
            var properties = new ContainerProperties("answers");
            properties.setGroupId("answers");
            return new ReplyingKafkaTemplate<>(producers, new KafkaMessageListenerContainer<>(consumers(), properties));
        }

        @Bean Listeners listeners(@org.springframework.beans.factory.annotation.Qualifier("transactional") KafkaTemplate<String, String> transactional) {
            return new Listeners(transactional);
        }
    }

    static class Listeners {
        final Queue<String> plain = new ConcurrentLinkedQueue<>(), batch = new ConcurrentLinkedQueue<>(), good = new ConcurrentLinkedQueue<>(),
            dead = new ConcurrentLinkedQueue<>(), tried = new ConcurrentLinkedQueue<>(), given = new ConcurrentLinkedQueue<>(), regex = new ConcurrentLinkedQueue<>();
        final AtomicInteger largest = new AtomicInteger(), rolledBack = new AtomicInteger();
        final Map<String, Boolean> failedOnce = new ConcurrentHashMap<>();
        final KafkaTemplate<String, String> transactional;

        Listeners(KafkaTemplate<String, String> transactional) { this.transactional = transactional; }

        @KafkaListener(id = "plain", topics = "plain", containerFactory = "manual")
        void plain(ConsumerRecord<String, String> found, Acknowledgment done) {
            plain.add(found.value());
            done.acknowledge();
        }

        @KafkaListener(id = "batch", topics = "batch", containerFactory = "batches")
        void batch(List<String> found) {
            batch.addAll(found);
            largest.accumulateAndGet(found.size(), Math::max);
        }

        @KafkaListener(id = "poison", topics = "poison", containerFactory = "withDeadLetters")
        void poison(String found) {
            if (found.startsWith("bad")) throw new IllegalStateException("not " + found);
            good.add(found);
        }

        @KafkaListener(id = "dead", topics = "poison-dlt")
        void dead(ConsumerRecord<String, String> found) {
            dead.add(found.value() + " from " + new String(found.headers().lastHeader(KafkaHeaders.DLT_ORIGINAL_TOPIC).value()));
        }

        @RetryableTopic(attempts = "3", backOff = @org.springframework.kafka.annotation.BackOff(delay = 300), numPartitions = "1", replicationFactor = "1", kafkaTemplate = "template")
        @KafkaListener(id = "retried", topics = "retried")
        void retried(String found, @Header(KafkaHeaders.RECEIVED_TOPIC) String topic) {
            tried.add(topic);
            throw new IllegalStateException("never");
        }

        @DltHandler void given(String found, @Header(KafkaHeaders.RECEIVED_TOPIC) String topic) { given.add(topic + ":" + found); }

        /** Consume, transform, produce: every fifth record fails at its first try, after it was sent. */
        @KafkaListener(id = "once", topics = "in", containerFactory = "exactlyOnce")
        void once(ConsumerRecord<String, String> found) {
            transactional.send("out", found.key(), found.value().toUpperCase());
            if (Integer.parseInt(found.key()) % 5 == 0 && failedOnce.put(found.key(), true) == null) {
                rolledBack.incrementAndGet();
                throw new IllegalStateException("at the first try");
            }
        }

        @KafkaListener(id = "ask", topics = "ask")
        @SendTo String ask(String question) { return "re: " + question; }

        @KafkaListener(id = "regex", topicPattern = "regex-.*")
        void regex(String found) { regex.add(found); }
    }

    // ── steps

    static AnnotationConfigApplicationContext context;
    static Listeners seen;
    static KafkaTemplate<String, String> template;

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

    static void within(int seconds, String what, BooleanSupplier condition) throws Exception {
        long limit = System.nanoTime() + seconds * 1_000_000_000L;
        while (!condition.getAsBoolean()) {
            if (System.nanoTime() > limit) throw new AssertionError("not within " + seconds + " s: " + what);
            Thread.sleep(50);
        }
    }

    static void equal(Object got, Object expected) {
        if (!expected.equals(got)) throw new AssertionError("expected " + expected + ", got " + got);
    }

    static void send(String topic, int count, String text) throws Exception {
        List<CompletableFuture<?>> sent = new ArrayList<>();
        for (int n = 0; n < count; n++) sent.add(template.send(topic, "" + n, text + n));
        for (var one : sent) one.get(30, TimeUnit.SECONDS);
    }

    static List<String> read(String topic, String isolation) {
        List<String> found = new ArrayList<>();
        try (var consumer = Beans.consumers("isolation.level", isolation, "group.id", "reader").createConsumer()) {
            var parts = consumer.partitionsFor(topic).stream().map(p -> new TopicPartition(topic, p.partition())).toList();
            consumer.assign(parts);
            consumer.seekToBeginning(parts);
            var ends = consumer.endOffsets(parts);
            long limit = System.nanoTime() + 20_000_000_000L;
            while (parts.stream().anyMatch(p -> consumer.position(p) < ends.get(p)) && System.nanoTime() < limit)
                consumer.poll(Duration.ofMillis(200)).forEach(one -> found.add(one.value()));
        }
        return found;
    }

    static long committed(String group) throws Exception {
        try (var admin = AdminClient.create(Map.of("bootstrap.servers", BROKER))) {
            return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get().values().stream().mapToLong(OffsetAndMetadata::offset).sum();
        }
    }

    public static void main(String[] a) throws Exception {
        step("context_starts", () -> {
            context = new AnnotationConfigApplicationContext(Beans.class);
            seen = context.getBean(Listeners.class);
            template = context.getBean("template", KafkaTemplate.class);
            var registry = context.getBean(KafkaListenerEndpointRegistry.class);
            within(60, "partitions assigned", () -> registry.getAllListenerContainers().stream()
                .filter(c -> c.getListenerId() != null && !c.getListenerId().contains("retried"))
                .allMatch(c -> c.getAssignedPartitions() != null && !c.getAssignedPartitions().isEmpty()));
        });
        step("declared_topics_are_made", () -> {
            var found = context.getBean(KafkaAdmin.class).describeTopics("plain", "out");
            equal(found.get("plain").partitions().size(), 3);
        });
        step("manual_acknowledgement", () -> {
            send("plain", 200, "p");
            within(30, "200 records", () -> seen.plain.size() == 200);
            equal(new TreeSet<>(seen.plain).size(), 200);
            within(30, "200 committed", () -> { try { return committed("plain") == 200; } catch (Exception e) { return false; } });
        });
        step("batch_listener_with_the_consumer_protocol", () -> {
            send("batch", 500, "b");
            within(30, "500 records", () -> seen.batch.size() == 500);
            if (seen.largest.get() < 2) throw new AssertionError("no batch had two records");
        });
        step("error_handler_with_dead_letters", () -> {
            send("poison", 20, "good");
            send("poison", 3, "bad");
            send("poison", 20, "late");
            within(40, "40 good, 3 dead", () -> seen.good.size() >= 40 && seen.dead.size() >= 3);
            equal(new TreeSet<>(seen.good).size(), 40);
            equal(new TreeSet<>(seen.dead), new TreeSet<>(List.of("bad0 from poison", "bad1 from poison", "bad2 from poison")));
        });
        step("retry_topics", () -> {
            template.send("retried", "k", "hopeless").get(30, TimeUnit.SECONDS);
            within(40, "given up: " + seen.tried, () -> seen.given.size() == 1);
            equal(seen.tried.size(), 3);
            equal(seen.given.peek(), "retried-dlt:hopeless");
        });
        step("transactional_template", () -> {
            var transactional = context.getBean("transactional", KafkaTemplate.class);
            transactional.executeInTransaction(t -> { t.send("plain", "t", "in-transaction"); return true; });
            try {
                transactional.executeInTransaction(t -> { t.send("plain", "t", "aborted"); t.flush(); throw new IllegalStateException("undo"); });
            } catch (IllegalStateException expected) { }
            within(30, "the committed record", () -> seen.plain.contains("in-transaction"));
            equal(read("plain", "read_committed").contains("aborted"), false);
            equal(read("plain", "read_uncommitted").contains("aborted"), true);
        });
        step("exactly_once_listener", () -> {
            long began = System.currentTimeMillis();
            send("in", 100, "x");
            within(150, "100 records out", () -> read("out", "read_committed").size() >= 100);
            Thread.sleep(1000);
            List<String> out = read("out", "read_committed");
            equal(out.size(), 100);
            equal(new TreeSet<>(out).size(), 100);
            equal(seen.rolledBack.get(), 20);
            System.out.println("exactly once took " + (System.currentTimeMillis() - began) + " ms");
        });
        step("request_and_reply", () -> {
            var replying = context.getBean(ReplyingKafkaTemplate.class);
            equal(replying.waitForAssignment(Duration.ofSeconds(30)), true);
            var answer = replying.sendAndReceive(new org.apache.kafka.clients.producer.ProducerRecord<>("ask", "k", "who?"), Duration.ofSeconds(20));
            equal(((ConsumerRecord<?, ?>) answer.get(30, TimeUnit.SECONDS)).value(), "re: who?");
        });
        step("pattern_listener_sees_new_topics", () -> {
            context.getBean(KafkaAdmin.class).createOrModifyTopics(TopicBuilder.name("regex-two").partitions(2).replicas(1).build());
            send("regex-two", 10, "r");
            within(30, "records of the new topic", () -> seen.regex.size() == 10);
        });
        step("topics_are_modified", () -> {
            var admin = context.getBean(KafkaAdmin.class);
            admin.setModifyTopicConfigs(true);
            admin.createOrModifyTopics(TopicBuilder.name("plain").partitions(5).replicas(1).config("retention.ms", "7200000").build());
            equal(admin.describeTopics("plain").get("plain").partitions().size(), 5);
        });
        step("stop_and_start_of_a_container", () -> {
            var container = context.getBean(KafkaListenerEndpointRegistry.class).getListenerContainer("batch");
            container.stop();
            within(30, "stopped", () -> !container.isRunning());
            int before = seen.batch.size();
            send("batch", 50, "again");
            Thread.sleep(500);
            equal(seen.batch.size(), before);
            container.start();
            within(60, "what came meanwhile", () -> seen.batch.size() == before + 50);
        });
        step("context_closes", () -> context.close());
        System.out.println("DONE");
        System.exit(0);
    }
}
