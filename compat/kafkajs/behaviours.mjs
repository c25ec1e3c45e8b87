// What kafkajs must be able to do with the Kafka face: one step for each behaviour.
import { compress as zstdCompress, decompress as zstdDecompress, init as zstdInit } from '@bokuweb/zstd-wasm';
import kafkajs from 'kafkajs';
import SnappyCodec from 'kafkajs-snappy';
import lz4 from 'lz4-napi';
import { equal, sleep, step, within } from './steps.mjs';

const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = kafkajs;
await zstdInit();
CompressionCodecs[CompressionTypes.Snappy] = SnappyCodec;
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
});
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstdCompress(encoder.buffer, 3)),
  decompress: async (buffer) => Buffer.from(zstdDecompress(buffer)),
});

const PARTITIONS = 4;
const topic = `kafkajs-${Math.random().toString(36).slice(2, 10)}`;
const group = `${topic}-group`;
const kafka = new Kafka({ clientId: 'compat', brokers: [process.argv[2]], logLevel: logLevel.NOTHING });
const admin = kafka.admin();
const sent = []; // every value, in the order sent
const sorted = (values) => [...values].sort();

async function create() {
  const configEntries = [{ name: 'retention.ms', value: '3600000' }];
  const made = await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS, configEntries }], waitForLeaders: true });
  equal(made, true, 'created');
  equal(await admin.createTopics({ topics: [{ topic, numPartitions: PARTITIONS }] }), false, 'created again');
}

async function describe() {
  const { topics } = await admin.fetchTopicMetadata({ topics: [topic] });
  equal(topics[0].partitions.map((p) => p.partitionId).sort(), [0, 1, 2, 3], 'partitions');
  equal((await admin.describeCluster()).brokers.length, 1, 'brokers');
}

const produce = (name, compression, idempotent) => async () => {
  const producer = kafka.producer({ idempotent, maxInFlightRequests: idempotent ? 1 : 5 });
  await producer.connect();
  const messages = Array.from({ length: 500 }, (_, n) => ({
    key: `key-${n % 7}`,
    value: `${name}-${n}-${'x'.repeat(n % 50)}`,
    headers: { h: '1' },
  }));
  await producer.send({ topic, compression, acks: -1, messages });
  sent.push(...messages.map((message) => message.value));
  await producer.disconnect();
};

// Starts a consumer; returns it with what it got and what it holds.
async function start(groupId, options = {}) {
  const consumer = kafka.consumer({ groupId, sessionTimeout: 6000, heartbeatInterval: 500, rebalanceTimeout: 6000, ...options });
  const state = { consumer, got: [], held: 0 };
  consumer.on(consumer.events.GROUP_JOIN, ({ payload }) => {
    state.held = (payload.memberAssignment[topic] ?? []).length;
  });
  await consumer.connect();
  await consumer.subscribe({ topic, fromBeginning: true });
  return state;
}

async function consume() {
  const reader = await start(`${group}-all`);
  let headers;
  await reader.consumer.run({
    eachMessage: async ({ message }) => {
      headers ??= message.headers.h.toString();
      reader.got.push(message.value.toString());
    },
  });
  await within(20_000, () => reader.got.length >= sent.length, `${sent.length} messages`);
  await reader.consumer.disconnect();
  equal(sorted(reader.got), sorted(sent), 'values');
  equal(headers, '1', 'header');
}

async function groupRebalance() {
  const one = await start(group);
  await one.consumer.run({ autoCommit: false, eachMessage: async () => {} });
  await within(20_000, () => one.held === PARTITIONS, 'one member with all');
  const two = await start(group);
  await two.consumer.run({ autoCommit: false, eachMessage: async () => {} });
  await within(30_000, () => one.held === 2 && two.held === 2, 'two members with two each');
  const { groups } = await admin.describeGroups([group]);
  equal([groups[0].state, groups[0].members.length], ['Stable', 2], 'group described');
  await two.consumer.disconnect();
  await within(30_000, () => one.held === PARTITIONS, 'the member left with all');
  await one.consumer.disconnect();
}

async function commitResume() {
  const name = `${group}-resume`;
  const half = Math.floor(sent.length / 2);
  const first = await start(name);
  await first.consumer.run({
    eachBatchAutoResolve: false,
    autoCommit: false,
    eachBatch: async ({ batch }) => {
      for (const message of batch.messages) {
        if (first.got.length === half) return;
        first.got.push(message.value.toString());
        await first.consumer.commitOffsets([{ topic, partition: batch.partition, offset: String(Number(message.offset) + 1) }]);
      }
    },
  });
  await within(30_000, () => first.got.length === half, 'half');
  await first.consumer.disconnect();
  const second = await start(name);
  await second.consumer.run({ eachMessage: async ({ message }) => second.got.push(message.value.toString()) });
  await within(30_000, () => second.got.length >= sent.length - half, 'the rest');
  await sleep(300);
  await second.consumer.disconnect();
  equal(sorted([...first.got, ...second.got]), sorted(sent), 'values of both halves');
  const [{ partitions }] = await admin.fetchOffsets({ groupId: name, topics: [topic] });
  equal(partitions.reduce((sum, p) => sum + Number(p.offset), 0), sent.length, 'sum of committed offsets');
}

