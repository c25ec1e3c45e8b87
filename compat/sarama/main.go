// What sarama must be able to do with the Kafka face: one step for each behaviour as the newest version it knows, and
// then everything once more as each other version since 0.11, one step each.
// Prints PASS, FAIL and SKIP lines, as compat/lib/common.sh reads them.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

const partitions = 4

var server = os.Args[1]

// session is everything that is done as one version.
type session struct {
	version sarama.KafkaVersion
	topic   string
	client  sarama.Client
	admin   sarama.ClusterAdmin
	sent    []string // every value, in the order sent
	kept    []string // what transactions() committed
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

// within runs one step with a limit of time; a step that hangs is left behind.
func within(limit time.Duration, run func() error) error {
	result := make(chan error, 1)
	go func() {
		defer func() {
			if panicked := recover(); panicked != nil {
				result <- fmt.Errorf("panic: %v", panicked)
			}
		}()
		result <- run()
	}()
	select {
	case err := <-result:
		return err
	case <-time.After(limit):
		return fmt.Errorf("not done in %s", limit)
	}
}

func step(name string, run func() error) {
	if err := within(60*time.Second, run); err != nil {
		fmt.Printf("FAIL %s: %s\n", name, strings.Join(strings.Fields(err.Error()), " "))
		return
	}
	fmt.Printf("PASS %s\n", name)
}

func (s *session) config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = s.version
	config.ClientID = "sarama-compat"
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Return.Errors = false
	config.Consumer.Group.Session.Timeout = 6 * time.Second
	config.Consumer.Group.Heartbeat.Interval = 300 * time.Millisecond
	config.Consumer.Group.Rebalance.Timeout = 10 * time.Second
	config.Metadata.Retry.Backoff = 100 * time.Millisecond
	return config
}

func open(version sarama.KafkaVersion) (*session, error) {
	s := &session{version: version, topic: fmt.Sprintf("sarama-%s-%08x", version, time.Now().UnixNano()&0xffffffff)}
	var err error
	if s.client, err = sarama.NewClient([]string{server}, s.config()); err != nil {
		return nil, err
	}
	s.admin, err = sarama.NewClusterAdminFromClient(s.client)
	return s, err
}

func (s *session) make(name string, count int32, config map[string]*string) error {
	detail := &sarama.TopicDetail{NumPartitions: count, ReplicationFactor: 1, ConfigEntries: config}
	if err := s.admin.CreateTopic(name, detail, false); err != nil {
		return err
	}
	// Kafka itself shows a topic a moment after it has acknowledged it.
	for range 50 {
		found, err := s.admin.DescribeTopics([]string{name})
		if err == nil && found[0].Err == sarama.ErrNoError && len(found[0].Partitions) == int(count) {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	return fmt.Errorf("%s never showed", name)
}

func (s *session) create() error {
	retention := "3600000"
	return s.make(s.topic, partitions, map[string]*string{"retention.ms": &retention})
}

func (s *session) createAgain() error {
	err := s.admin.CreateTopic(s.topic, &sarama.TopicDetail{NumPartitions: 1, ReplicationFactor: 1}, false)
	if !errors.Is(err, sarama.ErrTopicAlreadyExists) {
		return fmt.Errorf("created again: %v", err)
	}
	return nil
}

func (s *session) describe() error {
	topics, err := s.admin.ListTopics()
	if err != nil {
		return err
	}
	if err := equal(topics[s.topic].NumPartitions, partitions, "partitions listed"); err != nil {
		return err
	}
	brokers, controller, err := s.admin.DescribeCluster()
	if err != nil {
		return err
	}
	if err := equal(len(brokers), 1, "brokers"); err != nil {
		return err
	}
	return equal(controller, brokers[0].ID(), "controller")
}

// send writes values with keys (and headers) and waits until all are acknowledged; offsets of a partition rise one by one.
func (s *session) send(topic string, values []string, change func(*sarama.Config)) error {
	config := s.config()
	change(config)
	producer, err := sarama.NewSyncProducer([]string{server}, config)
	if err != nil {
		return err
	}
	defer producer.Close()
	return s.sendWith(producer, topic, values)
}

func (s *session) sendWith(producer sarama.SyncProducer, topic string, values []string) error {
	var messages []*sarama.ProducerMessage
	for number, value := range values {
		messages = append(messages, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value),
			Key:     sarama.StringEncoder(fmt.Sprintf("key-%d", number%7)),
			Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("1")}, {Key: []byte("h"), Value: nil}}})
	}
	if err := producer.SendMessages(messages); err != nil {
		var many sarama.ProducerErrors
		if errors.As(err, &many) {
			return fmt.Errorf("%d errors, the first: %w", len(many), many[0].Err)
		}
		return err
	}
	last := map[int32]int64{}
	for _, message := range messages {
		if before, ok := last[message.Partition]; ok && message.Offset != before+1 {
			return fmt.Errorf("partition %d: offset %d after %d", message.Partition, message.Offset, before)
		}
		last[message.Partition] = message.Offset
	}
	return nil
}

