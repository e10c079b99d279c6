// Drives kafka-go by the lines that tests/clients/README.md describes.
package main

import (
	"context"
	"errors"
	"os"
	"strconv"
	"time"

	"klamm/clients/lines"

	"github.com/segmentio/kafka-go"
)

type driver struct {
	bootstrap string
	admin     *kafka.Client
	// One reader a partition when partitions were assigned, one of all in a group.
	readers     []*kafka.Reader
	member      bool
	uncommitted []kafka.Message
}

// Perform carries out one operation.
func (d *driver) Perform(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "create_topic", "delete_topic", "list_topics", "describe_topic", "create_partitions":
		return d.topics(ctx, asked)
	case "describe_config", "alter_config":
		return d.configs(ctx, asked)
	case "list_groups", "describe_group", "delete_group", "committed":
		return d.groups(ctx, asked)
	case "produce":
		return d.produce(ctx, asked)
	case "assign":
		return lines.Fields{}, d.assign(ctx, asked)
	case "subscribe":
		d.subscribe(asked)
		return lines.Fields{}, nil
	case "seek":
		return lines.Fields{}, d.seek(asked)
	case "commit":
		err := d.readers[0].CommitMessages(ctx, d.uncommitted...)
		d.uncommitted = nil
		return lines.Fields{}, err
	case "leave":
		return lines.Fields{}, d.leave()
	}
	return nil, errors.New("unknown operation")
}

func (d *driver) topics(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "create_topic":
		topic := kafka.TopicConfig{Topic: asked.Topic, NumPartitions: asked.PartitionCount(), ReplicationFactor: 1}
		for name, value := range asked.Config {
			topic.ConfigEntries = append(topic.ConfigEntries, kafka.ConfigEntry{ConfigName: name, ConfigValue: value})
		}
		told, err := d.admin.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{topic}})
		if err == nil {
			err = told.Errors[asked.Topic]
		}
		return lines.Fields{}, err
	case "delete_topic":
		told, err := d.admin.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{asked.Topic}})
		if err == nil {
			err = told.Errors[asked.Topic]
		}
		return lines.Fields{}, err
	case "list_topics":
		told, err := d.admin.Metadata(ctx, &kafka.MetadataRequest{})
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, topic := range told.Topics {
			names = append(names, topic.Name)
		}
		return lines.Fields{"topics": names}, nil
	case "describe_topic":
		told, err := d.admin.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{asked.Topic}})
		if err != nil {
			return nil, err
		}
		led := []int{}
		for _, partition := range told.Topics[0].Partitions {
			if partition.Error == nil {
				led = append(led, partition.ID)
			}
		}
		return lines.Fields{"partitions": led}, told.Topics[0].Error
	default:
		more := kafka.TopicPartitionsConfig{Name: asked.Topic, Count: int32(asked.PartitionCount())}
		told, err := d.admin.CreatePartitions(ctx, &kafka.CreatePartitionsRequest{
			Topics: []kafka.TopicPartitionsConfig{more},
		})
		if err == nil {
			err = told.Errors[asked.Topic]
		}
		return lines.Fields{}, err
	}
}

func (d *driver) configs(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	if asked.Op == "describe_config" {
		told, err := d.admin.DescribeConfigs(ctx, &kafka.DescribeConfigsRequest{
			Resources: []kafka.DescribeConfigRequestResource{
				{ResourceType: kafka.ResourceTypeTopic, ResourceName: asked.Topic},
			},
		})
		if err != nil {
			return nil, err
		}
		config := map[string]string{}
		for _, entry := range told.Resources[0].ConfigEntries {
			config[entry.ConfigName] = entry.ConfigValue
		}
		return lines.Fields{"config": config}, told.Resources[0].Error
	}
	changes := []kafka.IncrementalAlterConfigsRequestConfig{}
	for name, value := range asked.Config {
		changes = append(changes, kafka.IncrementalAlterConfigsRequestConfig{
			Name: name, Value: value, ConfigOperation: kafka.ConfigOperationSet,
		})
	}
	told, err := d.admin.IncrementalAlterConfigs(ctx, &kafka.IncrementalAlterConfigsRequest{
		Resources: []kafka.IncrementalAlterConfigsRequestResource{
			{ResourceType: kafka.ResourceTypeTopic, ResourceName: asked.Topic, Configs: changes},
		},
	})
	if err == nil {
		err = told.Resources[0].Error
	}
	return lines.Fields{}, err
}

