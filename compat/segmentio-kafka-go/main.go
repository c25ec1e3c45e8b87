// What segmentio/kafka-go must be able to do with the Kafka face: one step for each behaviour.
// Prints PASS, FAIL and SKIP lines, as compat/lib/common.sh reads them.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/segmentio/kafka-go"
)

const partitions = 4

var (
	server = os.Args[1]
	topic  = fmt.Sprintf("segmentio-%08x", rand.Uint32())
	group  = topic + "-group"
	sent   []string // every value, in the order sent
	client = &kafka.Client{Addr: kafka.TCP(server), Timeout: 20 * time.Second}
)

func step(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
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

func same(got, expected []string) error {
	if err := equal(len(got), len(expected), "values"); err != nil {
		return err
	}
	got, expected = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(expected))
	for number := range got {
		if got[number] != expected[number] {
			return fmt.Errorf("%.60q instead of %.60q", got[number], expected[number])
		}
	}
	return nil
}

func until(ctx context.Context, what string, condition func() bool) error {
	for !condition() {
		if ctx.Err() != nil {
			return fmt.Errorf("never: %s", what)
		}
		time.Sleep(30 * time.Millisecond)
	}
	return nil
}

func shown(ctx context.Context, name string) (kafka.Topic, error) {
	metadata, err := client.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{name}})
	if err != nil {
		return kafka.Topic{}, err
	}
	return metadata.Topics[0], metadata.Topics[0].Error
}

func make_(ctx context.Context, name string, count int, configs ...kafka.ConfigEntry) error {
	made, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{
		{Topic: name, NumPartitions: count, ReplicationFactor: 1, ConfigEntries: configs}}})
	if err != nil {
		return err
	}
	if err := made.Errors[name]; err != nil {
		return err
	}
	// Kafka itself shows a topic a moment after it has acknowledged it.
	return until(ctx, name+" shows", func() bool {
		found, err := shown(ctx, name)
		return err == nil && len(found.Partitions) == count
	})
}

func create(ctx context.Context) error {
	return make_(ctx, topic, partitions, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "3600000"})
}

func createAgain(ctx context.Context) error {
	if err := make_(ctx, topic, 1); !errors.Is(err, kafka.TopicAlreadyExists) {
		return fmt.Errorf("created again: %v", err)
	}
	return nil
}

func describe(ctx context.Context) error {
	found, err := shown(ctx, topic)
	if err != nil {
		return err
	}
	if err := equal(len(found.Partitions), partitions, "partitions"); err != nil {
		return err
	}
	versions, err := client.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if err != nil || len(versions.ApiKeys) == 0 {
		return fmt.Errorf("api versions: %v", err)
	}
	// The connection's own calls, which most programs with this library use first.
	connection, err := kafka.DialContext(ctx, "tcp", server)
	if err != nil {
		return err
	}
	defer connection.Close()
	numbers, err := connection.ReadPartitions(topic)
	if err != nil {
		return err
	}
	if err := equal(len(numbers), partitions, "partitions of the connection"); err != nil {
		return err
	}
	_, err = connection.Controller()
	return err
}

var headers = []kafka.Header{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte{}}}

func write(ctx context.Context, name string, codec kafka.Compression, values []string) error {
	writer := &kafka.Writer{Addr: kafka.TCP(server), Topic: name, Balancer: &kafka.Hash{}, RequiredAcks: kafka.RequireAll,
		Compression: codec, BatchTimeout: 5 * time.Millisecond, BatchBytes: 4_000_000, MaxAttempts: 3}
	defer writer.Close()
	var messages []kafka.Message
	for number, value := range values {
		messages = append(messages, kafka.Message{Key: []byte(fmt.Sprintf("key-%d", number%7)), Value: []byte(value), Headers: headers})
	}
	return writer.WriteMessages(ctx, messages...)
}

func produce(name string, codec kafka.Compression) func(context.Context) error {
	return func(ctx context.Context) error {
		var values []string
		for number := range 300 {
			values = append(values, fmt.Sprintf("%s-%d-%s", name, number, strings.Repeat("x", number%50)))
		}
		err := write(ctx, topic, codec, values)
		if err == nil {
			sent = append(sent, values...)
		}
		return err
	}
}

func large(ctx context.Context) error {
	value := strings.Repeat("0123456789abcdef", 900<<6) // 900 KiB: still under the default limit of 1 MiB
	err := write(ctx, topic, 0, []string{value})
	if err == nil {
		sent = append(sent, value)
	}
	return err
}

