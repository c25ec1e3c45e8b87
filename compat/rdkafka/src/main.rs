//! What rdkafka (the Rust binding, with librdkafka built from its source) must be able to do: one step for each behaviour.
//! Prints PASS and FAIL lines, as compat/lib/common.sh reads them.

use std::collections::BTreeSet;
use std::future::Future;
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::message::{Header, Headers, Message, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer};
use rdkafka::{ClientConfig, Offset, TopicPartitionList};

type Outcome = Result<(), String>;
const PARTITIONS: i32 = 4;
const WAIT: Duration = Duration::from_secs(20);

struct Session {
    server: String,
    topic: String,
    admin: AdminClient<DefaultClientContext>,
    sent: Vec<String>,
}

fn text(error: impl std::fmt::Debug) -> String {
    format!("{error:?}")
}

fn equal<T: PartialEq + std::fmt::Debug>(got: T, expected: T, what: &str) -> Outcome {
    if got == expected { Ok(()) } else { Err(format!("{what}: expected {expected:.100?}, got {got:.100?}")) }
}

async fn step(name: &str, run: impl Future<Output = Outcome>) {
    match tokio::time::timeout(Duration::from_secs(60), run).await {
        Ok(Ok(())) => println!("PASS {name}"),
        Ok(Err(why)) => println!("FAIL {name}: {}", why.split_whitespace().collect::<Vec<_>>().join(" ")),
        Err(_) => println!("FAIL {name}: not done in a minute"),
    }
}

impl Session {
    fn config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.server);
        config
    }

    fn producer(&self, settings: &[(&str, &str)]) -> Result<FutureProducer, String> {
        let mut config = self.config();
        config.set("linger.ms", "5").set("message.timeout.ms", "20000");
        config.extend(settings.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        config.create().map_err(text)
    }

    fn consumer(&self, group: &str, settings: &[(&str, &str)]) -> Result<BaseConsumer, String> {
        let mut config = self.config();
        config.set("group.id", format!("{}-{group}", self.topic)).set("auto.offset.reset", "earliest");
        config.set("enable.auto.commit", "false").set("session.timeout.ms", "6000").set("heartbeat.interval.ms", "300");
        config.extend(settings.iter().map(|(key, value)| (key.to_string(), value.to_string())));
        config.create().map_err(text)
    }

    async fn create(&self, name: &str, count: i32, configs: &[(&str, &str)]) -> Outcome {
        let mut topic = NewTopic::new(name, count, TopicReplication::Fixed(1));
        for (key, value) in configs {
            topic = topic.set(key, value);
        }
        let made = self.admin.create_topics(&[topic], &AdminOptions::new()).await.map_err(text)?;
        made[0].as_ref().map(drop).map_err(text)
    }

    async fn send(&self, client: &FutureProducer, topic: &str, values: &[String]) -> Outcome {
        let mut waiting = Vec::new();
        let keys: Vec<String> = (0..values.len()).map(|number| format!("key-{}", number % 7)).collect();
        for (value, key) in values.iter().zip(&keys) {
            let headers = OwnedHeaders::new().insert(Header { key: "h", value: Some("1") });
            let headers = headers.insert(Header { key: "none", value: None::<&str> });
            let record = FutureRecord::to(topic).payload(value).key(key).headers(headers);
            waiting.push(client.send_result(record).map_err(|(error, _)| text(error))?);
        }
        for answer in waiting {
            answer.await.map_err(text)?.map_err(|(error, _)| text(error))?;
        }
        Ok(())
    }

    async fn produce(&mut self, codec: &str, idempotent: &str) -> Outcome {
        let values: Vec<String> =
            (0..300).map(|number| format!("{codec}-{idempotent}-{number}-{}", "x".repeat(number % 50))).collect();
        let client = self.producer(&[("compression.type", codec), ("enable.idempotence", idempotent)])?;
        self.send(&client, &self.topic, &values).await?;
        self.sent.extend(values);
        Ok(())
    }

    /// Reads until `count` values came.
    fn read(&self, reader: &BaseConsumer, count: usize) -> Result<Vec<String>, String> {
        let (mut values, limit) = (Vec::new(), Instant::now() + WAIT);
        while values.len() < count && Instant::now() < limit {
            if let Some(message) = reader.poll(Duration::from_millis(200)) {
                let message = message.map_err(text)?;
                let headers = message.headers().map_or(0, |headers| headers.count());
                equal(headers, 2, "headers")?;
                values.push(String::from_utf8_lossy(message.payload().unwrap_or_default()).into_owned());
            }
        }
        equal(values.len(), count, "records read").map(|()| values)
    }

    async fn consume(&self) -> Outcome {
        let reader = self.consumer("all", &[])?;
        reader.subscribe(&[&self.topic]).map_err(text)?;
        same(self.read(&reader, self.sent.len())?, self.sent.clone())
    }

    async fn commit_and_resume(&self) -> Outcome {
        let (mut got, half) = (Vec::new(), self.sent.len() / 2);
        for count in [half, self.sent.len() - half] {
            let reader = self.consumer("resume", &[])?;
            reader.subscribe(&[&self.topic]).map_err(text)?;
            got.extend(self.read(&reader, count)?);
            reader.commit_consumer_state(CommitMode::Sync).map_err(text)?;
        }
        same(got, self.sent.clone())
    }

    async fn group_of_two(&self, group: &str, settings: &[(&str, &str)]) -> Outcome {
        let held = |reader: &BaseConsumer| -> usize {
            reader.poll(Duration::from_millis(50));
            reader.assignment().map_or(0, |list| list.count())
        };
        let until = |what: &str, mut condition: Box<dyn FnMut() -> bool + '_>| {
            let limit = Instant::now() + WAIT;
            while !condition() {
                if Instant::now() > limit {
                    return Err(format!("never: {what}"));
                }
            }
            Ok(())
        };
        let (one, two) = (self.consumer(group, settings)?, self.consumer(group, settings)?);
        one.subscribe(&[&self.topic]).map_err(text)?;
        until("one member with all", Box::new(|| held(&one) == 4))?;
        two.subscribe(&[&self.topic]).map_err(text)?;
        until("two members with two each", Box::new(|| (held(&one), held(&two)) == (2, 2)))?;
        drop(two);
        until("the member left with all", Box::new(|| held(&one) == 4))
    }

    async fn seek_by_time(&self) -> Outcome {
        let (name, start) = (format!("{}-time", self.topic), 1_700_000_000_000i64);
        // The records are years old: any broker would give them up when it next looks.
        self.create(&name, 1, &[("retention.ms", "-1")]).await?;
        let client = self.producer(&[])?;
        for number in 0..100 {
            let value = number.to_string();
            let record: FutureRecord<'_, (), _> =
                FutureRecord::to(&name).payload(&value).partition(0).timestamp(start + number * 1000);
            client.send_result(record).map_err(|(error, _)| text(error))?;
        }
        client.flush(WAIT).map_err(text)?;
        let reader = self.consumer("time", &[])?;
        let mut asked = TopicPartitionList::new();
        asked.add_partition_offset(&name, 0, Offset::Offset(start + 41_500)).map_err(text)?;
        let found = reader.offsets_for_times(asked, WAIT).map_err(text)?;
        equal(found.elements()[0].offset(), Offset::Offset(42), "offset of the time")?;
        equal(reader.fetch_watermarks(&name, 0, WAIT).map_err(text)?, (0, 100), "watermarks")
    }

    async fn admin(&self) -> Outcome {
        let options = AdminOptions::new();
        let change = AlterConfig::new(ResourceSpecifier::Topic(&self.topic)).set("retention.ms", "7200000");
        self.admin.alter_configs(&[change], &options).await.map_err(text)?[0].as_ref().map_err(text)?;
        let limit = Instant::now() + WAIT;
        loop {
            let told =
                self.admin.describe_configs(&[ResourceSpecifier::Topic(&self.topic)], &options).await.map_err(text)?;
            let told = told[0].as_ref().map_err(text)?.get("retention.ms").and_then(|entry| entry.value.clone());
            if told.as_deref() == Some("7200000") {
                break;
            }
            if Instant::now() > limit {
                return Err(format!("retention.ms is {told:?}"));
            }
        }
        let grow = format!("{}-grow", self.topic);
        self.create(&grow, 1, &[]).await?;
        let grown = self.admin.create_partitions(&[NewPartitions::new(&grow, 3)], &options).await.map_err(text)?;
        grown[0].as_ref().map(drop).map_err(text)
    }

    async fn transactions(&self) -> Outcome {
        let name = format!("{}-txn", self.topic);
        self.create(&name, PARTITIONS, &[]).await?;
        let client = self.producer(&[("transactional.id", &name)])?;
        client.init_transactions(WAIT).map_err(text)?;
        let mut kept = Vec::new();
        for number in 0..6 {
            let values: Vec<String> = (0..20).map(|place| format!("{number}-{place}")).collect();
            client.begin_transaction().map_err(text)?;
            self.send(&client, &name, &values).await?;
            if number % 3 == 0 {
                client.abort_transaction(WAIT).map_err(text)?;
            } else {
                client.commit_transaction(WAIT).map_err(text)?;
                kept.extend(values);
            }
        }
        let reader = self.consumer("careful", &[("isolation.level", "read_committed")])?;
        reader.subscribe(&[&name]).map_err(text)?;
        same(self.read(&reader, kept.len())?, kept)?;
        let young = self.producer(&[("transactional.id", &name)])?;
        client.begin_transaction().map_err(text)?;
        young.init_transactions(WAIT).map_err(text)?;
        self.send(&client, &name, &["zombie".into()])
            .await
            .err()
            .map(drop)
            .ok_or("the old producer was not fenced".into())
    }

    async fn delete(&self) -> Outcome {
        let gone = self.admin.delete_topics(&[&self.topic], &AdminOptions::new()).await.map_err(text)?;
        gone[0].as_ref().map(drop).map_err(text)
    }
}

