// What franz-go must be able to do with the Kafka face: one step for each behaviour.
// Prints PASS, FAIL and SKIP lines, as compat/lib/common.sh reads them.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 4

var (
	server = os.Args[1]
	topic  = fmt.Sprintf("franz-%08x", rand.Uint32())
	group  = topic + "-group"
	sent   []string // every value, in the order sent
	client *kgo.Client
	admin  *kadm.Client
)

// step runs one behaviour; its failure ends this step only.
func step(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := run(ctx); err != nil {
		fmt.Printf("FAIL %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Printf("PASS %s\n", name)
}

func equal(got, expected any, what string) error {
	g, e := fmt.Sprint(got), fmt.Sprint(expected)
	if g == e {
		return nil
	}
	return fmt.Errorf("%s: expected %.120s, got %.120s", what, e, g)
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func connect(options ...kgo.Opt) *kgo.Client {
	made, err := kgo.NewClient(append([]kgo.Opt{kgo.SeedBrokers(server)}, options...)...)
	must(err)
	return made
}

func create(ctx context.Context) error {
	retention := "3600000"
	_, err := admin.CreateTopic(ctx, partitions, 1, map[string]*string{"retention.ms": &retention}, topic)
	if err != nil {
		return err
	}
	_, err = admin.CreateTopic(ctx, partitions, 1, nil, topic)
	if !errors.Is(err, kerr.TopicAlreadyExists) {
		return fmt.Errorf("created again: %v", err)
	}
	return nil
}

func describe(ctx context.Context) error {
	details, err := admin.ListTopics(ctx, topic)
	if err != nil {
		return err
	}
	if err := details[topic].Err; err != nil {
		return err
	}
	for _, partition := range details[topic].Partitions {
		if partition.Leader < 0 {
			return fmt.Errorf("partition %d has no leader", partition.Partition)
		}
	}
	if details[topic].ID == (kadm.TopicID{}) {
		return errors.New("the topic has no id")
	}
	return equal(len(details[topic].Partitions), partitions, "partitions")
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func produce(codec string, options ...kgo.Opt) func(context.Context) error {
	return func(ctx context.Context) error {
		producer := connect(append(options, kgo.ProducerBatchCompression(codecs[codec]), kgo.DefaultProduceTopic(topic))...)
		defer producer.Close()
		var records []*kgo.Record
		for number := range 500 {
			value := fmt.Sprintf("%s-%d-%d-%s", codec, len(options), number, strings.Repeat("x", number%50))
			records = append(records, &kgo.Record{Key: []byte(fmt.Sprintf("key-%d", number%7)), Value: []byte(value),
				Headers: []kgo.RecordHeader{{Key: "h", Value: []byte("1")}}})
		}
		if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		last := map[int32]int64{}
		for _, record := range records {
			if before, ok := last[record.Partition]; ok && record.Offset != before+1 {
				return fmt.Errorf("partition %d: offset %d after %d", record.Partition, record.Offset, before)
			}
			last[record.Partition] = record.Offset
			sent = append(sent, string(record.Value))
		}
		return nil
	}
}

// read polls until it has `count` values.
func read(ctx context.Context, reader *kgo.Client, count int) ([]string, error) {
	var values []string
	for len(values) < count {
		fetches := reader.PollRecords(ctx, count-len(values))
		if err := fetches.Err(); err != nil {
			return values, fmt.Errorf("after %d of %d records: %w", len(values), count, err)
		}
		fetches.EachRecord(func(record *kgo.Record) { values = append(values, string(record.Value)) })
	}
	return values, nil
}

func same(got, expected []string) error {
	got, expected = append([]string(nil), got...), append([]string(nil), expected...)
	sort.Strings(got)
	sort.Strings(expected)
	return equal(strings.Join(got, "\n"), strings.Join(expected, "\n"), "values")
}

func consume(ctx context.Context) error {
	reader := connect(kgo.ConsumeTopics(topic), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	defer reader.Close()
	got, err := read(ctx, reader, len(sent))
	if err != nil {
		return err
	}
	return same(got, sent)
}

// member is a group member that remembers what it was assigned.
type member struct {
	*kgo.Client
	lock sync.Mutex
	held map[int32]bool
}

func join(name string, protocol ...kgo.Opt) *member {
	m := &member{held: map[int32]bool{}}
	change := func(hold bool) func(context.Context, *kgo.Client, map[string][]int32) {
		return func(_ context.Context, _ *kgo.Client, parts map[string][]int32) {
			m.lock.Lock()
			defer m.lock.Unlock()
			for _, number := range parts[topic] {
				if hold {
					m.held[number] = true
				} else {
					delete(m.held, number)
				}
			}
		}
	}
	m.Client = connect(append(protocol, kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.SessionTimeout(6*time.Second), kgo.HeartbeatInterval(300*time.Millisecond),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.OnPartitionsAssigned(change(true)), kgo.OnPartitionsRevoked(change(false)), kgo.OnPartitionsLost(change(false)))...)
	return m
}

func (m *member) holds(ctx context.Context, count int) bool {
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	m.PollRecords(short, 10)
	m.lock.Lock()
	defer m.lock.Unlock()
	return len(m.held) == count
}

func within(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		if ctx.Err() != nil {
			return fmt.Errorf("never: %s", what)
		}
	}
	return nil
}

func groupOfTwo(protocol ...kgo.Opt) func(context.Context) error {
	return func(ctx context.Context) error {
		name := fmt.Sprintf("%s-%d", group, len(protocol))
		one := join(name, protocol...)
		defer one.Close()
		if err := within(ctx, "one member with all", func() bool { return one.holds(ctx, partitions) }); err != nil {
			return err
		}
		two := join(name, protocol...)
		both := func() bool { return one.holds(ctx, 2) && two.holds(ctx, 2) }
		if err := within(ctx, "two members with two each", both); err != nil {
			two.Close()
			return err
		}
		described, err := admin.DescribeGroups(ctx, name)
		if err == nil {
			err = equal(len(described[name].Members), 2, "members described")
		}
		two.Close()
		if err != nil {
			return err
		}
		return within(ctx, "the member left with all", func() bool { return one.holds(ctx, partitions) })
	}
}

func commitAndResume(ctx context.Context) error {
	name, half := group+"-resume", len(sent)/2
	options := []kgo.Opt{kgo.ConsumerGroup(name), kgo.ConsumeTopics(topic), kgo.DisableAutoCommit(),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())}
	first := connect(options...)
	one, err := read(ctx, first, half)
	if err == nil {
		err = first.CommitUncommittedOffsets(ctx)
	}
	first.Close()
	if err != nil {
		return err
	}
	second := connect(options...)
	defer second.Close()
	two, err := read(ctx, second, len(sent)-half)
	if err != nil {
		return err
	}
	if err := second.CommitUncommittedOffsets(ctx); err != nil {
		return err
	}
	if err := same(append(one, two...), sent); err != nil {
		return err
	}
	committed, err := admin.FetchOffsets(ctx, name)
	if err != nil {
		return err
	}
	total := int64(0)
	committed.Each(func(offset kadm.OffsetResponse) { total += offset.At })
	return equal(total, len(sent), "sum of committed offsets")
}

func seekByTime(ctx context.Context) error {
	name, start := topic+"-time", time.UnixMilli(1_700_000_000_000)
	// The records are years old: any broker would give them up when it next looks.
	forever := "-1"
	if _, err := admin.CreateTopic(ctx, 1, 1, map[string]*string{"retention.ms": &forever}, name); err != nil {
		return err
	}
	for number := range 100 {
		record := &kgo.Record{Topic: name, Value: []byte(fmt.Sprint(number)), Timestamp: start.Add(time.Duration(number) * time.Second)}
		client.Produce(ctx, record, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	between := start.UnixMilli() + 41_500
	listed, err := admin.ListOffsetsAfterMilli(ctx, between, name)
	if err != nil {
		return err
	}
	found, _ := listed.Lookup(name, 0)
	if err := equal(found.Offset, 42, "offset of the time"); err != nil {
		return err
	}
	reader := connect(kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{name: {0: kgo.NewOffset().AfterMilli(between)}}))
	defer reader.Close()
	got, err := read(ctx, reader, 58)
	if err != nil {
		return err
	}
	return equal(got[0], "42", "first record since the time")
}

func adminConfigs(ctx context.Context) error {
	value := func() (string, error) {
		described, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return "", err
		}
		for _, config := range described[0].Configs {
			if config.Key == "retention.ms" {
				return *config.Value, nil
			}
		}
		return "", errors.New("no retention.ms")
	}
	if got, err := value(); err != nil || got != "3600000" {
		return fmt.Errorf("retention.ms as created: %s %v", got, err)
	}
	longer, bad := "7200000", "soon"
	changed, err := admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &longer}}, topic)
	if err != nil || changed[0].Err != nil {
		return fmt.Errorf("%v %v", err, changed)
	}
	// Kafka itself shows a change a moment after it has acknowledged it.
	if err := within(ctx, "retention.ms as changed", func() bool { got, err := value(); return err == nil && got == longer }); err != nil {
		return err
	}
	changed, err = admin.AlterTopicConfigs(ctx, []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: &bad}}, topic)
	if err != nil || !errors.Is(changed[0].Err, kerr.InvalidConfig) {
		return fmt.Errorf("a bad value: %v %v", err, changed)
	}
	return nil
}

