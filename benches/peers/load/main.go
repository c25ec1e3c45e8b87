// The load generator of benches/peers: one work a call, one JSON object out. It measures only what a client sees;
// CPU and memory of the server are read by run.py, which starts it. It is never run against two servers at once.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"sort"
	"time"
)

var (
	server     = flag.String("server", "", "host:port (Kafka) or URL (Kinesis)")
	topic      = flag.String("topic", "load", "topic or stream")
	partitions = flag.Int("partitions", 12, "partitions of the topic")
	sizeBytes  = flag.Int("size", 1024, "bytes of a value")
	mib        = flag.Int("mib", 512, "MiB of values to produce")
	rate       = flag.Int("rate", 1000, "records per second (e2e)")
	seconds    = flag.Int("seconds", 15, "how long (e2e, closed)")
	topics     = flag.Int("topics", 1000, "how many topics (topics)")
	batch      = flag.Int("batch", 1000, "topics in one CreateTopics request (topics)")
	clients    = flag.Int("clients", 4, "connections at once (put)")
	calls      = flag.Int("calls", 2000, "PutRecords calls (put)")
	config     = flag.String("config", "", "topic settings, key=value, comma-separated")
	dir        = flag.String("dir", ".", "folder to write in (disk)")
)

type result map[string]any

func fail(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// quantile of unsorted durations, in milliseconds.
func quantileMs(values []time.Duration, q float64) float64 {
	if len(values) == 0 {
		return 0
	}
	sort.Slice(values, func(a, b int) bool { return values[a] < values[b] })
	at := int(q * float64(len(values)))
	if at >= len(values) {
		at = len(values) - 1
	}
	return float64(values[at].Microseconds()) / 1000
}

func main() {
	works := map[string]func() result{
		"first-ack": firstAck, "produce": produce, "consume": consume, "e2e": endToEnd, "closed": closedLoop,
		"topics": manyTopics, "put": putRecords, "disk": disk, "ceiling": ceiling,
	}
	if len(os.Args) < 2 || works[os.Args[1]] == nil {
		fmt.Fprintln(os.Stderr, "load first-ack|produce|consume|e2e|closed|topics|put|disk|ceiling [flags]")
		os.Exit(2)
	}
	fail(flag.CommandLine.Parse(os.Args[2:]))
	out, err := json.Marshal(works[os.Args[1]]())
	fail(err)
	fmt.Println(string(out))
}
