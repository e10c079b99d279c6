// Package lines is what the drivers of the Go clients share: the lines that tests/clients/README.md describes.
package lines

import (
	"bufio"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"runtime/debug"
	"strconv"
	"time"
)

const (
	// Patience is how long a driver waits for what must come.
	Patience = 120 * time.Second
	// Turn is how long it waits for what may come.
	Turn = 50 * time.Millisecond
)

// Record is a record to send, or one that was read; bytes are hexadecimal, and nil is null.
type Record struct {
	Partition int32        `json:"partition"`
	Offset    int64        `json:"offset"`
	Timestamp int64        `json:"timestamp"`
	Key       *string      `json:"key"`
	Value     *string      `json:"value"`
	Headers   [][2]*string `json:"headers"`
}

// Request is one operation with whatever fields it has.
type Request struct {
	Op            string            `json:"op"`
	Topic         string            `json:"topic"`
	Partitions    json.RawMessage   `json:"partitions"`
	Partition     int32             `json:"partition"`
	Config        map[string]string `json:"config"`
	Compression   string            `json:"compression"`
	Idempotent    bool              `json:"idempotent"`
	MaxBytes      int32             `json:"max_bytes"`
	Each          int               `json:"each"`
	Transactional string            `json:"transactional"`
	Records       []Record          `json:"records"`
	From          json.RawMessage   `json:"from"`
	Offset        int64             `json:"offset"`
	Before        int64             `json:"before"`
	Count         int               `json:"count"`
	Group         string            `json:"group"`
	Instance      string            `json:"instance"`
	SessionMs     int               `json:"session_ms"`
}

// Fields are an answer's.
type Fields map[string]any

// Driver is one client.
type Driver interface {
	// Perform carries out any operation but `read` and `drain`.
	Perform(ctx context.Context, asked *Request) (Fields, error)
	// Turn reads what has come, waiting for no more than Turn.
	Turn() ([]Record, error)
	// Member tells whether a group counts on this process.
	Member() bool
	// Code is Kafka's code for an error, if it has one.
	Code(err error) (int, bool)
}

// Decode reads hexadecimal bytes.
func Decode(text *string) []byte {
	if text == nil {
		return nil
	}
	data, err := hex.DecodeString(*text)
	if err != nil {
		panic(err)
	}
	return data
}

// Encode writes hexadecimal bytes.
func Encode(data []byte) *string {
	if data == nil {
		return nil
	}
	text := hex.EncodeToString(data)
	return &text
}

// PartitionCount is `partitions` where that is a number.
func (asked *Request) PartitionCount() int {
	count, err := strconv.Atoi(string(asked.Partitions))
	if err != nil {
		panic(err)
	}
	return count
}

// PartitionList is `partitions` where that is a list.
func (asked *Request) PartitionList() []int32 {
	var list []int32
	if err := json.Unmarshal(asked.Partitions, &list); err != nil {
		panic(err)
	}
	return list
}

// FromTimestamp is the time to read from, if that is where to begin.
func (asked *Request) FromTimestamp() (int64, bool) {
	var from struct{ Timestamp int64 }
	err := json.Unmarshal(asked.From, &from)
	return from.Timestamp, err == nil
}

// FromLatest tells whether to read only what comes from now on.
func (asked *Request) FromLatest() bool {
	return string(asked.From) == `"latest"`
}

// Chunks are the records of a produce request, as many together as shall be acknowledged before the next are sent.
func (asked *Request) Chunks() [][]Record {
	each := asked.Each
	if each == 0 {
		each = len(asked.Records)
	}
	chunks := [][]Record{}
	for begin := 0; begin < len(asked.Records); begin += each {
		chunks = append(chunks, asked.Records[begin:min(begin+each, len(asked.Records))])
	}
	return chunks
}

// Version is that of a module in this binary.
func Version(module string) string {
	info, _ := debug.ReadBuildInfo()
	for _, dependency := range info.Deps {
		if dependency.Path == module {
			return dependency.Version
		}
	}
	return "unknown"
}

type state struct {
	driver  Driver
	records []Record
	failed  error
}

func (s *state) turn() {
	records, err := s.driver.Turn()
	s.records = append(s.records, records...)
	if err != nil {
		s.failed = err
	}
}

func (s *state) drained() (Fields, error) {
	records, err := s.records, s.failed
	if records == nil {
		records = []Record{}
	}
	s.records, s.failed = nil, nil
	return Fields{"records": records}, err
}

func (s *state) perform(asked *Request) (Fields, error) {
	switch asked.Op {
	case "read":
		for until := time.Now().Add(Patience); len(s.records) < asked.Count && time.Now().Before(until); {
			s.turn()
		}
		return s.drained()
	case "drain":
		s.turn()
		return s.drained()
	case "assign", "subscribe", "seek", "leave":
		s.records, s.failed = nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*Patience)
	defer cancel()
	return s.driver.Perform(ctx, asked)
}

func (s *state) answer(line []byte) Fields {
	var asked Request
	if err := json.Unmarshal(line, &asked); err != nil {
		return Fields{"error": err.Error()}
	}
	told, err := s.perform(&asked)
	if err == nil {
		return Fields{"ok": told}
	}
	answer := Fields{"error": err.Error()}
	if code, has := s.driver.Code(err); has {
		answer["code"] = code
	}
	return answer
}

// Run answers requests until the input ends; between them a member of a group goes on reading.
func Run(driver Driver, version string) {
	lines := make(chan []byte)
	go func() {
		in := bufio.NewReaderSize(os.Stdin, 1<<20)
		for {
			line, err := in.ReadBytes('\n')
			if err != nil {
				close(lines)
				return
			}
			lines <- line
		}
	}()
	out := json.NewEncoder(os.Stdout)
	s := &state{driver: driver}
	must(out.Encode(Fields{"ready": version}))
	for {
		idle := time.Hour
		if driver.Member() {
			idle = time.Millisecond
		}
		select {
		case line, open := <-lines:
			if !open {
				_, err := s.perform(&Request{Op: "leave"})
				must(err)
				return
			}
			must(out.Encode(s.answer(line)))
		case <-time.After(idle):
			s.turn()
		}
	}
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