func (d *driver) groups(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	switch asked.Op {
	case "list_groups":
		told, err := d.admin.ListGroups(ctx, &kafka.ListGroupsRequest{})
		if err != nil {
			return nil, err
		}
		names := []string{}
		for _, group := range told.Groups {
			names = append(names, group.GroupID)
		}
		return lines.Fields{"groups": names}, told.Error
	case "describe_group":
		told, err := d.admin.DescribeGroups(ctx, &kafka.DescribeGroupsRequest{GroupIDs: []string{asked.Group}})
		if err != nil {
			return nil, err
		}
		group := told.Groups[0]
		return lines.Fields{"state": group.GroupState, "members": len(group.Members)}, group.Error
	case "delete_group":
		told, err := d.admin.DeleteGroups(ctx, &kafka.DeleteGroupsRequest{GroupIDs: []string{asked.Group}})
		if err == nil {
			err = told.Errors[asked.Group]
		}
		return lines.Fields{}, err
	default:
		told, err := d.admin.OffsetFetch(ctx, &kafka.OffsetFetchRequest{GroupID: asked.Group})
		if err != nil {
			return nil, err
		}
		offsets := map[string]int64{}
		for _, at := range told.Topics[asked.Topic] {
			if at.CommittedOffset >= 0 {
				offsets[strconv.Itoa(at.Partition)] = at.CommittedOffset
			}
		}
		return lines.Fields{"offsets": offsets}, told.Error
	}
}

var codecs = map[string]kafka.Compression{
	"gzip": kafka.Gzip, "snappy": kafka.Snappy, "lz4": kafka.Lz4, "zstd": kafka.Zstd,
}

// What a message is: its place in the request, and the partition that it shall go to.
type place struct {
	index     int
	partition int
}

// A transaction by the calls of the client: no writer has one. Whoever goes on although it was refused an id must get
// no further, which is tried, too.
func (d *driver) transact(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	begun, refused := d.admin.InitProducerID(ctx, &kafka.InitProducerIDRequest{
		TransactionalID: asked.Transactional, TransactionTimeoutMs: 60_000,
	})
	if refused == nil {
		refused = begun.Error
	}
	records := []kafka.Record{}
	for _, record := range asked.Records {
		records = append(records, kafka.Record{
			Key: kafka.NewBytes(lines.Decode(record.Key)), Value: kafka.NewBytes(lines.Decode(record.Value)),
		})
	}
	told, err := d.admin.Produce(ctx, &kafka.ProduceRequest{
		Topic: asked.Topic, Partition: 0, RequiredAcks: kafka.RequireAll, TransactionalID: asked.Transactional,
		Records: kafka.NewRecordReader(records...),
	})
	if err == nil {
		err = told.Error
	}
	if refused == nil || err == nil {
		return lines.Fields{"offsets": []int64{}}, nil
	}
	return nil, errors.Join(refused, err)
}

func (d *driver) produce(ctx context.Context, asked *lines.Request) (lines.Fields, error) {
	if asked.Transactional != "" {
		return d.transact(ctx, asked)
	}
	offsets := make([]int64, len(asked.Records))
	writer := &kafka.Writer{
		Addr:         kafka.TCP(d.bootstrap),
		Topic:        asked.Topic,
		RequiredAcks: kafka.RequireAll,
		Compression:  codecs[asked.Compression],
		BatchBytes:   int64(max(asked.MaxBytes, 1_048_588)),
		BatchTimeout: 5 * time.Millisecond,
		MaxAttempts:  100,
		Balancer: kafka.BalancerFunc(func(message kafka.Message, _ ...int) int {
			return message.WriterData.(place).partition
		}),
		AllowAutoTopicCreation: true,
		Completion: func(messages []kafka.Message, err error) {
			for _, message := range messages {
				offsets[message.WriterData.(place).index] = message.Offset
			}
		},
	}
	defer writer.Close()
	index := 0
	for _, chunk := range asked.Chunks() {
		messages := []kafka.Message{}
		for _, record := range chunk {
			messages = append(messages, message(&record, index))
			index++
		}
		if err := writer.WriteMessages(ctx, messages...); err != nil {
			var each kafka.WriteErrors
			if errors.As(err, &each) {
				err = each[0]
			}
			return nil, err
		}
	}
	return lines.Fields{"offsets": offsets}, writer.Close()
}

