package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

var background = context.Background()

func connect(options ...kgo.Opt) *kgo.Client {
	client, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(*server)}, options...)...)
	fail(err)
	return client
}

func settings() map[string]*string {
	found := map[string]*string{}
	for _, pair := range strings.Split(*config, ",") {
		if key, value, ok := strings.Cut(pair, "="); ok {
			found[key] = &value
		}
	}
	return found
}

func createTopic(client *kgo.Client) {
	_, err := kadm.NewClient(client).CreateTopic(background, int32(*partitions), 1, settings(), *topic)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		fail(err)
	}
}

// firstAck waits for a server that is being started and tells when its first produce was acknowledged.
func firstAck() result {
	limit := time.Now().Add(60 * time.Second)
	for {
		conn, err := net.DialTimeout("tcp", *server, time.Second)
		if err == nil {
			conn.Close()
			break
		}
		if time.Now().After(limit) {
			fail(err)
		}
		time.Sleep(500 * time.Microsecond)
	}
	client := connect(kgo.DefaultProduceTopic(*topic), kgo.AllowAutoTopicCreation(), kgo.UnknownTopicRetries(-1),
		kgo.DisableIdempotentWrite(), kgo.ProducerLinger(0), kgo.MetadataMinAge(10*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 2 * time.Millisecond }))
	defer client.Close()
	ctx, cancel := context.WithDeadline(background, limit)
	defer cancel()
	fail(client.ProduceSync(ctx, &kgo.Record{Value: []byte("first")}).FirstErr())
	return result{"acked_unix_ns": time.Now().UnixNano()}
}

// values are a few random buffers: not compressible, and not made anew for each record.
func values() [][]byte {
	made := make([][]byte, 64)
	for i := range made {
		made[i] = make([]byte, *sizeBytes)
		rand.Read(made[i])
	}
	return made
}

func produce() result {
	client := connect(kgo.DefaultProduceTopic(*topic), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.MaxBufferedRecords(100_000), kgo.ProducerLinger(5*time.Millisecond),
		// Records without a key go round: every partition gets the same share.
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer client.Close()
	createTopic(client)
	bodies, count := values(), *mib*1024*1024 / *sizeBytes
	var failed atomic.Pointer[error]
	var lock sync.Mutex
	acks := make([]time.Duration, 0, count/100+1)
	began := time.Now()
	for number := range count {
		sent := time.Now()
		client.Produce(background, &kgo.Record{Value: bodies[number%len(bodies)]}, func(_ *kgo.Record, err error) {
			if err != nil {
				failed.Store(&err)
			}
			if number%100 == 0 {
				lock.Lock()
				acks = append(acks, time.Since(sent))
				lock.Unlock()
			}
		})
	}
	fail(client.Flush(background))
	took := time.Since(began).Seconds()
	if err := failed.Load(); err != nil {
		fail(*err)
	}
	return result{"records": count, "seconds": took, "mb_per_s": float64(count**sizeBytes) / 1e6 / took,
		"ack_p50_ms": quantileMs(acks, 0.5), "ack_p99_ms": quantileMs(acks, 0.99)}
}

func consume() result {
	at := map[int32]kgo.Offset{}
	for number := range *partitions {
		at[int32(number)] = kgo.NewOffset().AtStart()
	}
	client := connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: at}), kgo.FetchMaxBytes(64<<20),
		kgo.FetchMaxPartitionBytes(8<<20))
	defer client.Close()
	count, want := 0, *mib*1024*1024 / *sizeBytes
	began := time.Now()
	for count < want {
		fetches := client.PollFetches(background)
		fail(fetches.Err())
		count += fetches.NumRecords()
	}
	took := time.Since(began).Seconds()
	return result{"records": count, "seconds": took, "mb_per_s": float64(count**sizeBytes) / 1e6 / took}
}