func adminTopics(ctx context.Context) error {
	name := topic + "-grow"
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, name); err != nil {
		return err
	}
	if _, err := admin.UpdatePartitions(ctx, 3, name); err != nil {
		return err
	}
	details, err := admin.ListTopics(ctx, name)
	if err != nil {
		return err
	}
	return equal(len(details[name].Partitions), 3, "partitions")
}

func deleteRecords(ctx context.Context) error {
	name := topic + "-trim"
	if _, err := admin.CreateTopic(ctx, 1, 1, nil, name); err != nil {
		return err
	}
	for number := range 10 {
		client.Produce(ctx, &kgo.Record{Topic: name, Value: []byte(fmt.Sprint(number))}, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	var below kadm.Offsets
	below.AddOffset(name, 0, 4, -1)
	if _, err := admin.DeleteRecords(ctx, below); err != nil {
		return err
	}
	starts, err := admin.ListStartOffsets(ctx, name)
	if err != nil {
		return err
	}
	found, _ := starts.Lookup(name, 0)
	return equal(found.Offset, 4, "start offset")
}

// transactional makes a producer that writes in transactions.
func transactional(name string, options ...kgo.Opt) *kgo.Client {
	return connect(append(options, kgo.TransactionalID(topic+name), kgo.DefaultProduceTopic(topic+"-txn"))...)
}

// careful reads what is committed of a topic, from its start until `count` values are there.
func careful(ctx context.Context, name string, count int) ([]string, error) {
	reader := connect(kgo.ConsumeTopics(name), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()))
	defer reader.Close()
	return read(ctx, reader, count)
}

// committed is what transactions() leaves to be read.
var committed []string

// transactions commits some, gives some up, and asks the tools of the admin about them.
func transactions(ctx context.Context) error {
	for _, name := range []string{topic + "-txn", topic + "-copy"} {
		if _, err := admin.CreateTopic(ctx, partitions, 1, nil, name); err != nil {
			return err
		}
	}
	producer := transactional("-writer")
	defer producer.Close()
	for number := range 9 {
		if err := producer.BeginTransaction(); err != nil {
			return err
		}
		var records []*kgo.Record
		for place := range 20 {
			value := fmt.Sprintf("%d-%d", number, place)
			records = append(records, &kgo.Record{Key: []byte(value), Value: []byte(value)})
			if number%3 != 0 {
				committed = append(committed, value)
			}
		}
		if err := producer.ProduceSync(ctx, records...).FirstErr(); err != nil {
			return err
		}
		if err := producer.EndTransaction(ctx, kgo.TransactionEndTry(number%3 != 0)); err != nil {
			return err
		}
	}
	got, err := careful(ctx, topic+"-txn", len(committed))
	if err != nil {
		return err
	}
	if err := same(got, committed); err != nil {
		return err
	}
	listed, err := admin.ListTransactions(ctx, nil, nil)
	if err != nil {
		return err
	}
	if _, there := listed[topic+"-writer"]; !there {
		return fmt.Errorf("not listed: %v", listed)
	}
	described, err := admin.DescribeTransactions(ctx, topic+"-writer")
	if err != nil {
		return err
	}
	if err := equal(described[topic+"-writer"].State, "CompleteCommit", "state"); err != nil {
		return err
	}
	var logs kadm.TopicsSet
	logs.Add(topic+"-txn", 0, 1, 2, 3)
	producers, err := admin.DescribeProducers(ctx, logs)
	if err != nil {
		return err
	}
	found := 0
	producers.EachProducer(func(kadm.DescribedProducer) { found++ })
	return equal(found, partitions, "producers of all partitions")
}

// exactlyOnce copies what is committed, positions within the transactions; one round is given up and done again.
func exactlyOnce(ctx context.Context) error {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(server), kgo.TransactionalID(topic+"-copier"),
		kgo.DefaultProduceTopic(topic+"-copy"), kgo.FetchIsolationLevel(kgo.ReadCommitted()),
		kgo.ConsumerGroup(group+"-copy"), kgo.ConsumeTopics(topic+"-txn"), kgo.SessionTimeout(6*time.Second),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		return err
	}
	defer session.Close()
	copied, rounds := 0, 0
	for copied < len(committed) {
		fetches := session.PollRecords(ctx, 30)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("after %d of %d records: %w", copied, len(committed), err)
		}
		if fetches.NumRecords() == 0 {
			continue
		}
		rounds++
		if err := session.Begin(); err != nil {
			return err
		}
		fetches.EachRecord(func(record *kgo.Record) {
			session.Produce(ctx, &kgo.Record{Key: record.Key, Value: record.Value}, nil)
		})
		done, err := session.End(ctx, kgo.TransactionEndTry(rounds != 2))
		if err != nil {
			return err
		}
		if done {
			copied += fetches.NumRecords()
		}
	}
	if rounds < 3 {
		return fmt.Errorf("only %d rounds", rounds)
	}
	got, err := careful(ctx, topic+"-copy", len(committed))
	if err != nil {
		return err
	}
	return same(got, committed)
}

