package main

import (
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// disk measures what no server on it can beat: a small synced append, and a large one.
func disk() result {
	path := filepath.Join(*dir, "disk-probe")
	file, err := os.Create(path)
	fail(err)
	defer os.Remove(path)
	defer file.Close()
	write := func(block []byte, times int) []time.Duration {
		took := make([]time.Duration, times)
		for number := range took {
			began := time.Now()
			_, err := file.Write(block)
			fail(err)
			fail(syscall.Fdatasync(int(file.Fd())))
			took[number] = time.Since(began)
		}
		return took
	}
	write(make([]byte, 4096), 50)
	small := write(make([]byte, 4096), 500)
	began := time.Now()
	const blocks, blockMiB = 64, 8
	write(make([]byte, blockMiB<<20), blocks)
	seconds := time.Since(began).Seconds()
	return result{"sync_p50_ms": quantileMs(small, 0.5), "sync_p99_ms": quantileMs(small, 0.99),
		"synced_mb_per_s": float64(blocks*blockMiB<<20) / 1e6 / seconds}
}