func (s *session) produce(codec sarama.CompressionCodec, idempotent bool) func() error {
	return func() error {
		if codec == sarama.CompressionZSTD && !s.version.IsAtLeast(sarama.V2_1_0_0) {
			return nil // sarama itself refuses it
		}
		var values []string
		for number := range 200 {
			values = append(values, fmt.Sprintf("%s-%v-%d-%s", codec, idempotent, number, strings.Repeat("x", number%50)))
		}
		err := s.send(s.topic, values, func(config *sarama.Config) {
			config.Producer.Compression = codec
			config.Producer.Idempotent = idempotent
			if idempotent {
				config.Net.MaxOpenRequests = 1
			}
		})
		if err == nil {
			s.sent = append(s.sent, values...)
		}
		return err
	}
}

func (s *session) large() error {
	value := strings.Repeat("0123456789abcdef", 900<<6) // 900 KiB: still under the default limit of 1 MiB
	err := s.send(s.topic, []string{value}, func(config *sarama.Config) {})
	if err == nil {
		s.sent = append(s.sent, value)
	}
	return err
}

func (s *session) tooLarge() error {
	err := s.send(s.topic, []string{strings.Repeat("x", 3_000_000)}, func(config *sarama.Config) {
		config.Producer.MaxMessageBytes = 4_000_000
	})
	if !errors.Is(err, sarama.ErrMessageSizeTooLarge) {
		return fmt.Errorf("3 MB: %v", err)
	}
	return nil
}

// readAll reads every partition from its start to its end (the last stable offset, if careful).
func (s *session) readAll(topic string, level sarama.IsolationLevel) ([]string, error) {
	config := s.config()
	config.Consumer.IsolationLevel = level
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	consumer, err := sarama.NewConsumer([]string{server}, config)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	numbers, err := s.client.Partitions(topic)
	if err != nil {
		return nil, err
	}
	type part struct {
		values []string
		err    error
	}
	parts := make(chan part)
	for _, number := range numbers {
		go func() {
			values, err := s.readPartition(consumer, topic, number)
			parts <- part{values, err}
		}()
	}
	var values []string
	for range numbers {
		read := <-parts
		values, err = append(values, read.values...), errors.Join(err, read.err)
	}
	return values, err
}