// endToEnd produces at a fixed rate and reads it back at the same time; the time of a record is from its send (when it
// was due, so a stall counts against every record behind it) to its arrival at the reader.
func endToEnd() result {
	// The topic is new, so its start is where a reader that is not ready yet misses nothing.
	at := map[int32]kgo.Offset{}
	for number := range *partitions {
		at[int32(number)] = kgo.NewOffset().AtStart()
	}
	producer := connect(kgo.DefaultProduceTopic(*topic), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()),
		kgo.RecordPartitioner(kgo.RoundRobinPartitioner()))
	defer producer.Close()
	createTopic(producer)
	reader := connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{*topic: at}), kgo.FetchMaxWait(500*time.Millisecond),
		kgo.FetchMinBytes(1))
	defer reader.Close()

	count := *rate * *seconds
	var lateness []time.Duration
	done := make(chan struct{})
	go func() {
		defer close(done)
		for len(lateness) < count {
			fetches := reader.PollFetches(background)
			now := time.Now()
			fetches.EachRecord(func(record *kgo.Record) {
				if due := int64(binary.BigEndian.Uint64(record.Value)); due != 0 {
					lateness = append(lateness, now.Sub(time.Unix(0, due)))
				}
			})
		}
	}()
	// Both sides know their partitions before the clock starts; these records carry no time.
	time.Sleep(time.Second)
	for range *partitions {
		fail(producer.ProduceSync(background, &kgo.Record{Value: make([]byte, *sizeBytes)}).FirstErr())
	}
	interval := time.Second / time.Duration(*rate)
	began := time.Now()
	for number := range count {
		due := began.Add(time.Duration(number) * interval)
		if wait := time.Until(due); wait > 0 {
			time.Sleep(wait)
		}
		value := make([]byte, *sizeBytes)
		binary.BigEndian.PutUint64(value, uint64(due.UnixNano()))
		producer.Produce(background, &kgo.Record{Value: value}, func(_ *kgo.Record, err error) { fail(err) })
	}
	fail(producer.Flush(background))
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		fail(fmt.Errorf("%d of %d records arrived", len(lateness), count))
	}
	return result{"records": count, "p50_ms": quantileMs(lateness, 0.5), "p99_ms": quantileMs(lateness, 0.99),
		"p999_ms": quantileMs(lateness, 0.999)}
}

// closedLoop is one client that sends the next record when the last one is acknowledged.
func closedLoop() result {
	client := connect(kgo.DefaultProduceTopic(*topic), kgo.ProducerLinger(0), kgo.ProducerBatchCompression(kgo.NoCompression()))
	defer client.Close()
	createTopic(client)
	value := make([]byte, *sizeBytes)
	fail(client.ProduceSync(background, &kgo.Record{Value: value}).FirstErr())
	var acks []time.Duration
	for end := time.Now().Add(time.Duration(*seconds) * time.Second); time.Now().Before(end); {
		sent := time.Now()
		fail(client.ProduceSync(background, &kgo.Record{Value: value}).FirstErr())
		acks = append(acks, time.Since(sent))
	}
	return result{"records": len(acks), "p50_ms": quantileMs(acks, 0.5), "p99_ms": quantileMs(acks, 0.99)}
}

// manyTopics creates them, -batch in a request, and uses each: done when every topic has acknowledged a record.
func manyTopics() result {
	client := connect(kgo.ProducerLinger(0), kgo.UnknownTopicRetries(-1), kgo.MetadataMinAge(50*time.Millisecond))
	defer client.Close()
	names := make([]string, *topics)
	for number := range names {
		names[number] = fmt.Sprintf("%s-%04d", *topic, number)
	}
	began := time.Now()
	admin := kadm.NewClient(client)
	admin.SetTimeoutMillis(180_000)
	for first := 0; first < len(names); first += *batch {
		created, err := admin.CreateTopics(background, int32(*partitions), 1, nil, names[first:min(first+*batch, len(names))]...)
		fail(err)
		fail(created.Error())
	}
	createdIn := time.Since(began).Seconds()
	records := make([]*kgo.Record, len(names))
	for number, name := range names {
		records[number] = &kgo.Record{Topic: name, Value: []byte("use")}
	}
	fail(client.ProduceSync(background, records...).FirstErr())
	return result{"topics": len(names), "created_s": createdIn, "usable_s": time.Since(began).Seconds()}
}