func message(record *lines.Record, index int) kafka.Message {
	headers := []kafka.Header{}
	for _, header := range record.Headers {
		headers = append(headers, kafka.Header{Key: *header[0], Value: lines.Decode(header[1])})
	}
	return kafka.Message{
		Time: time.UnixMilli(record.Timestamp), Key: lines.Decode(record.Key), Value: lines.Decode(record.Value),
		Headers: headers, WriterData: place{index, int(record.Partition)},
	}
}

func (d *driver) assign(ctx context.Context, asked *lines.Request) error {
	if err := d.leave(); err != nil {
		return err
	}
	for _, partition := range asked.PartitionList() {
		reader := kafka.NewReader(kafka.ReaderConfig{
			Brokers: []string{d.bootstrap}, Topic: asked.Topic, Partition: int(partition),
			MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond,
		})
		d.readers = append(d.readers, reader)
		if err := d.start(ctx, reader, asked, int(partition)); err != nil {
			return err
		}
	}
	return nil
}

// Where a reader begins; "latest" is looked up now, so that what is sent from now on is read.
func (d *driver) start(ctx context.Context, reader *kafka.Reader, asked *lines.Request, partition int) error {
	if timestamp, given := asked.FromTimestamp(); given {
		return reader.SetOffsetAt(ctx, time.UnixMilli(timestamp))
	}
	if !asked.FromLatest() {
		return reader.SetOffset(kafka.FirstOffset)
	}
	told, err := d.admin.ListOffsets(ctx, &kafka.ListOffsetsRequest{
		Topics: map[string][]kafka.OffsetRequest{asked.Topic: {kafka.LastOffsetOf(partition)}},
	})
	if err != nil {
		return err
	}
	return reader.SetOffset(told.Topics[asked.Topic][0].LastOffset)
}

func (d *driver) seek(asked *lines.Request) error {
	for _, reader := range d.readers {
		if reader.Config().Partition == int(asked.Partition) {
			return reader.SetOffset(asked.Offset)
		}
	}
	return errors.New("not assigned")
}

func (d *driver) subscribe(asked *lines.Request) {
	d.leave()
	d.readers = []*kafka.Reader{kafka.NewReader(kafka.ReaderConfig{
		Brokers: []string{d.bootstrap}, GroupID: asked.Group, GroupTopics: []string{asked.Topic},
		StartOffset: kafka.FirstOffset, MinBytes: 1, MaxBytes: 8 << 20, MaxWait: 100 * time.Millisecond,
		SessionTimeout:    time.Duration(asked.SessionMs) * time.Millisecond,
		HeartbeatInterval: 500 * time.Millisecond, JoinGroupBackoff: 200 * time.Millisecond,
	})}
	d.member = true
}

// Turn reads what has come, waiting for no more than a moment.
func (d *driver) Turn() ([]lines.Record, error) {
	records := []lines.Record{}
	for _, reader := range d.readers {
		ctx, cancel := context.WithTimeout(context.Background(), lines.Turn)
		for {
			read, err := reader.FetchMessage(ctx)
			if errors.Is(err, context.DeadlineExceeded) {
				break
			}
			if err != nil {
				cancel()
				return records, err
			}
			if d.member {
				d.uncommitted = append(d.uncommitted, read)
			}
			records = append(records, told(&read))
		}
		cancel()
	}
	return records, nil
}

func told(read *kafka.Message) lines.Record {
	headers := [][2]*string{}
	for _, header := range read.Headers {
		headers = append(headers, [2]*string{&header.Key, lines.Encode(header.Value)})
	}
	return lines.Record{
		Partition: int32(read.Partition), Offset: read.Offset, Timestamp: read.Time.UnixMilli(),
		Key: lines.Encode(read.Key), Value: lines.Encode(read.Value), Headers: headers,
	}
}

func (d *driver) leave() error {
	var failed error
	for _, reader := range d.readers {
		failed = errors.Join(failed, reader.Close())
	}
	d.readers, d.member, d.uncommitted = nil, false, nil
	return failed
}

// Member tells whether a group counts on this process.
func (d *driver) Member() bool {
	return d.member
}

// Code is Kafka's code for an error.
func (d *driver) Code(err error) (int, bool) {
	var kafkas kafka.Error
	if errors.As(err, &kafkas) {
		return int(kafkas), true
	}
	return 0, false
}

func main() {
	admin := &kafka.Client{Addr: kafka.TCP(os.Args[1]), Timeout: lines.Patience}
	lines.Run(&driver{bootstrap: os.Args[1], admin: admin}, lines.Version("github.com/segmentio/kafka-go"))
}