func tooLarge(ctx context.Context) error {
	err := write(ctx, topic, 0, []string{strings.Repeat("x", 3_000_000)})
	var many kafka.WriteErrors
	if errors.As(err, &many) {
		err = many[0]
	}
	if !errors.Is(err, kafka.MessageSizeTooLarge) {
		return fmt.Errorf("3 MB: %v", err)
	}
	return nil
}

// fetch reads a partition from an offset to its end by the low calls.
func fetch(ctx context.Context, name string, number int, from int64, level kafka.IsolationLevel) ([]kafka.Message, error) {
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{server}, Topic: name, Partition: number, MaxBytes: 4_000_000,
		MaxWait: 100 * time.Millisecond, IsolationLevel: level})
	defer reader.Close()
	if err := reader.SetOffset(from); err != nil {
		return nil, err
	}
	var messages []kafka.Message
	for {
		short, cancel := context.WithTimeout(ctx, 1500*time.Millisecond)
		message, err := reader.ReadMessage(short)
		cancel()
		if errors.Is(err, context.DeadlineExceeded) {
			return messages, nil
		}
		if err != nil {
			return nil, err
		}
		messages = append(messages, message)
	}
}

func consume(ctx context.Context) error {
	var got []string
	for number := range partitions {
		messages, err := fetch(ctx, topic, number, kafka.FirstOffset, kafka.ReadUncommitted)
		if err != nil {
			return err
		}
		for place, message := range messages {
			if err := equal(message.Offset, place, "offset"); err != nil {
				return err
			}
			if err := equal(message.Headers, headers, "headers"); err != nil {
				return err
			}
			got = append(got, string(message.Value))
		}
	}
	return same(got, sent)
}

// ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────────

func join(name string, balancers ...kafka.GroupBalancer) *kafka.Reader {
	return kafka.NewReader(kafka.ReaderConfig{Brokers: []string{server}, GroupID: name, Topic: topic, MaxBytes: 4_000_000,
		MaxWait: 100 * time.Millisecond, SessionTimeout: 6 * time.Second, HeartbeatInterval: 300 * time.Millisecond,
		RebalanceTimeout: 10 * time.Second, StartOffset: kafka.FirstOffset, GroupBalancers: balancers})
}

// held is what each member of a group has of the topic, as the server tells it.
func held(ctx context.Context, name string) (state string, counts []int) {
	described, err := client.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{name}})
	if err != nil || len(described.Groups) != 1 {
		return fmt.Sprint(err), nil
	}
	for _, member := range described.Groups[0].Members {
		count := 0
		for _, assigned := range member.MemberAssignments.Topics {
			count += len(assigned.Partitions)
		}
		counts = append(counts, count)
	}
	slices.Sort(counts)
	return described.Groups[0].GroupState, counts
}

func groupOfTwo(balancer kafka.GroupBalancer) func(context.Context) error {
	return func(ctx context.Context) error {
		name := group + "-" + balancer.ProtocolName()
		hold := func(expected ...int) error {
			return until(ctx, fmt.Sprint("members with ", expected), func() bool {
				state, counts := held(ctx, name)
				return state == "Stable" && slices.Equal(counts, expected)
			})
		}
		one := join(name, balancer)
		defer one.Close()
		if err := hold(partitions); err != nil {
			return err
		}
		two := join(name, balancer)
		err := hold(2, 2)
		if left := two.Close(); err != nil || left != nil {
			return errors.Join(err, left)
		}
		return hold(partitions)
	}
}

func commitAndResume(ctx context.Context) error {
	name, half := group+"-resume", len(sent)/2
	var got []string
	for _, count := range []int{half, len(sent) - half} {
		reader := join(name, kafka.RangeGroupBalancer{})
		for range count {
			message, err := reader.FetchMessage(ctx)
			if err != nil {
				return err
			}
			got = append(got, string(message.Value))
			if err := reader.CommitMessages(ctx, message); err != nil {
				return err
			}
		}
		if err := reader.Close(); err != nil {
			return err
		}
	}
	if err := same(got, sent); err != nil {
		return err
	}
	committed, err := client.ConsumerOffsets(ctx, kafka.TopicAndGroup{Topic: topic, GroupId: name})
	if err != nil {
		return err
	}
	total := int64(0)
	for _, offset := range committed {
		total += max(offset, 0)
	}
	return equal(total, len(sent), "sum of committed offsets")
}

