// A Flink job on a cluster within this process: Kafka's source, one mapping, Kafka's sink, exactly once.
//
//   App IN OUT CHECKPOINTS [RESTORE]    until it is killed; RESTORE is the folder of a checkpoint
//
// The value `fail` makes the mapping fail, once in a process: Flink then goes back to its last checkpoint.

import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.MapFunction;
import org.apache.flink.api.common.serialization.SimpleStringSchema;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.connector.base.DeliveryGuarantee;
import org.apache.flink.connector.kafka.sink.*;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;

public class App {
    static final AtomicBoolean FAILED = new AtomicBoolean();

    static class Mapping implements MapFunction<String, String> {
        @Override public String map(String value) {
            if (value.equals("fail") && !FAILED.getAndSet(true)) throw new IllegalStateException("asked to fail");
            return "out " + value;
        }
    }

    public static void main(String[] a) throws Exception {
        String broker = System.getenv("KAFKA");
        Configuration conf = new Configuration();
        conf.setString("parallelism.default", "2");
        conf.setString("execution.checkpointing.interval", "700ms");
        conf.setString("execution.checkpointing.dir", "file://" + a[2]);
        conf.setString("execution.checkpointing.externalized-checkpoint-retention", "RETAIN_ON_CANCELLATION");
        conf.setString("execution.checkpointing.num-retained", "3");
        conf.setString("restart-strategy.type", "fixed-delay");
        conf.setString("restart-strategy.fixed-delay.attempts", "1000");
        conf.setString("restart-strategy.fixed-delay.delay", "500ms");
        conf.setString("taskmanager.memory.network.min", "32mb");
        conf.setString("taskmanager.memory.network.max", "32mb");
        conf.setString("taskmanager.memory.managed.size", "16mb");
        if (a.length > 3) conf.setString("execution.state-recovery.path", "file://" + a[3]);
        StreamExecutionEnvironment env = StreamExecutionEnvironment.getExecutionEnvironment(conf);
        KafkaSource<String> source = KafkaSource.<String>builder()
            .setBootstrapServers(broker)
            .setTopics(a[0])
            .setGroupId("flink")
            .setStartingOffsets(OffsetsInitializer.earliest())
            .setValueOnlyDeserializer(new SimpleStringSchema())
            .setProperty("partition.discovery.interval.ms", "1000")
            .build();
        KafkaSink<String> sink = KafkaSink.<String>builder()
            .setBootstrapServers(broker)
            .setRecordSerializer(KafkaRecordSerializationSchema.<String>builder().setTopic(a[1])
                .setValueSerializationSchema(new SimpleStringSchema()).build())
            .setDeliveryGuarantee(DeliveryGuarantee.EXACTLY_ONCE)
            .setTransactionalIdPrefix("flink")
            .setProperty("transaction.timeout.ms", "60000")
            .build();
        env.fromSource(source, WatermarkStrategy.noWatermarks(), "in").uid("in")
            .map(new Mapping()).uid("map")
            .sinkTo(sink).uid("out");
        env.execute("exact");
    }
}