// fencing shows that a second producer of the same id ends the first one.
func fencing(ctx context.Context) error {
	old := transactional("-fenced")
	defer old.Close()
	if err := old.BeginTransaction(); err != nil {
		return err
	}
	if err := old.ProduceSync(ctx, kgo.StringRecord("zombie")).FirstErr(); err != nil {
		return err
	}
	young := transactional("-fenced")
	defer young.Close()
	if err := young.BeginTransaction(); err != nil {
		return err
	}
	if err := young.ProduceSync(ctx, kgo.StringRecord("living")).FirstErr(); err != nil {
		return err
	}
	if err := old.EndTransaction(ctx, kgo.TryCommit); err == nil {
		return errors.New("the old producer was not fenced")
	}
	if err := young.EndTransaction(ctx, kgo.TryCommit); err != nil {
		return err
	}
	got, err := careful(ctx, topic+"-txn", len(committed)+1)
	if err != nil {
		return err
	}
	return same(got, append([]string{"living"}, committed...))
}

func deleteAll(ctx context.Context) error {
	if _, err := admin.DeleteGroups(ctx, group+"-resume"); err != nil {
		return err
	}
	details, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	var names []string
	for _, name := range details.Names() {
		if strings.HasPrefix(name, topic) {
			names = append(names, name)
		}
	}
	if _, err := admin.DeleteTopics(ctx, names...); err != nil {
		return err
	}
	left, err := admin.ListTopics(ctx)
	if err != nil {
		return err
	}
	return equal(left.Has(topic), false, "still there")
}

func main() {
	client = connect()
	admin = kadm.NewClient(client)
	step("create", create)
	step("describe", describe)
	for _, codec := range []string{"none", "gzip", "snappy", "lz4", "zstd"} {
		step("produce-"+codec, produce(codec))
	}
	step("produce-not-idempotent", produce("lz4", kgo.DisableIdempotentWrite(), kgo.RequiredAcks(kgo.LeaderAck())))
	step("consume", consume)
	step("group-rebalance", groupOfTwo(kgo.Balancers(kgo.RangeBalancer())))
	step("group-rebalance-cooperative", groupOfTwo())
	step("commit-resume", commitAndResume)
	step("seek-by-time", seekByTime)
	step("admin-configs", adminConfigs)
	step("admin-topics", adminTopics)
	step("delete-records", deleteRecords)
	step("transactions", transactions)
	step("transactions-exactly-once", exactlyOnce)
	step("transactions-fencing", fencing)
	step("delete", deleteAll)
	client.Close()
	fmt.Println("DONE")
}