func adminGroups(ctx context.Context) error {
	name := group + "-resume"
	listed, err := client.ListGroups(ctx, &kafka.ListGroupsRequest{})
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(listed.Groups, func(g kafka.ListGroupsResponseGroup) bool { return g.GroupID == name }) {
		return fmt.Errorf("not listed: %v", listed.Groups)
	}
	deleted, err := client.OffsetDelete(ctx, &kafka.OffsetDeleteRequest{GroupID: name, Topics: map[string][]int{topic: {0}}})
	if err != nil || deleted.Error != nil || deleted.Topics[topic][0].Error != nil {
		return fmt.Errorf("deleting an offset: %v %v", err, deleted)
	}
	gone, err := client.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{name}})
	if err != nil {
		return err
	}
	return gone.Errors[name]
}

// ── offsets, configurations, deleting ───────────────────────────────────────────────────────────────────────────────

func seekByTime(ctx context.Context) error {
	name, start := topic+"-time", time.UnixMilli(1_700_000_000_000)
	// The records are years old: any broker would give them up when it next looks.
	if err := make_(ctx, name, 1, kafka.ConfigEntry{ConfigName: "retention.ms", ConfigValue: "-1"}); err != nil {
		return err
	}
	writer := &kafka.Writer{Addr: kafka.TCP(server), Topic: name, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer writer.Close()
	var messages []kafka.Message
	for number := range 100 {
		messages = append(messages, kafka.Message{Value: []byte(fmt.Sprint(number)), Time: start.Add(time.Duration(number) * time.Second)})
	}
	if err := writer.WriteMessages(ctx, messages...); err != nil {
		return err
	}
	reader := kafka.NewReader(kafka.ReaderConfig{Brokers: []string{server}, Topic: name, MaxWait: 100 * time.Millisecond})
	defer reader.Close()
	if err := reader.SetOffsetAt(ctx, start.Add(41_500*time.Millisecond)); err != nil {
		return err
	}
	message, err := reader.ReadMessage(ctx)
	if err != nil {
		return err
	}
	if err := equal(string(message.Value), "42", "first record since the time"); err != nil {
		return err
	}
	listed, err := client.ListOffsets(ctx, &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{
		name: {kafka.FirstOffsetOf(0), kafka.LastOffsetOf(0)}}})
	if err != nil {
		return err
	}
	found := listed.Topics[name][0]
	return equal([]int64{found.FirstOffset, found.LastOffset}, []int64{0, 100}, "first and last offset")
}

func retention(ctx context.Context) string {
	described, err := client.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{Resources: []kafka.DescribeConfigRequestResource{
		{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic, ConfigNames: []string{"retention.ms"}}}})
	if err != nil || len(described.Resources) != 1 || len(described.Resources[0].ConfigEntries) != 1 {
		return fmt.Sprint(err, described)
	}
	return described.Resources[0].ConfigEntries[0].ConfigValue
}

func adminConfigs(ctx context.Context) error {
	if err := equal(retention(ctx), "3600000", "as created"); err != nil {
		return err
	}
	change := func(text string) error {
		changed, err := client.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
			Resources: []kafka.IncrementalAlterConfigsRequestResource{{ResourceType: kafka.ResourceTypeTopic, ResourceName: topic,
				Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: "retention.ms", Value: text, ConfigOperation: kafka.ConfigOperationSet}}}}})
		if err != nil {
			return err
		}
		return changed.Resources[0].Error
	}
	if err := change("7200000"); err != nil {
		return err
	}
	if err := until(ctx, "retention.ms as changed", func() bool { return retention(ctx) == "7200000" }); err != nil {
		return err
	}
	if err := change("soon"); !errors.Is(err, kafka.InvalidConfiguration) {
		return fmt.Errorf("a bad value: %v", err)
	}
	return nil
}

func adminTopics(ctx context.Context) error {
	name := topic + "-grow"
	if err := make_(ctx, name, 1); err != nil {
		return err
	}
	grown, err := client.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{Topics: []kafka.TopicPartitionsConfig{{Name: name, Count: 3}}})
	if err != nil || grown.Errors[name] != nil {
		return fmt.Errorf("%v %v", err, grown)
	}
	return until(ctx, "three partitions", func() bool {
		found, err := shown(ctx, name)
		return err == nil && len(found.Partitions) == 3
	})
}

// ── transactions: this library has the requests and no producer that uses them ──────────────────────────────────────

// identity asks for a transactional producer and begins with some partitions of the topic.
func identity(ctx context.Context, id string) (*kafka.ProducerSession, error) {
	var session *kafka.ProducerSession
	// The coordinator may be loading, or still finishing what was there.
	err := until(ctx, "a producer id", func() bool {
		given, err := client.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 30_000,
			ProducerID: -1, ProducerEpoch: -1})
		if err == nil && given.Error == nil {
			session = given.Producer
		}
		return session != nil
	})
	return session, err
}

