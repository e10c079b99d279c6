// Drives franz-go by the lines that tests/clients/README.md describes.
package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"klamm/clients/lines"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
)

type driver struct {
	bootstrap string
	admin     *kadm.Client
	consumer  *kgo.Client
	member    bool
}

// Perform carries out one operation.
func (d *driver) Perform(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "create_topic", "delete_topic", "list_topics", "describe_topic", "create_partitions",
		"describe_config", "alter_config", "delete_records":
		return d.topics(ctx, asked)
	case "list_groups", "describe_group", "delete_group", "committed":
		return d.groups(ctx, asked)
	case "produce":
		return d.produce(ctx, asked)
	case "assign":
		return lines.Fields{}, d.assign(ctx, asked)
	case "subscribe":
		return lines.Fields{}, d.subscribe(asked)
	case "seek":
		d.consumer.SetOffsets(map[string]map[int32]kgo.EpochOffset{
			asked.Topic: {asked.Partition: {Epoch: -1, Offset: asked.Offset}},
		})
		return lines.Fields{}, nil
	case "commit":
		return lines.Fields{}, d.consumer.CommitUncommittedOffsets(ctx)
	case "leave":
		d.leave()
		return lines.Fields{}, nil
	}
	return nil, errors.New("unknown operation")
}

func (d *driver) topics(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "create_topic":
		config := map[string]*string{}
		for name, value := range asked.Config {
			config[name] = &value
		}
		_, err := d.admin.CreateTopic(ctx, int32(asked.PartitionCount()), -1, config, asked.Topic)
		return lines.Fields{}, err
	case "delete_topic":
		_, err := d.admin.DeleteTopic(ctx, asked.Topic)
		return lines.Fields{}, err
	case "list_topics":
		listed, err := d.admin.ListTopics(ctx)
		return lines.Fields{"topics": listed.Names()}, err
	case "describe_topic":
		listed, err := d.admin.ListTopics(ctx, asked.Topic)
		if err != nil {
			return nil, err
		}
		led := []int32{}
		for _, partition := range listed[asked.Topic].Partitions.Sorted() {
			if partition.Leader >= 0 {
				led = append(led, partition.Partition)
			}
		}
		return lines.Fields{"partitions": led}, listed[asked.Topic].Err
	case "create_partitions":
		told, err := d.admin.UpdatePartitions(ctx, asked.PartitionCount(), asked.Topic)
		return lines.Fields{}, errors.Join(err, told.Error())
	case "describe_config":
		return d.describeConfig(ctx, asked.Topic)
	case "alter_config":
		changes := []kadm.AlterConfig{}
		for name, value := range asked.Config {
			changes = append(changes, kadm.AlterConfig{Op: kadm.SetConfig, Name: name, Value: &value})
		}
		told, err := d.admin.AlterTopicConfigs(ctx, changes, asked.Topic)
		if err == nil {
			err = told[0].Err
		}
		return lines.Fields{}, err
	default:
		before := kadm.Offsets{}
		before.AddOffset(asked.Topic, asked.Partition, asked.Before, -1)
		told, err := d.admin.DeleteRecords(ctx, before)
		if err == nil {
			err = told.Error()
		}
		return lines.Fields{}, err
	}
}

func (d *driver) describeConfig(ctx context.Context, topic string) (lines.Fields, error) {
	told, err := d.admin.DescribeTopicConfigs(ctx, topic)
	if err != nil {
		return nil, err
	}
	config := map[string]*string{}
	for _, entry := range told[0].Configs {
		config[entry.Key] = entry.Value
	}
	return lines.Fields{"config": config}, told[0].Err
}

func (d *driver) groups(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "list_groups":
		listed, err := d.admin.ListGroups(ctx)
		return lines.Fields{"groups": listed.Groups()}, err
	case "describe_group":
		described, err := d.admin.DescribeGroups(ctx, asked.Group)
		if err != nil {
			return nil, err
		}
		group := described[asked.Group]
		return lines.Fields{"state": group.State, "members": len(group.Members)}, group.Err
	case "delete_group":
		_, err := d.admin.DeleteGroup(ctx, asked.Group)
		return lines.Fields{}, err
	default:
		told, err := d.admin.FetchOffsets(ctx, asked.Group)
		if err != nil {
			return nil, err
		}
		offsets := map[string]int64{}
		told.Each(func(at kadm.OffsetResponse) {
			offsets[strconv.Itoa(int(at.Partition))] = at.At
		})
		return lines.Fields{"offsets": offsets}, told.Error()
	}
}

var codecs = map[string]kgo.CompressionCodec{
	"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
	"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
}

