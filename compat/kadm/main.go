// The admin calls that consoles of Kafka make (their pages and buttons), and a tool's produce and consume, through kadm and
// franz-go. Prints PASS, FAIL and SKIP lines, as compat/lib/common.sh reads them.
package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"os"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"
)

var (
	server = os.Args[1]
	topic  = fmt.Sprintf("console-%08x", rand.Uint32())
	group  = topic + "-group"
	client *kgo.Client
	admin  *kadm.Client
)

func step(name string, run func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
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

func text(value string) *string { return &value }

// ── pages ───────────────────────────────────────────────────────────────────────────────────────────────────────────

func overview(ctx context.Context) error {
	metadata, err := admin.BrokerMetadata(ctx)
	if err != nil {
		return err
	}
	if metadata.Cluster == "" || len(metadata.Brokers) != 1 || metadata.Controller != metadata.Brokers[0].NodeID {
		return fmt.Errorf("%+v", metadata)
	}
	versions, err := admin.ApiVersions(ctx)
	if err != nil {
		return err
	}
	return versions[metadata.Controller].Err
}

func brokerPage(ctx context.Context) error {
	brokers, err := admin.ListBrokers(ctx)
	if err != nil {
		return err
	}
	configs, err := admin.DescribeBrokerConfigs(ctx, brokers[0].NodeID)
	if err != nil {
		return err
	}
	if len(configs) != 1 || configs[0].Err != nil || len(configs[0].Configs) < 50 {
		return fmt.Errorf("%d configurations, %v", len(configs[0].Configs), configs[0].Err)
	}
	dirs, err := admin.DescribeAllLogDirs(ctx, nil)
	if err != nil {
		return err
	}
	return dirs[brokers[0].NodeID].Error()
}

func topicPages(ctx context.Context) error {
	if _, err := admin.ValidateCreateTopics(ctx, 4, 1, nil, topic); err != nil {
		return err
	}
	if _, err := admin.CreateTopic(ctx, 4, 1, map[string]*string{"cleanup.policy": text("compact"), "retention.ms": text("3600000")}, topic); err != nil {
		return err
	}
	topics, err := admin.ListTopicsWithInternal(ctx)
	if err != nil {
		return err
	}
	if err := equal(len(topics[topic].Partitions), 4, "partitions"); err != nil {
		return err
	}
	configs, err := admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return err
	}
	for _, config := range configs[0].Configs {
		if config.Key == "cleanup.policy" {
			return equal(*config.Value, "compact", config.Key)
		}
	}
	return errors.New("no cleanup.policy")
}

// produceAndSizes writes as a tool's `produce` does; the sizes of the log dirs show it.
func produceAndSizes(ctx context.Context) error {
	for number := range 400 {
		client.Produce(ctx, &kgo.Record{Topic: topic, Key: []byte(fmt.Sprint(number)), Value: []byte(strings.Repeat("x", 100)), Partition: int32(number % 4)}, nil)
	}
	if err := client.Flush(ctx); err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 0, 1, 2, 3)
	dirs, err := admin.DescribeAllLogDirs(ctx, set)
	if err != nil {
		return err
	}
	size := int64(0)
	dirs.Each(func(dir kadm.DescribedLogDir) { size += dir.Size() })
	if size < 1000 {
		return fmt.Errorf("%d bytes", size)
	}
	ends, err := admin.ListEndOffsets(ctx, topic)
	if err != nil {
		return err
	}
	total := int64(0)
	ends.Each(func(at kadm.ListedOffset) { total += at.Offset })
	return equal(total, 400, "sum of the ends")
}