func (s *session) readPartition(consumer sarama.Consumer, topic string, number int32) ([]string, error) {
	end, err := s.client.GetOffset(topic, number, sarama.OffsetNewest)
	if err != nil {
		return nil, err
	}
	reader, err := consumer.ConsumePartition(topic, number, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	var values []string
	// Markers and what was given up take offsets without being delivered: the end is where nothing more comes.
	for next := int64(0); next < end; {
		select {
		case message := <-reader.Messages():
			if err := s.headers(message); err != nil {
				return nil, err
			}
			values, next = append(values, string(message.Value)), message.Offset+1
		case <-time.After(2 * time.Second):
			next = end
		}
	}
	return values, reader.Close()
}

func (s *session) headers(message *sarama.ConsumerMessage) error {
	var got []string
	for _, header := range message.Headers {
		got = append(got, fmt.Sprintf("%s=%s", header.Key, header.Value))
	}
	return equal(got, []string{"h=1", "h="}, "headers")
}

func (s *session) consume() error {
	got, err := s.readAll(s.topic, sarama.ReadUncommitted)
	if err != nil {
		return err
	}
	return same(got, s.sent)
}

// ── groups ──────────────────────────────────────────────────────────────────────────────────────────────────────────

// member is a group member that remembers what it holds and has read.
type member struct {
	group  sarama.ConsumerGroup
	stop   context.CancelFunc
	done   chan struct{}
	lock   sync.Mutex
	held   []int32
	values []string
	limit  int // reads so many and marks them; then it only waits
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	for _, numbers := range session.Claims() {
		m.held = numbers
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.held = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			m.lock.Lock()
			if len(m.values) < m.limit {
				m.values = append(m.values, string(message.Value))
				session.MarkMessage(message, "read")
			}
			m.lock.Unlock()
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) holding() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Sorted(slices.Values(m.held))
}

func (m *member) read() []string {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.values)
}

func (m *member) leave() error {
	m.stop()
	err := m.group.Close()
	<-m.done
	return err
}

func (s *session) join(group string, limit int, change func(*sarama.Config)) (*member, error) {
	config := s.config()
	change(config)
	joined, err := sarama.NewConsumerGroup([]string{server}, group, config)
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	m := &member{group: joined, stop: stop, done: make(chan struct{}), limit: limit}
	go func() {
		defer close(m.done)
		for ctx.Err() == nil {
			if err := joined.Consume(ctx, []string{s.topic}, m); err != nil {
				time.Sleep(100 * time.Millisecond)
			}
		}
	}()
	return m, nil
}

func until(what string, condition func() bool) error {
	for limit := time.Now().Add(25 * time.Second); !condition(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(limit) {
			return fmt.Errorf("never: %s", what)
		}
	}
	return nil
}

func nothing(*sarama.Config) {}

func (s *session) groupOfTwo(strategy sarama.BalanceStrategy) func() error {
	return func() error {
		group := s.topic + "-" + strategy.Name()
		balance := func(config *sarama.Config) {
			config.Consumer.Group.Rebalance.GroupStrategies = []sarama.BalanceStrategy{strategy}
		}
		one, err := s.join(group, 0, balance)
		if err != nil {
			return err
		}
		defer one.leave()
		if err := until("one member with all", func() bool { return len(one.holding()) == partitions }); err != nil {
			return err
		}
		two, err := s.join(group, 0, balance)
		if err != nil {
			return err
		}
		both := func() bool { return len(one.holding()) == 2 && len(two.holding()) == 2 }
		if err := until("two members with two each", both); err != nil {
			two.leave()
			return err
		}
		described, err := s.admin.DescribeConsumerGroups([]string{group})
		if err == nil {
			err = equal(len(described[0].Members), 2, "members described")
		}
		if err == nil {
			err = equal(described[0].State, "Stable", "state")
		}
		if left := two.leave(); err != nil || left != nil {
			return errors.Join(err, left)
		}
		return until("the member left with all", func() bool { return len(one.holding()) == partitions })
	}
}

// staticMember leaves and comes back under its name within its session: it has its partitions, and nobody else moves.
func (s *session) staticMember() error {
	group := s.topic + "-static"
	named := func(name string) func(*sarama.Config) {
		return func(config *sarama.Config) { config.Consumer.Group.InstanceId = name }
	}
	one, err := s.join(group, 0, named("one"))
	if err != nil {
		return err
	}
	two, err := s.join(group, 0, named("two"))
	if err != nil {
		return err
	}
	defer two.leave()
	both := func() bool { return len(one.holding()) == 2 && len(two.holding()) == 2 }
	if err := until("two members with two each", both); err != nil {
		return err
	}
	before, kept := one.holding(), two.holding()
	if err := one.leave(); err != nil {
		return err
	}
	if one, err = s.join(group, 0, named("one")); err != nil {
		return err
	}
	defer one.leave()
	if err := until("the same partitions again", func() bool { return slices.Equal(one.holding(), before) }); err != nil {
		return err
	}
	return equal(two.holding(), kept, "partitions of the other")
}

