// One participant with sarama, as the version of Kafka it is told: a writer, or a careful reader (see together.py).
package main

import (
	"bufio"
	"fmt"
	"log"
	"os"
	"strconv"

	"github.com/IBM/sarama"
)

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func main() {
	role, server, topic, name, codec := os.Args[1], os.Args[2], os.Args[3], os.Args[4], os.Args[5]
	rounds, err := strconv.Atoi(os.Args[6])
	must(err)
	file, err := os.Create(os.Args[7])
	must(err)
	out := bufio.NewWriter(file)
	version, err := sarama.ParseKafkaVersion(os.Args[8])
	must(err)
	config := sarama.NewConfig()
	config.Version = version
	if role == "write" {
		write(server, topic, name, codec, rounds, config, out)
	} else {
		read(server, topic, config, out)
	}
	must(out.Flush())
	must(file.Close())
}

func messages(topic string, values []string) (all []*sarama.ProducerMessage) {
	for _, value := range values {
		all = append(all, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(value), Value: sarama.StringEncoder(value)})
	}
	return all
}

func write(server, topic, name, codec string, rounds int, config *sarama.Config, out *bufio.Writer) {
	must(config.Producer.Compression.UnmarshalText([]byte(codec)))
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Idempotent = true
	config.Net.MaxOpenRequests = 1
	plain, err := sarama.NewSyncProducer([]string{server}, config)
	must(err)
	transactional := *config
	transactional.Producer.Transaction.ID = topic + "-" + name
	careful, err := sarama.NewSyncProducer([]string{server}, &transactional)
	must(err)
	for round := range rounds {
		commit, kind := round%3 != 2, "t"
		if !commit {
			kind = "aborted"
		}
		var alone, together []string
		for number := range 10 {
			alone = append(alone, fmt.Sprintf("%s-p-%d-%d", name, round, number))
			together = append(together, fmt.Sprintf("%s-%s-%d-%d", name, kind, round, number))
		}
		must(careful.BeginTxn())
		must(careful.SendMessages(messages(topic, together)))
		must(plain.SendMessages(messages(topic, alone)))
		if commit {
			must(careful.CommitTxn())
			alone = append(alone, together...)
		} else {
			must(careful.AbortTxn())
		}
		for _, value := range alone {
			fmt.Fprintln(out, value)
		}
	}
	must(plain.Close())
	must(careful.Close())
}

func read(server, topic string, config *sarama.Config, out *bufio.Writer) {
	config.Consumer.IsolationLevel = sarama.ReadCommitted
	consumer, err := sarama.NewConsumer([]string{server}, config)
	must(err)
	numbers, err := consumer.Partitions(topic)
	must(err)
	found, ended := make(chan *sarama.ConsumerMessage), 0
	for _, number := range numbers {
		reader, err := consumer.ConsumePartition(topic, number, sarama.OffsetOldest)
		must(err)
		go func() {
			for message := range reader.Messages() {
				found <- message
			}
		}()
	}
	for ended < len(numbers) {
		message := <-found
		fmt.Fprintln(out, message.Partition, message.Offset, string(message.Value))
		if string(message.Value) == "END" {
			ended++
		}
	}
}
