// What the AWS SDK for JavaScript v3 must be able to do with the Kinesis face: one step for each behaviour.
import {
  CreateStreamCommand,
  DeleteStreamCommand,
  DescribeStreamCommand,
  GetRecordsCommand,
  GetShardIteratorCommand,
  KinesisClient,
  ListShardsCommand,
  PutRecordCommand,
  PutRecordsCommand,
  waitUntilStreamExists,
  waitUntilStreamNotExists,
} from '@aws-sdk/client-kinesis';
import { Skip, equal, sleep, step } from './steps.mjs';

const SHARDS = 2;
const StreamName = `js-${Math.random().toString(36).slice(2, 10)}`;
const client = new KinesisClient({ endpoint: process.argv[2], maxAttempts: 1 });
// The server that refuses what is over the limits of a shard, if there is one.
const limited = new KinesisClient({ endpoint: process.argv[3] ?? process.argv[2], maxAttempts: 1 });
const put = []; // { shard, number, key, data } of everything put, in order
const bytes = (text) => new TextEncoder().encode(text);
const text = (data) => new TextDecoder().decode(data);
const of = (shard) => put.filter((entry) => entry.shard === shard);
const waiting = { client, maxWaitTime: 20, minDelay: 1, maxDelay: 2 };

async function create() {
  await client.send(new CreateStreamCommand({ StreamName, ShardCount: SHARDS }));
  await waitUntilStreamExists(waiting, { StreamName });
  const error = await client.send(new CreateStreamCommand({ StreamName, ShardCount: SHARDS })).catch((caught) => caught);
  equal(error.name, 'ResourceInUseException', 'created again');
}

async function describe() {
  const { StreamDescription: stream } = await client.send(new DescribeStreamCommand({ StreamName }));
  equal([stream.StreamStatus, stream.Shards.length], ['ACTIVE', SHARDS], 'status and shards');
  if (!(stream.StreamCreationTimestamp instanceof Date)) throw new Error('no creation time');
  const { Shards } = await client.send(new ListShardsCommand({ StreamName }));
  equal(Shards.map((shard) => shard.ShardId), stream.Shards.map((shard) => shard.ShardId), 'shards listed');
}

async function putOne(key, data) {
  const answer = await client.send(new PutRecordCommand({ StreamName, PartitionKey: key, Data: bytes(data) }));
  put.push({ shard: answer.ShardId, number: answer.SequenceNumber, key, data });
}

async function putRecord() {
  for (let number = 0; number < 20; number += 1) await putOne(`key-${number}`, `one-${number}`);
}

async function putRecords() {
  const entries = Array.from({ length: 500 }, (_, n) => ({ key: `key-${n % 50}`, data: `many-${n} `.repeat((n % 20) + 1) }));
  const Records = entries.map(({ key, data }) => ({ PartitionKey: key, Data: bytes(data) }));
  const answer = await client.send(new PutRecordsCommand({ StreamName, Records }));
  equal(answer.FailedRecordCount, 0, 'FailedRecordCount');
  answer.Records.forEach((result, n) => put.push({ shard: result.ShardId, number: result.SequenceNumber, ...entries[n] }));
}

// AWS takes 1 MB/s for each shard: most of ten quick calls of 4 MB must fail in part.
async function partialFailure() {
  const name = `${StreamName}-limits`;
  await limited.send(new CreateStreamCommand({ StreamName: name, ShardCount: 1 }));
  await waitUntilStreamExists({ ...waiting, client: limited }, { StreamName: name });
  const Records = Array.from({ length: 500 }, () => ({ PartitionKey: 'k', Data: new Uint8Array(8000) }));
  try {
    for (let call = 0; call < 10; call += 1) {
      const answer = await limited.send(new PutRecordsCommand({ StreamName: name, Records }));
      const failed = answer.Records.filter((result) => result.ErrorCode);
      equal(answer.FailedRecordCount, failed.length, 'FailedRecordCount');
      if (failed.some((result) => result.SequenceNumber || !result.ErrorMessage)) throw new Error('shape of a failed record');
      if (failed.length > 0) return;
    }
  } finally {
    await limited.send(new DeleteStreamCommand({ StreamName: name }));
  }
  throw new Skip('the server takes everything: it enforces no throughput limit, so no record of a batch fails');
}

// Everything from an iterator of this kind to the tip.
async function records(shard, kind, more = {}) {
  const start = await client.send(
    new GetShardIteratorCommand({ StreamName, ShardId: shard, ShardIteratorType: kind, ...more }),
  );
  const got = [];
  for (let position = start.ShardIterator; ; ) {
    const page = await client.send(new GetRecordsCommand({ ShardIterator: position, Limit: 100 }));
    got.push(...page.Records);
    position = page.NextShardIterator;
    if (page.Records.length === 0 && page.MillisBehindLatest === 0) return got;
  }
}

async function trimHorizon() {
  for (const shard of new Set(put.map((entry) => entry.shard))) {
    const got = await records(shard, 'TRIM_HORIZON');
    const plain = got.map((r) => ({ shard, number: r.SequenceNumber, key: r.PartitionKey, data: text(r.Data) }));
    equal(plain.length, of(shard).length, `records of ${shard}`);
    plain.forEach((entry, n) => equal(entry, of(shard)[n], `record ${n} of ${shard}`));
  }
}

const byNumber = (kind, first) => async () => {
  const expected = of(put[0].shard);
  const got = await records(put[0].shard, kind, { StartingSequenceNumber: expected[5].number });
  equal(got[0].SequenceNumber, expected[first].number, 'first record');
};

async function atTimestamp() {
  await sleep(1100);
  const border = new Date();
  await sleep(10);
  await putOne(put[0].key, 'later');
  const got = await records(put[0].shard, 'AT_TIMESTAMP', { Timestamp: border });
  equal(got.map((record) => text(record.Data)), ['later'], 'records since the time');
}

async function latest() {
  const start = await client.send(
    new GetShardIteratorCommand({ StreamName, ShardId: put[0].shard, ShardIteratorType: 'LATEST' }),
  );
  await putOne(put[0].key, 'new');
  const page = await client.send(new GetRecordsCommand({ ShardIterator: start.ShardIterator }));
  equal(page.Records.map((record) => text(record.Data)), ['new'], 'records since LATEST');
}

async function remove() {
  await client.send(new DeleteStreamCommand({ StreamName }));
  await waitUntilStreamNotExists(waiting, { StreamName });
}

await step('create', create);
await step('describe', describe);
await step('put', putRecord);
await step('batch-put', putRecords);
await step('batch-put-partial-failure', partialFailure);
await step('iterate-TRIM_HORIZON', trimHorizon);
await step('iterate-AT_SEQUENCE_NUMBER', byNumber('AT_SEQUENCE_NUMBER', 5));
await step('iterate-AFTER_SEQUENCE_NUMBER', byNumber('AFTER_SEQUENCE_NUMBER', 6));
await step('iterate-AT_TIMESTAMP', atTimestamp);
await step('iterate-LATEST', latest);
await step('delete', remove);
console.log('DONE');
process.exit(0);