func (s *session) commitAndResume() error {
	group, half := s.topic+"-resume", len(s.sent)/2
	var got []string
	for _, count := range []int{half, len(s.sent) - half} {
		m, err := s.join(group, count, nothing)
		if err != nil {
			return err
		}
		err = until(fmt.Sprintf("%d values", count), func() bool { return len(m.read()) == count })
		got = append(got, m.read()...)
		if left := m.leave(); err != nil || left != nil {
			return errors.Join(err, left)
		}
	}
	if err := same(got, s.sent); err != nil {
		return err
	}
	committed, err := s.admin.ListConsumerGroupOffsets(group, map[string][]int32{s.topic: {0, 1, 2, 3}})
	if err != nil {
		return err
	}
	total := int64(0)
	for number := range int32(partitions) {
		block := committed.GetBlock(s.topic, number)
		if block.Err != sarama.ErrNoError {
			return block.Err
		}
		if block.Offset > 0 {
			total += block.Offset
		}
	}
	return equal(total, len(s.sent), "sum of committed offsets")
}

func (s *session) adminGroups() error {
	group := s.topic + "-resume"
	listed, err := s.admin.ListConsumerGroups()
	if err != nil {
		return err
	}
	if err := equal(listed[group], "consumer", "type of the group"); err != nil {
		return err
	}
	if s.version.IsAtLeast(sarama.V2_4_0_0) {
		if err := s.admin.DeleteConsumerGroupOffset(group, s.topic, 0); err != nil {
			return err
		}
	}
	if !s.version.IsAtLeast(sarama.V1_1_0_0) {
		return nil // sarama itself refuses to delete groups
	}
	return s.admin.DeleteConsumerGroup(group)
}

// ── offsets, configurations, deleting ───────────────────────────────────────────────────────────────────────────────