func (d *driver) produce(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	options := []kgo.Opt{
		kgo.SeedBrokers(d.bootstrap),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchCompression(codecs[asked.Compression]),
		kgo.ProducerBatchMaxBytes(max(asked.MaxBytes, 1_048_588)),
		kgo.AllowAutoTopicCreation(),
		kgo.UnknownTopicRetries(20),
	}
	if !asked.Idempotent {
		options = append(options, kgo.DisableIdempotentWrite())
	}
	if asked.Transactional != "" {
		options = append(options, kgo.TransactionalID(asked.Transactional), kgo.RecordDeliveryTimeout(10*time.Second))
	}
	producer, err := kgo.NewClient(options...)
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	if asked.Transactional != "" {
		if err := producer.BeginTransaction(); err != nil {
			return nil, err
		}
	}
	offsets := []int64{}
	for _, chunk := range asked.Chunks() {
		batch := []*kgo.Record{}
		for _, record := range chunk {
			batch = append(batch, toSend(asked.Topic, &record))
		}
		answers := producer.ProduceSync(ctx, batch...)
		if err := answers.FirstErr(); err != nil {
			return nil, err
		}
		for _, record := range batch {
			offsets = append(offsets, record.Offset)
		}
	}
	if asked.Transactional != "" {
		if err := producer.EndTransaction(ctx, kgo.TryCommit); err != nil {
			return nil, err
		}
	}
	return lines.Fields{"offsets": offsets}, nil
}

func toSend(topic string, record *lines.Record) *kgo.Record {
	headers := []kgo.RecordHeader{}
	for _, header := range record.Headers {
		headers = append(headers, kgo.RecordHeader{Key: *header[0], Value: lines.Decode(header[1])})
	}
	return &kgo.Record{
		Topic: topic, Partition: record.Partition, Timestamp: time.UnixMilli(record.Timestamp),
		Key: lines.Decode(record.Key), Value: lines.Decode(record.Value), Headers: headers,
	}
}

// The offset to begin at; "latest" is looked up now, so that what is sent from now on is read.
func (d *driver) start(ctx context.Context, asked *lines.Request, partition int32) (kgo.Offset, error) {
	if timestamp, given := asked.FromTimestamp(); given {
		listed, err := d.admin.ListOffsetsAfterMilli(ctx, timestamp, asked.Topic)
		if err != nil {
			return kgo.NewOffset(), err
		}
		at, _ := listed.Lookup(asked.Topic, partition)
		return kgo.NewOffset().At(at.Offset), at.Err
	}
	if asked.FromLatest() {
		listed, err := d.admin.ListEndOffsets(ctx, asked.Topic)
		if err != nil {
			return kgo.NewOffset(), err
		}
		at, _ := listed.Lookup(asked.Topic, partition)
		return kgo.NewOffset().At(at.Offset), at.Err
	}
	return kgo.NewOffset().AtStart(), nil
}

func (d *driver) assign(ctx context.Context, asked *lines.Request) error {
	d.leave()
	starts := map[int32]kgo.Offset{}
	for _, partition := range asked.PartitionList() {
		start, err := d.start(ctx, asked, partition)
		if err != nil {
			return err
		}
		starts[partition] = start
	}
	var err error
	d.consumer, err = kgo.NewClient(
		kgo.SeedBrokers(d.bootstrap),
		kgo.ConsumeResetOffset(kgo.NoResetOffset()),
		kgo.ConsumePartitions(map[string]map[int32]kgo.Offset{asked.Topic: starts}),
	)
	return err
}

func (d *driver) subscribe(asked *lines.Request) error {
	d.leave()
	options := []kgo.Opt{
		kgo.SeedBrokers(d.bootstrap),
		kgo.ConsumerGroup(asked.Group),
		kgo.ConsumeTopics(asked.Topic),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.DisableAutoCommit(),
		kgo.SessionTimeout(time.Duration(asked.SessionMs) * time.Millisecond),
		kgo.HeartbeatInterval(500 * time.Millisecond),
	}
	if asked.Instance != "" {
		options = append(options, kgo.InstanceID(asked.Instance))
	}
	var err error
	d.consumer, err = kgo.NewClient(options...)
	d.member = true
	return err
}

// Turn reads what has come, waiting for no more than a moment.
func (d *driver) Turn() ([]lines.Record, error) {
	if d.consumer == nil {
		return nil, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), lines.Turn)
	defer cancel()
	fetches := d.consumer.PollFetches(ctx)
	var failed error
	for _, fetch := range fetches.Errors() {
		if !errors.Is(fetch.Err, context.DeadlineExceeded) {
			failed = fetch.Err
		}
	}
	records := []lines.Record{}
	fetches.EachRecord(func(read *kgo.Record) {
		headers := [][2]*string{}
		for _, header := range read.Headers {
			headers = append(headers, [2]*string{&header.Key, lines.Encode(header.Value)})
		}
		records = append(records, lines.Record{
			Partition: read.Partition, Offset: read.Offset, Timestamp: read.Timestamp.UnixMilli(),
			Key: lines.Encode(read.Key), Value: lines.Encode(read.Value), Headers: headers,
		})
	})
	return records, failed
}

// Member tells whether a group counts on this process.
func (d *driver) Member() bool {
	return d.member
}

// Code is Kafka's code for an error.
func (d *driver) Code(err error) (int, bool) {
	var kafka *kerr.Error
	if errors.As(err, &kafka) {
		return int(kafka.Code), true
	}
	return 0, false
}

func (d *driver) leave() {
	if d.consumer != nil {
		d.consumer.Close()
	}
	d.consumer, d.member = nil, false
}

func main() {
	client, err := kgo.NewClient(kgo.SeedBrokers(os.Args[1]))
	if err != nil {
		panic(err)
	}
	lines.Run(&driver{bootstrap: os.Args[1], admin: kadm.NewClient(client)}, lines.Version("github.com/twmb/franz-go"))
}