fn same(got: Vec<String>, expected: Vec<String>) -> Outcome {
    let (got, expected): (BTreeSet<_>, BTreeSet<_>) = (got.into_iter().collect(), expected.into_iter().collect());
    equal(got.difference(&expected).count() + expected.difference(&got).count(), 0, "values that differ")
}

#[tokio::main]
async fn main() {
    let server = std::env::args().nth(1).expect("the server's address");
    let mut config = ClientConfig::new();
    let admin = config.set("bootstrap.servers", &server).create().expect("an admin client");
    let mut session = Session { server, topic: format!("rdkafka-{}", std::process::id()), admin, sent: Vec::new() };
    let name = session.topic.clone();
    step("create", session.create(&name, PARTITIONS, &[("retention.ms", "3600000")])).await;
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        step(&format!("produce-{codec}"), session.produce(codec, "false")).await;
    }
    step("produce-idempotent", session.produce("lz4", "true")).await;
    step("consume", session.consume()).await;
    step("group-rebalance", session.group_of_two("range", &[])).await;
    let cooperative = [("partition.assignment.strategy", "cooperative-sticky")];
    step("group-rebalance-cooperative", session.group_of_two("cooperative", &cooperative)).await;
    step("commit-resume", session.commit_and_resume()).await;
    step("seek-by-time", session.seek_by_time()).await;
    step("admin-configs", session.admin()).await;
    step("transactions", session.transactions()).await;
    step("delete", session.delete()).await;
    println!("DONE");
}