func (s *session) seekByTime() error {
	name, start, forever := s.topic+"-time", time.UnixMilli(1_700_000_000_000), "-1"
	// The records are years old: any broker would give them up when it next looks.
	if err := s.make(name, 1, map[string]*string{"retention.ms": &forever}); err != nil {
		return err
	}
	producer, err := sarama.NewSyncProducer([]string{server}, s.config())
	if err != nil {
		return err
	}
	defer producer.Close()
	var messages []*sarama.ProducerMessage
	for number := range 100 {
		messages = append(messages, &sarama.ProducerMessage{Topic: name, Value: sarama.StringEncoder(fmt.Sprint(number)),
			Timestamp: start.Add(time.Duration(number) * time.Second)})
	}
	if err := producer.SendMessages(messages); err != nil {
		return err
	}
	offset, err := s.client.GetOffset(name, 0, start.UnixMilli()+41_500)
	if err != nil {
		return err
	}
	if err := equal(offset, 42, "offset of the time"); err != nil {
		return err
	}
	for at, expected := range map[int64]int64{sarama.OffsetOldest: 0, sarama.OffsetNewest: 100, start.UnixMilli() + 1_000_000_000: -1} {
		if offset, err = s.client.GetOffset(name, 0, at); err != nil {
			return err
		}
		if err := equal(offset, expected, fmt.Sprintf("offset of %d", at)); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) adminConfigs() error {
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: s.topic, ConfigNames: []string{"retention.ms"}}
	value := func() string {
		entries, err := s.admin.DescribeConfig(resource)
		if err != nil || len(entries) != 1 {
			return fmt.Sprint(entries, err)
		}
		return entries[0].Value
	}
	if err := equal(value(), "3600000", "as created"); err != nil {
		return err
	}
	longer, bad := "7200000", "soon"
	change := func(text *string) error {
		if s.version.IsAtLeast(sarama.V2_3_0_0) {
			return s.admin.IncrementalAlterConfig(sarama.TopicResource, s.topic,
				map[string]sarama.IncrementalAlterConfigsEntry{"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: text}}, false)
		}
		return s.admin.AlterConfig(sarama.TopicResource, s.topic, map[string]*string{"retention.ms": text}, false)
	}
	if err := change(&longer); err != nil {
		return err
	}
	if err := until("retention.ms as changed", func() bool { return value() == longer }); err != nil {
		return err
	}
	if err := change(&bad); err == nil {
		return errors.New("accepted retention.ms=soon")
	}
	return nil
}

func (s *session) adminTopics() error {
	name := s.topic + "-grow"
	if err := s.make(name, 1, nil); err != nil {
		return err
	}
	if !s.version.IsAtLeast(sarama.V1_0_0_0) {
		return nil // sarama itself refuses
	}
	if err := s.admin.CreatePartitions(name, 3, nil, false); err != nil {
		return err
	}
	return until("three partitions", func() bool {
		found, err := s.admin.DescribeTopics([]string{name})
		return err == nil && len(found[0].Partitions) == 3
	})
}

func (s *session) deleteRecords() error {
	name := s.topic + "-trim"
	if err := s.make(name, 1, nil); err != nil {
		return err
	}
	if err := s.send(name, strings.Split("0123456789", ""), nothing); err != nil {
		return err
	}
	if err := s.admin.DeleteRecords(name, map[int32]int64{0: 4}); err != nil {
		return err
	}
	start, err := s.client.GetOffset(name, 0, sarama.OffsetOldest)
	if err != nil {
		return err
	}
	return equal(start, 4, "start offset")
}

// ── transactions ────────────────────────────────────────────────────────────────────────────────────────────────────

func (s *session) transactional(name string) (sarama.SyncProducer, error) {
	config := s.config()
	config.Producer.Idempotent = true
	config.Producer.Transaction.ID = s.topic + name
	config.Net.MaxOpenRequests = 1
	return sarama.NewSyncProducer([]string{server}, config)
}

func (s *session) transactions() error {
	name := s.topic + "-txn"
	if err := s.make(name, partitions, nil); err != nil {
		return err
	}
	producer, err := s.transactional("-writer")
	if err != nil {
		return err
	}
	defer producer.Close()
	for number := range 6 {
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		var values []string
		for place := range 20 {
			values = append(values, fmt.Sprintf("%d-%d", number, place))
		}
		if err := s.sendWith(producer, name, values); err != nil {
			return err
		}
		if number%3 == 0 {
			err = producer.AbortTxn()
		} else {
			s.kept = append(s.kept, values...)
			err = producer.CommitTxn()
		}
		if err != nil {
			return err
		}
	}
	got, err := s.readAll(name, sarama.ReadCommitted)
	if err != nil {
		return err
	}
	return same(got, s.kept)
}

func (s *session) fencing() error {
	name := s.topic + "-txn"
	old, err := s.transactional("-fenced")
	if err != nil {
		return err
	}
	defer old.Close()
	if err := old.BeginTxn(); err != nil {
		return err
	}
	if err := s.sendWith(old, name, []string{"zombie"}); err != nil {
		return err
	}
	young, err := s.transactional("-fenced")
	if err != nil {
		return err
	}
	defer young.Close()
	if err := young.BeginTxn(); err != nil {
		return err
	}
	if err := s.sendWith(young, name, []string{"living"}); err != nil {
		return err
	}
	if err := old.CommitTxn(); err == nil {
		return errors.New("the old producer was not fenced")
	}
	if err := young.CommitTxn(); err != nil {
		return err
	}
	got, err := s.readAll(name, sarama.ReadCommitted)
	if err != nil {
		return err
	}
	return same(got, append([]string{"living"}, s.kept...))
}

// exactlyOnce commits positions within a transaction: those of one that is given up do not count.
func (s *session) exactlyOnce() error {
	group, name := s.topic+"-copy", s.topic+"-txn"
	producer, err := s.transactional("-copier")
	if err != nil {
		return err
	}
	defer producer.Close()
	committed := func() (int64, error) {
		found, err := s.admin.ListConsumerGroupOffsets(group, map[string][]int32{name: {0}})
		if err != nil {
			return 0, err
		}
		return found.GetBlock(name, 0).Offset, nil
	}
	for round, commit := range []bool{false, true} {
		if err := producer.BeginTxn(); err != nil {
			return err
		}
		metadata := "m"
		message := &sarama.ConsumerMessage{Topic: name, Partition: 0, Offset: int64(6 + round)}
		if err := producer.AddMessageToTxn(message, group, &metadata); err != nil {
			return err
		}
		end, expected := producer.AbortTxn, int64(-1)
		if commit {
			end, expected = producer.CommitTxn, int64(8)
		}
		if err := end(); err != nil {
			return err
		}
		if err := until(fmt.Sprintf("position %d", expected), func() bool {
			at, err := committed()
			return err == nil && at == expected
		}); err != nil {
			return err
		}
	}
	return nil
}

func (s *session) deleteAll() error {
	for _, suffix := range []string{"", "-time", "-grow", "-trim", "-txn"} {
		if err := s.admin.DeleteTopic(s.topic + suffix); err != nil {
			return fmt.Errorf("%s: %w", suffix, err)
		}
	}
	return until("all gone", func() bool {
		topics, err := s.admin.ListTopics()
		_, there := topics[s.topic]
		return err == nil && !there
	})
}

type named struct {
	name string
	run  func() error
}

// all is what can be done as the newest version; `quick` leaves out what takes long and does not depend on the version.
func (s *session) all(quick bool) []named {
	steps := []named{{"create", s.create}, {"create-again-refused", s.createAgain}, {"describe", s.describe},
		{"produce-none", s.produce(sarama.CompressionNone, false)},
		{"produce-gzip", s.produce(sarama.CompressionGZIP, false)},
		{"produce-snappy", s.produce(sarama.CompressionSnappy, false)},
		{"produce-lz4", s.produce(sarama.CompressionLZ4, false)},
		{"produce-zstd", s.produce(sarama.CompressionZSTD, false)},
		{"produce-idempotent", s.produce(sarama.CompressionLZ4, true)}}
	if !quick {
		steps = append(steps, named{"produce-large", s.large}, named{"produce-too-large-refused", s.tooLarge})
	}
	steps = append(steps, named{"consume", s.consume})
	if !quick {
		steps = append(steps, named{"group-rebalance", s.groupOfTwo(sarama.NewBalanceStrategyRange())},
			named{"group-rebalance-roundrobin", s.groupOfTwo(sarama.NewBalanceStrategyRoundRobin())},
			named{"group-rebalance-sticky", s.groupOfTwo(sarama.NewBalanceStrategySticky())},
			named{"group-static", s.staticMember})
	}
	return append(steps, named{"commit-resume", s.commitAndResume}, named{"seek-by-time", s.seekByTime},
		named{"admin-configs", s.adminConfigs}, named{"admin-topics", s.adminTopics}, named{"admin-groups", s.adminGroups},
		named{"delete-records", s.deleteRecords}, named{"transactions", s.transactions},
		named{"transactions-fencing", s.fencing}, named{"transactions-exactly-once", s.exactlyOnce},
		named{"delete", s.deleteAll})
}

func asVersion(version sarama.KafkaVersion) func() error {
	return func() error {
		s, err := open(version)
		if err != nil {
			return err
		}
		defer s.client.Close()
		for _, each := range s.all(true) {
			if err := each.run(); err != nil {
				return fmt.Errorf("%s: %w", each.name, err)
			}
		}
		return nil
	}
}

func main() {
	newest := sarama.SupportedVersions[len(sarama.SupportedVersions)-1]
	s, err := open(newest)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	for _, each := range s.all(false) {
		step(each.name, each.run)
	}
	s.client.Close()
	// Each waits more than it works, so some are done at a time.
	var running sync.WaitGroup
	room := make(chan struct{}, 8)
	for _, version := range sarama.SupportedVersions {
		if version.IsAtLeast(sarama.V0_11_0_0) && version != newest {
			room <- struct{}{}
			running.Go(func() {
				step("as-"+version.String(), asVersion(version))
				<-room
			})
		}
	}
	running.Wait()
	fmt.Println("DONE")
}
