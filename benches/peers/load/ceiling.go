package main

import (
	"encoding/binary"
	"io"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// ceiling produces to a server that reads and answers, in this very process, and does nothing else: what this generator
// could measure at most on this machine.
func ceiling() result {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	fail(err)
	*server = listener.Addr().String()
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go answer(conn, listener.Addr().(*net.TCPAddr))
		}
	}()
	return produce()
}

// answer serves one connection of the generator until it goes.
func answer(conn net.Conn, address *net.TCPAddr) {
	defer conn.Close()
	var length [4]byte
	var frame []byte
	for {
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(length[:]))
		if cap(frame) < size {
			frame = make([]byte, size)
		}
		frame = frame[:size]
		if _, err := io.ReadFull(conn, frame); err != nil {
			return
		}
		key, version := int16(binary.BigEndian.Uint16(frame)), int16(binary.BigEndian.Uint16(frame[2:]))
		request := kmsg.RequestForKey(key)
		request.SetVersion(version)
		body := frame[10+max(0, int(int16(binary.BigEndian.Uint16(frame[8:])))):]
		if request.IsFlexible() {
			body = body[1:] // no tags
		}
		fail(request.ReadFrom(body))
		response := reply(request, address)
		response.SetVersion(version)
		out := append(make([]byte, 4), frame[4:8]...)
		if response.IsFlexible() && key != 18 {
			out = append(out, 0)
		}
		out = response.AppendTo(out)
		binary.BigEndian.PutUint32(out, uint32(len(out)-4))
		if _, err := conn.Write(out); err != nil {
			return
		}
	}
}

var sinkTopicID = [16]byte{1}

func reply(request kmsg.Request, address *net.TCPAddr) kmsg.Response {
	response := request.ResponseKind()
	switch response := response.(type) {
	case *kmsg.ApiVersionsResponse:
		for key, most := range map[int16]int16{0: 9, 3: 12, 18: 3, 19: 5, 22: 4} {
			served := kmsg.NewApiVersionsResponseApiKey()
			served.ApiKey, served.MaxVersion = key, most
			response.ApiKeys = append(response.ApiKeys, served)
		}
	case *kmsg.MetadataResponse:
		broker := kmsg.NewMetadataResponseBroker()
		broker.Host, broker.Port = "127.0.0.1", int32(address.Port)
		response.Brokers, response.ControllerID = append(response.Brokers, broker), broker.NodeID
		for _, asked := range request.(*kmsg.MetadataRequest).Topics {
			found := kmsg.NewMetadataResponseTopic()
			found.Topic, found.TopicID = asked.Topic, sinkTopicID
			for number := range *partitions {
				one := kmsg.NewMetadataResponseTopicPartition()
				one.Partition, one.Replicas, one.ISR = int32(number), []int32{0}, []int32{0}
				found.Partitions = append(found.Partitions, one)
			}
			response.Topics = append(response.Topics, found)
		}
	case *kmsg.CreateTopicsResponse:
		for _, asked := range request.(*kmsg.CreateTopicsRequest).Topics {
			made := kmsg.NewCreateTopicsResponseTopic()
			made.Topic = asked.Topic
			response.Topics = append(response.Topics, made)
		}
	case *kmsg.ProduceResponse:
		for _, asked := range request.(*kmsg.ProduceRequest).Topics {
			written := kmsg.NewProduceResponseTopic()
			written.Topic = asked.Topic
			for _, part := range asked.Partitions {
				one := kmsg.NewProduceResponseTopicPartition()
				one.Partition = part.Partition
				written.Partitions = append(written.Partitions, one)
			}
			response.Topics = append(response.Topics, written)
		}
	}
	return response
}
