package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math/rand"
	"net/http"
	"sync"
	"time"
)

var web = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, DisableCompression: true}}

// call sends one Kinesis operation over HTTP/1.1; the signature only has to parse.
func call(operation string, body []byte) ([]byte, error) {
	request, err := http.NewRequest("POST", *server, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	request.Header.Set("Content-Type", "application/x-amz-json-1.1")
	request.Header.Set("X-Amz-Target", "Kinesis_20131202."+operation)
	request.Header.Set("X-Amz-Date", now.Format("20060102T150405Z"))
	request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/"+now.Format("20060102")+
		"/eu-west-1/kinesis/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, Signature="+
		"0000000000000000000000000000000000000000000000000000000000000000")
	answer, err := web.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != 200 {
		err = fmt.Errorf("%s: %d %.200s", operation, answer.StatusCode, text)
	}
	return text, err
}

// putRecords puts batches of 500 records over a few connections; bodies are made before the clock starts.
func putRecords() result {
	const records = 500
	_, err := call("CreateStream", []byte(fmt.Sprintf(`{"StreamName":%q,"ShardCount":4}`, *topic)))
	fail(err)
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		text, err := call("DescribeStreamSummary", []byte(fmt.Sprintf(`{"StreamName":%q}`, *topic)))
		if err == nil && bytes.Contains(text, []byte(`"ACTIVE"`)) {
			break
		}
		if time.Now().After(limit) {
			fail(fmt.Errorf("the stream is not ACTIVE: %v %s", err, text))
		}
	}
	type entry struct{ PartitionKey, Data string }
	bodies := make([][]byte, 16)
	for i := range bodies {
		entries := make([]entry, records)
		for number := range entries {
			data := make([]byte, *sizeBytes)
			rand.Read(data)
			entries[number] = entry{fmt.Sprintf("key-%d", rand.Intn(10_000)), base64.StdEncoding.EncodeToString(data)}
		}
		bodies[i], err = json.Marshal(map[string]any{"StreamName": *topic, "Records": entries})
		fail(err)
	}
	var lock sync.Mutex
	var times []time.Duration
	var group sync.WaitGroup
	began := time.Now()
	for client := range *clients {
		group.Add(1)
		go func() {
			defer group.Done()
			for number := client; number < *calls; number += *clients {
				sent := time.Now()
				text, err := call("PutRecords", bodies[number%len(bodies)])
				fail(err)
				if !bytes.Contains(text, []byte(`"FailedRecordCount":0`)) {
					fail(fmt.Errorf("failed records: %.200s", text))
				}
				lock.Lock()
				times = append(times, time.Since(sent))
				lock.Unlock()
			}
		}()
	}
	group.Wait()
	took := time.Since(began).Seconds()
	return result{"records": *calls * records, "seconds": took, "records_per_s": float64(*calls*records) / took,
		"p50_ms": quantileMs(times, 0.5), "p99_ms": quantileMs(times, 0.99)}
}