func offsetsPage(ctx context.Context) error {
	for name, list := range map[string]func(context.Context, ...string) (kadm.ListedOffsets, error){
		"start": admin.ListStartOffsets, "committed": admin.ListCommittedOffsets, "max timestamp": admin.ListMaxTimestampOffsets,
		"local start": admin.ListLocalLogStartOffsets,
	} {
		listed, err := list(ctx, topic)
		if err == nil {
			err = listed.Error()
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

func groupPages(ctx context.Context) error {
	var offsets kadm.Offsets
	for number := range int32(4) {
		offsets.AddOffset(topic, number, 10, -1)
	}
	if err := admin.CommitAllOffsets(ctx, group, offsets); err != nil {
		return err
	}
	lags, err := admin.Lag(ctx, group)
	if err != nil {
		return err
	}
	if err := lags.Error(); err != nil {
		return err
	}
	if err := equal(lags[group].Lag.Total(), 400-4*10, "lag"); err != nil {
		return err
	}
	many := admin.FetchManyOffsets(ctx, group, group+"-none")
	if err := many.Error(); err != nil {
		return err
	}
	listed, err := admin.ListGroups(ctx, "Empty")
	if err != nil {
		return err
	}
	if _, there := listed[group]; !there {
		return fmt.Errorf("not listed: %v", listed.Groups())
	}
	coordinators := admin.FindGroupCoordinators(ctx, group)
	return coordinators.Error()
}

// ── buttons ─────────────────────────────────────────────────────────────────────────────────────────────────────────

func resetAndDeleteOffsets(ctx context.Context) error {
	listed, err := admin.ListStartOffsets(ctx, topic)
	if err != nil {
		return err
	}
	if err := admin.CommitAllOffsets(ctx, group, listed.Offsets()); err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 3)
	deleted, err := admin.DeleteOffsets(ctx, group, set)
	if err != nil {
		return err
	}
	if err := deleted.Error(); err != nil {
		return err
	}
	left, err := admin.FetchOffsets(ctx, group)
	if err != nil {
		return err
	}
	count := 0
	left.Each(func(kadm.OffsetResponse) { count++ })
	if err := equal(count, 3, "positions left"); err != nil {
		return err
	}
	_, err = admin.DeleteGroup(ctx, group)
	return err
}

func configButtons(ctx context.Context) error {
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "retention.ms", Value: text("7200000")}, {Op: kadm.AppendConfig, Name: "cleanup.policy", Value: text("delete")}}
	if validated, err := admin.ValidateAlterTopicConfigs(ctx, set, topic); err != nil || validated[0].Err != nil {
		return fmt.Errorf("validating: %v %v", err, validated)
	}
	if changed, err := admin.AlterTopicConfigs(ctx, set, topic); err != nil || changed[0].Err != nil {
		return fmt.Errorf("changing: %v %v", err, changed)
	}
	for {
		configs, err := admin.DescribeTopicConfigs(ctx, topic)
		if err != nil {
			return err
		}
		found := map[string]string{}
		for _, config := range configs[0].Configs {
			found[config.Key] = config.MaybeValue()
		}
		if found["retention.ms"] == "7200000" && found["cleanup.policy"] == "compact,delete" {
			return nil
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func brokerConfigButtons(ctx context.Context) error {
	set := []kadm.AlterConfig{{Op: kadm.SetConfig, Name: "log.cleaner.threads", Value: text("2")}}
	changed, err := admin.AlterBrokerConfigs(ctx, set)
	if err != nil || changed[0].Err != nil {
		return fmt.Errorf("%v %v", err, changed)
	}
	back := []kadm.AlterConfig{{Op: kadm.DeleteConfig, Name: "log.cleaner.threads"}}
	changed, err = admin.AlterBrokerConfigs(ctx, back)
	if err != nil || changed[0].Err != nil {
		return fmt.Errorf("back: %v %v", err, changed)
	}
	return nil
}

func quotas(ctx context.Context) error {
	entity := kadm.ClientQuotaEntity{{Type: "client-id", Name: text(topic)}}
	if _, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Value: 1e9}}}}); err != nil {
		return err
	}
	for {
		described, err := admin.DescribeClientQuotas(ctx, false, []kadm.DescribeClientQuotaComponent{{Type: "client-id", MatchName: text(topic)}})
		if err != nil {
			return err
		}
		if len(described) == 1 && described[0].Values[0].Value == 1e9 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	_, err := admin.AlterClientQuotas(ctx, []kadm.AlterClientQuotaEntry{{Entity: entity, Ops: []kadm.AlterClientQuotaOp{{Key: "producer_byte_rate", Remove: true}}}})
	return err
}