func transactionRequests(ctx context.Context) error {
	name, id := topic+"-txn", topic+"-id"
	if err := make_(ctx, name, 1); err != nil {
		return err
	}
	for _, commit := range []bool{false, true} {
		given, err := identity(ctx, id)
		if err != nil {
			return err
		}
		added, err := client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: id, ProducerID: given.ProducerID,
			ProducerEpoch: given.ProducerEpoch, Topics: map[string][]kafka.AddPartitionToTxn{name: {{Partition: 0}}}})
		if err != nil {
			return err
		}
		if failed := added.Topics[name][0].Error; failed != nil {
			return failed
		}
		offsets, err := client.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: given.ProducerID,
			ProducerEpoch: given.ProducerEpoch, GroupID: group + "-txn"})
		if err != nil || offsets.Error != nil {
			return fmt.Errorf("offsets to the transaction: %v %v", err, offsets)
		}
		told, err := client.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: id, GroupID: group + "-txn",
			ProducerID: given.ProducerID, ProducerEpoch: given.ProducerEpoch, GenerationID: -1,
			Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: 0, Offset: 5}}}})
		if err != nil || told.Topics[topic][0].Error != nil {
			return fmt.Errorf("committing in the transaction: %v %v", err, told)
		}
		ended, err := client.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: id, ProducerID: given.ProducerID,
			ProducerEpoch: given.ProducerEpoch, Committed: commit})
		if err != nil || ended.Error != nil {
			return fmt.Errorf("ending: %v %v", err, ended)
		}
		expected := int64(-1)
		if commit {
			expected = 5
		}
		if err := until(ctx, fmt.Sprint("position ", expected), func() bool {
			told, err := client.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: group + "-txn", Topics: map[string][]int{topic: {0}}})
			return err == nil && told.Topics[topic][0].CommittedOffset == expected
		}); err != nil {
			return err
		}
	}
	return nil
}

func fencing(ctx context.Context) error {
	id := topic + "-fenced"
	old, err := identity(ctx, id)
	if err != nil {
		return err
	}
	if _, err := identity(ctx, id); err != nil {
		return err
	}
	added, err := client.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: id, ProducerID: old.ProducerID,
		ProducerEpoch: old.ProducerEpoch, Topics: map[string][]kafka.AddPartitionToTxn{topic: {{Partition: 0}}}})
	if err != nil {
		return err
	}
	if failed := added.Topics[topic][0].Error; !errors.Is(failed, kafka.InvalidProducerEpoch) && !errors.Is(failed, kafka.ProducerFenced) {
		return fmt.Errorf("the old producer was not fenced: %v", failed)
	}
	return nil
}

func deleteAll(ctx context.Context) error {
	names := []string{topic, topic + "-time", topic + "-grow", topic + "-txn"}
	deleted, err := client.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: names})
	if err != nil {
		return err
	}
	for name, failed := range deleted.Errors {
		if failed != nil {
			return fmt.Errorf("%s: %w", name, failed)
		}
	}
	return until(ctx, "all gone", func() bool {
		found, err := shown(ctx, topic)
		return errors.Is(err, kafka.UnknownTopicOrPartition) && len(found.Partitions) == 0
	})
}

func main() {
	step("create", create)
	step("create-again-refused", createAgain)
	step("describe", describe)
	step("produce-none", produce("none", 0))
	step("produce-gzip", produce("gzip", kafka.Gzip))
	step("produce-snappy", produce("snappy", kafka.Snappy))
	step("produce-lz4", produce("lz4", kafka.Lz4))
	step("produce-zstd", produce("zstd", kafka.Zstd))
	fmt.Println("SKIP produce-idempotent: kafka-go has no such producer")
	step("produce-large", large)
	step("produce-too-large-refused", tooLarge)
	step("consume", consume)
	step("group-rebalance", groupOfTwo(kafka.RangeGroupBalancer{}))
	step("group-rebalance-roundrobin", groupOfTwo(kafka.RoundRobinGroupBalancer{}))
	step("commit-resume", commitAndResume)
	step("seek-by-time", seekByTime)
	step("admin-configs", adminConfigs)
	step("admin-topics", adminTopics)
	step("admin-groups", adminGroups)
	step("transaction-requests", transactionRequests)
	step("transactions-fencing", fencing)
	step("delete", deleteAll)
	fmt.Println("DONE")
}
