// What aws-sdk-go-v2 must be able to do with the Kinesis face: one step for each behaviour.
// Prints PASS, FAIL and SKIP lines, as compat/lib/common.sh reads them.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/big"
	"math/rand"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/kinesis"
	"github.com/aws/aws-sdk-go-v2/service/kinesis/types"
)

const shards = 2

var (
	client  *kinesis.Client
	limited *kinesis.Client // of the server that refuses what is over the limits of a shard, if there is one
	stream  = aws.String(fmt.Sprintf("go-%08x", rand.Uint32()))
	put     []entry // everything put, in order
)

type entry struct{ shard, number, key, data string }

type skip string

func (why skip) Error() string { return string(why) }

func step(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	err := run(ctx)
	var why skip
	switch {
	case err == nil:
		fmt.Printf("PASS %s\n", name)
	case errors.As(err, &why):
		fmt.Printf("SKIP %s: %s\n", name, why)
	default:
		fmt.Printf("FAIL %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
	}
}

func equal(got, expected any, what string) error {
	g, e := fmt.Sprint(got), fmt.Sprint(expected)
	if g == e {
		return nil
	}
	return fmt.Errorf("%s: expected %.120s, got %.120s", what, e, g)
}

func create(ctx context.Context) error {
	if _, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(shards)}); err != nil {
		return err
	}
	waiter := kinesis.NewStreamExistsWaiter(client, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: stream}, 20*time.Second); err != nil {
		return err
	}
	_, err := client.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: stream, ShardCount: aws.Int32(shards)})
	var inUse *types.ResourceInUseException
	if !errors.As(err, &inUse) {
		return fmt.Errorf("created again: %v", err)
	}
	return nil
}

func describe(ctx context.Context) error {
	described, err := client.DescribeStream(ctx, &kinesis.DescribeStreamInput{StreamName: stream})
	if err != nil {
		return err
	}
	if err := equal(described.StreamDescription.StreamStatus, types.StreamStatusActive, "status"); err != nil {
		return err
	}
	listed, err := client.ListShards(ctx, &kinesis.ListShardsInput{StreamARN: described.StreamDescription.StreamARN})
	if err != nil {
		return err
	}
	return equal(len(listed.Shards), shards, "shards")
}

func putRecord(ctx context.Context) error {
	for number := range 20 {
		e := entry{key: fmt.Sprintf("key-%d", number), data: fmt.Sprintf("one-%d", number)}
		answer, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: stream, PartitionKey: &e.key, Data: []byte(e.data)})
		if err != nil {
			return err
		}
		e.shard, e.number = *answer.ShardId, *answer.SequenceNumber
		put = append(put, e)
	}
	return nil
}

func putRecords(ctx context.Context) error {
	var entries []types.PutRecordsRequestEntry
	for number := range 500 {
		data := strings.Repeat(fmt.Sprintf("many-%d ", number), number%20+1)
		entries = append(entries, types.PutRecordsRequestEntry{PartitionKey: aws.String(fmt.Sprintf("key-%d", number%50)), Data: []byte(data)})
	}
	answer, err := client.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: stream, Records: entries})
	if err != nil {
		return err
	}
	for number, result := range answer.Records {
		if result.SequenceNumber == nil {
			return fmt.Errorf("record %d failed: %v", number, *result.ErrorCode)
		}
		put = append(put, entry{*result.ShardId, *result.SequenceNumber, *entries[number].PartitionKey, string(entries[number].Data)})
	}
	return equal(*answer.FailedRecordCount, 0, "FailedRecordCount")
}

// AWS takes 1 MB/s for each shard: most of ten quick calls of 4 MB must fail in part.
func partialFailure(ctx context.Context) error {
	name := aws.String(*stream + "-limits")
	if _, err := limited.CreateStream(ctx, &kinesis.CreateStreamInput{StreamName: name, ShardCount: aws.Int32(1)}); err != nil {
		return err
	}
	defer limited.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: name})
	waiter := kinesis.NewStreamExistsWaiter(limited, func(o *kinesis.StreamExistsWaiterOptions) { o.MinDelay = time.Second })
	if err := waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: name}, 20*time.Second); err != nil {
		return err
	}
	entries := make([]types.PutRecordsRequestEntry, 500)
	for number := range entries {
		entries[number] = types.PutRecordsRequestEntry{PartitionKey: aws.String("k"), Data: make([]byte, 8000)}
	}
	for range 10 {
		answer, err := limited.PutRecords(ctx, &kinesis.PutRecordsInput{StreamName: name, Records: entries})
		if err != nil {
			return err
		}
		failed := 0
		for _, result := range answer.Records {
			if result.ErrorCode != nil {
				failed++
				if result.SequenceNumber != nil || result.ErrorMessage == nil {
					return fmt.Errorf("a failed record has a sequence number or no message: %v", *result.ErrorCode)
				}
			}
		}
		if err := equal(*answer.FailedRecordCount, failed, "FailedRecordCount"); err != nil {
			return err
		}
		if failed > 0 {
			return nil
		}
	}
	return skip("the server takes everything: it enforces no throughput limit, so no record of a batch fails")
}