func users(ctx context.Context) error {
	user := topic + "-user"
	altered, err := admin.AlterUserSCRAMs(ctx, nil, []kadm.UpsertSCRAM{{User: user, Mechanism: kadm.ScramSha256, Iterations: 4096, Password: "a password"}})
	if err != nil {
		return err
	}
	if err := altered.Error(); err != nil {
		return err
	}
	for {
		described, err := admin.DescribeUserSCRAMs(ctx, user)
		if err != nil {
			return err
		}
		if infos := described[user].CredInfos; len(infos) == 1 && infos[0].Iterations == 4096 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	altered, err = admin.AlterUserSCRAMs(ctx, []kadm.DeleteSCRAM{{User: user, Mechanism: kadm.ScramSha256}}, nil)
	if err != nil {
		return err
	}
	return altered.Error()
}

// acls: without an authorizer they are refused, as by Kafka.
func acls(ctx context.Context) error {
	builder := kadm.NewACLs().Topics(topic).ResourcePatternType(kadm.ACLPatternLiteral).Operations(kadm.OpRead).Allow("User:alice").AllowHosts("*")
	created, err := admin.CreateACLs(ctx, builder)
	if err != nil {
		return err
	}
	if !errors.Is(created[0].Err, kerr.SecurityDisabled) {
		return fmt.Errorf("without an authorizer: %v", created[0].Err)
	}
	return nil
}

func partitionButtons(ctx context.Context) error {
	grown, err := admin.CreatePartitions(ctx, 2, topic)
	if err != nil {
		return err
	}
	if err := grown.Error(); err != nil {
		return err
	}
	var set kadm.TopicsSet
	set.Add(topic, 0)
	elected, err := admin.ElectLeaders(ctx, kadm.ElectPreferredReplica, set)
	if err != nil {
		return err
	}
	if err := elected[topic][0].Err; err != nil && !errors.Is(err, kerr.ElectionNotNeeded) {
		return err
	}
	moving, err := admin.ListPartitionReassignments(ctx, set)
	if err != nil {
		return err
	}
	if err := equal(len(moving), 0, "partitions being moved"); err != nil {
		return err
	}
	var below kadm.Offsets
	below.AddOffset(topic, 0, 5, -1)
	_, err = admin.DeleteRecords(ctx, below)
	if !errors.Is(err, kerr.PolicyViolation) && err != nil {
		return err
	}
	return nil
}

// messages is the page that shows the last records of a topic, partition by partition.
func messages(ctx context.Context) error {
	reader, err := kgo.NewClient(kgo.SeedBrokers(server), kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{
		topic: {1: kgo.NewOffset().AtEnd().Relative(-3), 2: kgo.NewOffset().At(50)}}))
	if err != nil {
		return err
	}
	defer reader.Close()
	count := map[int32]int{}
	for count[1] < 3 || count[2] < 50 {
		fetches := reader.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return fmt.Errorf("%v: %w", count, err)
		}
		fetches.EachRecord(func(record *kgo.Record) { count[record.Partition]++ })
	}
	return equal([]int{count[1], count[2]}, []int{3, 50}, "records")
}

func deleteTopic(ctx context.Context) error {
	if _, err := admin.DeleteTopic(ctx, topic); err != nil {
		return err
	}
	if _, err := admin.DeleteTopic(ctx, topic+"-none"); !errors.Is(err, kerr.UnknownTopicOrPartition) {
		return fmt.Errorf("one that is not there: %v", err)
	}
	return nil
}

func main() {
	// This kadm names topics where OffsetCommit and OffsetFetch 10 want ids; Kafka 4.4 refuses that as we do.
	versions := kversion.Stable()
	versions.SetMaxKeyVersion(8, 9)
	versions.SetMaxKeyVersion(9, 9)
	var err error
	client, err = kgo.NewClient(kgo.SeedBrokers(server), kgo.MaxVersions(versions), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	admin = kadm.NewClient(client)
	step("page-overview", overview)
	step("page-broker", brokerPage)
	step("page-topics", topicPages)
	step("produce-and-sizes", produceAndSizes)
	step("page-offsets", offsetsPage)
	step("page-groups", groupPages)
	step("page-messages", messages)
	step("button-reset-offsets", resetAndDeleteOffsets)
	step("button-topic-configs", configButtons)
	step("button-broker-configs", brokerConfigButtons)
	step("button-quotas", quotas)
	step("button-users", users)
	step("acls-without-authorizer", acls)
	step("button-partitions", partitionButtons)
	step("button-delete-topic", deleteTopic)
	client.Close()
	fmt.Println("DONE")
}