async function seekByTime() {
  const name = `${topic}-time`;
  // The records are years old: any broker would give them up when it next looks.
  const configEntries = [{ name: 'retention.ms', value: '-1' }];
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1, configEntries }] });
  const begin = 1_700_000_000_000;
  const producer = kafka.producer();
  await producer.connect();
  const messages = Array.from({ length: 100 }, (_, n) => ({ value: String(n), timestamp: String(begin + n * 1000) }));
  await producer.send({ topic: name, messages });
  await producer.disconnect();
  const found = await admin.fetchTopicOffsetsByTimestamp(name, begin + 41_500);
  equal(found[0].offset, '42', 'offset of the time');
  const consumer = kafka.consumer({ groupId: `${group}-time` });
  const got = [];
  await consumer.connect();
  await consumer.subscribe({ topic: name, fromBeginning: true });
  await consumer.run({ eachMessage: async ({ message }) => got.push(message.value.toString()) });
  consumer.seek({ topic: name, partition: 0, offset: found[0].offset });
  await within(20_000, () => got.includes('99'), 'the last record');
  await consumer.disconnect();
  equal(got[got.length - 58], '42', 'first record since the time');
}

async function offsets() {
  const found = await admin.fetchTopicOffsets(topic);
  equal(found.reduce((sum, p) => sum + Number(p.high), 0), sent.length, 'sum of high watermarks');
}

async function adminConfigs() {
  const resource = { type: ConfigResourceTypes.TOPIC, name: topic };
  const value = async () => {
    const { resources } = await admin.describeConfigs({ resources: [resource], includeSynonyms: false });
    return resources[0].configEntries.find((entry) => entry.configName === 'retention.ms').configValue;
  };
  equal(await value(), '3600000', 'retention.ms as created');
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.ms', value: '7200000' }] }] });
  await within(10_000, async () => (await value()) === '7200000', 'retention.ms as changed');
}

async function adminTopics() {
  const name = `${topic}-grow`;
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1 }] });
  await admin.createPartitions({ topicPartitions: [{ topic: name, count: 3 }] });
  const { topics } = await admin.fetchTopicMetadata({ topics: [name] });
  equal(topics[0].partitions.length, 3, 'partitions');
}

async function deleteRecords() {
  const name = `${topic}-trim`;
  await admin.createTopics({ topics: [{ topic: name, numPartitions: 1 }] });
  const producer = kafka.producer();
  await producer.connect();
  await producer.send({ topic: name, messages: Array.from({ length: 10 }, (_, n) => ({ value: String(n) })) });
  await producer.disconnect();
  await admin.fetchTopicOffsets(name); // kafkajs looks for the leader only among topics it has asked about
  await admin.deleteTopicRecords({ topic: name, partitions: [{ partition: 0, offset: '4' }] });
  const [partition] = await admin.fetchTopicOffsets(name);
  equal([partition.low, partition.high], ['4', '10'], 'low and high');
}

async function adminGroups() {
  const { groups } = await admin.listGroups();
  if (!groups.some((found) => found.groupId === `${group}-all`)) throw new Error('the group is not listed');
  await admin.deleteGroups([`${group}-all`]);
}

async function remove() {
  const topics = (await admin.listTopics()).filter((name) => name.startsWith(topic));
  await admin.deleteTopics({ topics });
  await within(10_000, async () => !(await admin.listTopics()).some((name) => name.startsWith(topic)), 'all gone');
}

await admin.connect();
await step('create', create);
await step('describe', describe);
await step('produce-none', produce('none', CompressionTypes.None, true));
await step('produce-gzip', produce('gzip', CompressionTypes.GZIP, false));
await step('produce-snappy', produce('snappy', CompressionTypes.Snappy, false));
await step('produce-lz4', produce('lz4', CompressionTypes.LZ4, false));
await step('produce-zstd', produce('zstd', CompressionTypes.ZSTD, true));
await step('consume', consume);
await step('group-rebalance', groupRebalance);
await step('commit-resume', commitResume);
await step('seek-by-time', seekByTime);
await step('offsets', offsets);
await step('admin-configs', adminConfigs);
await step('admin-topics', adminTopics);
await step('admin-groups', adminGroups);
await step('delete-records', deleteRecords);
await step('delete', remove);
await admin.disconnect();
console.log('DONE');
process.exit(0);