// records reads everything from an iterator to the tip.
func records(ctx context.Context, input *kinesis.GetShardIteratorInput) ([]types.Record, error) {
	input.StreamName = stream
	start, err := client.GetShardIterator(ctx, input)
	if err != nil {
		return nil, err
	}
	var got []types.Record
	position := start.ShardIterator
	for {
		page, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: position, Limit: aws.Int32(100)})
		if err != nil {
			return nil, err
		}
		got = append(got, page.Records...)
		position = page.NextShardIterator
		if len(page.Records) == 0 && *page.MillisBehindLatest == 0 {
			return got, nil
		}
	}
}

func of(shard string) (found []entry) {
	for _, e := range put {
		if e.shard == shard {
			found = append(found, e)
		}
	}
	return found
}

func trimHorizon(ctx context.Context) error {
	total := 0
	for number := range shards {
		shard := fmt.Sprintf("shardId-%012d", number)
		got, err := records(ctx, &kinesis.GetShardIteratorInput{ShardId: &shard, ShardIteratorType: types.ShardIteratorTypeTrimHorizon})
		if err != nil {
			return err
		}
		expected := of(shard)
		if err := equal(len(got), len(expected), "records of "+shard); err != nil {
			return err
		}
		for i, record := range got {
			e := entry{shard, *record.SequenceNumber, *record.PartitionKey, string(record.Data)}
			if e != expected[i] {
				return fmt.Errorf("record %d of %s: expected %.100v, got %.100v", i, shard, expected[i], e)
			}
			if i > 0 {
				before, _ := new(big.Int).SetString(expected[i-1].number, 10)
				now, _ := new(big.Int).SetString(e.number, 10)
				if now.Cmp(before) <= 0 {
					return fmt.Errorf("%s does not come after %s", e.number, expected[i-1].number)
				}
			}
		}
		total += len(got)
	}
	return equal(total, len(put), "records")
}

func byNumber(kind types.ShardIteratorType, first int) func(context.Context) error {
	return func(ctx context.Context) error {
		expected := of(put[0].shard)
		input := &kinesis.GetShardIteratorInput{ShardId: &put[0].shard, ShardIteratorType: kind, StartingSequenceNumber: &expected[5].number}
		got, err := records(ctx, input)
		if err != nil {
			return err
		}
		return equal(*got[0].SequenceNumber, expected[first].number, "first record")
	}
}

func atTimestamp(ctx context.Context) error {
	time.Sleep(1100 * time.Millisecond)
	border := time.Now()
	time.Sleep(10 * time.Millisecond)
	e := entry{key: put[0].key, data: "later"}
	answer, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: stream, PartitionKey: &e.key, Data: []byte(e.data)})
	if err != nil {
		return err
	}
	e.shard, e.number = *answer.ShardId, *answer.SequenceNumber
	put = append(put, e)
	got, err := records(ctx, &kinesis.GetShardIteratorInput{ShardId: &e.shard, ShardIteratorType: types.ShardIteratorTypeAtTimestamp, Timestamp: &border})
	if err != nil {
		return err
	}
	if err := equal(len(got), 1, "records since the time"); err != nil {
		return err
	}
	return equal(string(got[0].Data), "later", "the record")
}

func latest(ctx context.Context) error {
	start, err := client.GetShardIterator(ctx, &kinesis.GetShardIteratorInput{StreamName: stream, ShardId: &put[0].shard, ShardIteratorType: types.ShardIteratorTypeLatest})
	if err != nil {
		return err
	}
	if _, err := client.PutRecord(ctx, &kinesis.PutRecordInput{StreamName: stream, PartitionKey: &put[0].key, Data: []byte("new")}); err != nil {
		return err
	}
	page, err := client.GetRecords(ctx, &kinesis.GetRecordsInput{ShardIterator: start.ShardIterator})
	if err != nil {
		return err
	}
	if err := equal(len(page.Records), 1, "records since LATEST"); err != nil {
		return err
	}
	return equal(string(page.Records[0].Data), "new", "the record")
}

func deleteStream(ctx context.Context) error {
	if _, err := client.DeleteStream(ctx, &kinesis.DeleteStreamInput{StreamName: stream}); err != nil {
		return err
	}
	waiter := kinesis.NewStreamNotExistsWaiter(client, func(o *kinesis.StreamNotExistsWaiterOptions) { o.MinDelay = time.Second })
	return waiter.Wait(ctx, &kinesis.DescribeStreamInput{StreamName: stream}, 20*time.Second)
}

func connect(address string) *kinesis.Client {
	return kinesis.New(kinesis.Options{
		BaseEndpoint: aws.String(address),
		Region:       os.Getenv("AWS_REGION"),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: os.Getenv("AWS_ACCESS_KEY_ID"), SecretAccessKey: os.Getenv("AWS_SECRET_ACCESS_KEY")}, nil
		}),
	})
}

func main() {
	client = connect(os.Args[1])
	limited = connect(os.Args[len(os.Args)-1])
	step("create", create)
	step("describe", describe)
	step("put", putRecord)
	step("batch-put", putRecords)
	step("batch-put-partial-failure", partialFailure)
	step("iterate-TRIM_HORIZON", trimHorizon)
	step("iterate-AT_SEQUENCE_NUMBER", byNumber(types.ShardIteratorTypeAtSequenceNumber, 5))
	step("iterate-AFTER_SEQUENCE_NUMBER", byNumber(types.ShardIteratorTypeAfterSequenceNumber, 6))
	step("iterate-AT_TIMESTAMP", atTimestamp)
	step("iterate-LATEST", latest)
	step("delete", deleteStream)
	fmt.Println("DONE")
}
