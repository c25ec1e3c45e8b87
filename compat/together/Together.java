// One participant in Java, for every line of kafka-clients: a writer, or a careful reader (see together.py).

import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Future;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class Together {
    public static void main(String[] arguments) throws Exception {
        String role = arguments[0], server = arguments[1], topic = arguments[2], name = arguments[3], codec = arguments[4];
        int rounds = Integer.parseInt(arguments[5]);
        try (PrintStream out = new PrintStream(arguments[6], StandardCharsets.UTF_8)) {
            if (role.equals("write")) write(server, topic, name, codec, rounds, out);
            else read(server, topic, out);
        }
    }

    static void write(String server, String topic, String name, String codec, int rounds, PrintStream out) throws Exception {
        Map<String, Object> settings = new HashMap<>(Map.of("bootstrap.servers", server, "compression.type", codec, "linger.ms", 2,
                "acks", "all", "enable.idempotence", true));
        var strings = new StringSerializer();
        try (var plain = new KafkaProducer<>(settings, strings, strings)) {
            settings.put("transactional.id", topic + "-" + name);
            try (var careful = new KafkaProducer<>(settings, strings, strings)) {
                careful.initTransactions();
                for (int round = 0; round < rounds; round++) {
                    boolean commit = round % 3 != 2;
                    careful.beginTransaction();
                    List<String> kept = new ArrayList<>();
                    List<Future<RecordMetadata>> futures = new ArrayList<>();
                    for (int number = 0; number < 10; number++) {
                        String value = name + (commit ? "-t-" : "-aborted-") + round + "-" + number, alone = name + "-p-" + round + "-" + number;
                        futures.add(careful.send(new ProducerRecord<>(topic, value, value)));
                        futures.add(plain.send(new ProducerRecord<>(topic, alone, alone)));
                        kept.add(alone);
                        if (commit) kept.add(value);
                    }
                    for (Future<RecordMetadata> future : futures) future.get();
                    if (commit) careful.commitTransaction();
                    else careful.abortTransaction();
                    kept.forEach(out::println);
                }
            }
        }
    }

    static void read(String server, String topic, PrintStream out) {
        Map<String, Object> settings = Map.of("bootstrap.servers", server, "isolation.level", "read_committed");
        var strings = new StringDeserializer();
        try (var reader = new KafkaConsumer<>(settings, strings, strings)) {
            List<TopicPartition> all = new ArrayList<>();
            reader.partitionsFor(topic).forEach(part -> all.add(new TopicPartition(topic, part.partition())));
            reader.assign(all);
            reader.seekToBeginning(all);
            Set<Integer> ended = new HashSet<>();
            while (ended.size() < all.size()) {
                for (ConsumerRecord<String, String> record : reader.poll(Duration.ofMillis(200))) {
                    out.println(record.partition() + " " + record.offset() + " " + record.value());
                    if (record.value().equals("END")) ended.add(record.partition());
                }
            }
        }
    }
}
