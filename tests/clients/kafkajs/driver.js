// Drives KafkaJS by the lines that tests/clients/README.md describes.
'use strict'

const { randomUUID } = require('node:crypto')
const readline = require('node:readline')
const { CompressionCodecs, CompressionTypes, ConfigResourceTypes, Kafka, logLevel } = require('kafkajs')
const snappy = require('kafkajs-snappy')
const lz4 = require('lz4-napi')
const zstd = require('@bokuweb/zstd-wasm')

const PATIENCE_MS = 120_000
const TURN_MS = 50

CompressionCodecs[CompressionTypes.Snappy] = snappy
CompressionCodecs[CompressionTypes.LZ4] = () => ({
  compress: async (encoder) => lz4.compressFrame(encoder.buffer),
  decompress: async (buffer) => lz4.decompressFrame(buffer),
})
CompressionCodecs[CompressionTypes.ZSTD] = () => ({
  compress: async (encoder) => Buffer.from(zstd.compress(encoder.buffer)),
  decompress: async (buffer) => Buffer.from(zstd.decompress(buffer)),
})
const COMPRESSION = {
  none: CompressionTypes.None,
  gzip: CompressionTypes.GZIP,
  snappy: CompressionTypes.Snappy,
  lz4: CompressionTypes.LZ4,
  zstd: CompressionTypes.ZSTD,
}

const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const decode = (text) => (text === null ? null : Buffer.from(text, 'hex'))
const encode = (data) => (data === null || data === undefined ? null : Buffer.from(data).toString('hex'))

// KafkaJS keeps headers in an object: one that comes again under its name is a list there.
const decodeHeaders = (headers) => {
  const object = {}
  for (const [name, value] of headers) {
    object[name] = name in object ? [object[name], decode(value)].flat() : decode(value)
  }
  return object
}

const encodeHeaders = (headers) =>
  Object.entries(headers ?? {}).flatMap(([name, values]) => [values].flat().map((value) => [name, encode(value)]))

class Driver {
  constructor(bootstrap) {
    this.kafka = new Kafka({
      brokers: [bootstrap],
      logLevel: logLevel.NOTHING,
      retry: { retries: 40, maxRetryTime: 3000 },
      requestTimeout: PATIENCE_MS,
    })
    this.admin = this.kafka.admin({ retry: { retries: 3 } })
    this.consumer = null
    this.records = []
    this.crashed = null
    this.next = new Map()
  }

  async create_topic({ topic, partitions, config }) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    const created = await this.admin.createTopics({
      topics: [{ topic, numPartitions: partitions, replicationFactor: 1, configEntries }],
    })
    if (!created) {
      throw Object.assign(new Error('there already'), { code: 36 })
    }
  }

  async delete_topic({ topic }) {
    await this.admin.deleteTopics({ topics: [topic] })
  }

  async list_topics() {
    return { topics: await this.admin.listTopics() }
  }

  async describe_topic({ topic }) {
    const { topics } = await this.admin.fetchTopicMetadata({ topics: [topic] })
    const led = topics[0].partitions.filter(({ leader }) => leader >= 0)
    return { partitions: led.map(({ partitionId }) => partitionId) }
  }

  async create_partitions({ topic, partitions }) {
    await this.admin.createPartitions({ topicPartitions: [{ topic, count: partitions }] })
  }

  async describe_config({ topic }) {
    const asked = [{ type: ConfigResourceTypes.TOPIC, name: topic }]
    const { resources } = await this.admin.describeConfigs({ resources: asked, includeSynonyms: false })
    const entries = resources[0].configEntries
    return { config: Object.fromEntries(entries.map(({ configName, configValue }) => [configName, configValue])) }
  }

  async alter_config({ topic, config }) {
    const configEntries = Object.entries(config).map(([name, value]) => ({ name, value }))
    const resources = [{ type: ConfigResourceTypes.TOPIC, name: topic, configEntries }]
    await this.admin.alterConfigs({ validateOnly: false, resources })
  }

  async delete_records({ topic, partition, before }) {
    // KafkaJS looks for the leaders among what it knows, and knows a topic once it was asked about it.
    await this.admin.fetchTopicOffsets(topic)
    await this.admin.deleteTopicRecords({ topic, partitions: [{ partition, offset: String(before) }] })
  }

  async list_groups() {
    const { groups } = await this.admin.listGroups()
    return { groups: groups.map(({ groupId }) => groupId) }
  }

  async describe_group({ group }) {
    const { groups } = await this.admin.describeGroups([group])
    return { state: groups[0].state, members: groups[0].members.length }
  }

  async delete_group({ group }) {
    await this.admin.deleteGroups([group])
  }

  async committed({ topic, group }) {
    const [{ partitions }] = await this.admin.fetchOffsets({ groupId: group, topics: [topic] })
    const known = partitions.filter(({ offset }) => Number(offset) >= 0)
    return { offsets: Object.fromEntries(known.map(({ partition, offset }) => [partition, Number(offset)])) }
  }

  async produce({ topic, compression, idempotent, each, transactional, records }) {
    const producer = this.kafka.producer({
      idempotent: idempotent || transactional !== undefined,
      maxInFlightRequests: 1,
      transactionalId: transactional,
      retry: transactional === undefined ? { retries: 1000, maxRetryTime: 1000 } : { retries: 3 },
    })
    await producer.connect()
    try {
      const sink = transactional === undefined ? producer : await producer.transaction()
      const offsets = []
      const size = each ?? records.length
      for (let begin = 0; begin < records.length; begin += size) {
        const chunk = records.slice(begin, begin + size)
        offsets.push(...(await this.send(sink, topic, COMPRESSION[compression], chunk)))
      }
      if (transactional !== undefined) {
        await sink.commit()
      }
      return { offsets }
    } finally {
      await producer.disconnect()
    }
  }

  // One batch a partition is sent, and its base offset answered.
  async send(producer, topic, compression, records) {
    const messages = records.map(({ partition, timestamp, key, value, headers }) => ({
      partition,
      timestamp: String(timestamp),
      key: decode(key),
      value: decode(value),
      headers: decodeHeaders(headers),
    }))
    const answers = await producer.send({ topic, messages, acks: -1, compression })
    const next = Object.fromEntries(answers.map(({ partition, baseOffset }) => [partition, Number(baseOffset)]))
    return records.map(({ partition }) => next[partition]++)
  }

  // KafkaJS reads in groups only: this one has a member, this consumer.
  async assign({ topic, partitions, from }) {
    let starts
    if (from.timestamp !== undefined) {
      starts = await this.admin.fetchTopicOffsetsByTimestamp(topic, from.timestamp)
    } else {
      const ends = await this.admin.fetchTopicOffsets(topic)
      starts = ends.map(({ partition, low, high }) => ({ partition, offset: from === 'latest' ? high : low }))
    }
    await this.begin(topic, { groupId: `alone-${randomUUID()}` }, partitions)
    for (const { partition, offset } of starts) {
      this.consumer.seek({ topic, partition, offset })
    }
  }

  async subscribe({ topic, group, session_ms: sessionTimeout }) {
    await this.begin(topic, { groupId: group, sessionTimeout, heartbeatInterval: 500 })
  }

  async begin(topic, settings, partitions) {
    await this.leave()
    const options = { maxWaitTimeInMs: 100, maxBytesPerPartition: 8 << 20, rebalanceTimeout: 20_000, ...settings }
    this.consumer = this.kafka.consumer(options)
    this.consumer.on(this.consumer.events.CRASH, ({ payload }) => {
      this.crashed = payload.restart ? null : payload.error
    })
    await this.consumer.connect()
    await this.consumer.subscribe({ topics: [topic], fromBeginning: true })
    const joined = new Promise((resolve) => this.consumer.on(this.consumer.events.GROUP_JOIN, resolve))
    await this.consumer.run({
      autoCommit: false,
      eachBatchAutoResolve: false,
      eachBatch: async (arrived) => this.take(arrived, partitions),
    })
    if (partitions !== undefined) {
      await joined
    }
  }

  async take({ batch, resolveOffset, isStale, isRunning }, partitions) {
    for (const message of batch.messages) {
      if (isStale() || !isRunning()) {
        return
      }
      if (partitions === undefined || partitions.includes(batch.partition)) {
        this.records.push({ topic: batch.topic, partition: batch.partition, message })
      }
      resolveOffset(message.offset)
      this.next.set(batch.partition, { topic: batch.topic, offset: String(BigInt(message.offset) + 1n) })
    }
  }

  async seek({ topic, partition, offset }) {
    this.records = []
    this.consumer.seek({ topic, partition, offset: String(offset) })
  }

  async commit() {
    const offsets = [...this.next].map(([partition, { topic, offset }]) => ({ topic, partition, offset }))
    await this.consumer.commitOffsets(offsets)
    // What is committed is not committed again: its partition may be another member's by then.
    this.next.clear()
  }

  async read({ count }) {
    const deadline = Date.now() + PATIENCE_MS
    while (this.records.length < count && Date.now() < deadline && this.crashed === null) {
      await sleep(TURN_MS)
    }
    return this.drain()
  }

  async drain() {
    if (this.crashed !== null) {
      throw this.crashed
    }
    const records = this.records.map(({ partition, message }) => ({
      partition,
      offset: Number(message.offset),
      timestamp: Number(message.timestamp),
      key: encode(message.key),
      value: encode(message.value),
      headers: encodeHeaders(message.headers),
    }))
    this.records = []
    return { records }
  }

  async leave() {
    if (this.consumer !== null) {
      await this.consumer.disconnect()
    }
    this.consumer = null
    this.records = []
    this.crashed = null
    this.next = new Map()
  }

  async answer(request) {
    try {
      return { ok: (await this[request.op](request)) ?? {} }
    } catch (error) {
      const causes = [error, ...(error.errors ?? [])]
      for (let cause = error.cause; cause; cause = cause.cause) {
        causes.push(cause)
      }
      const { code } = causes.find((cause) => Number.isInteger(cause.code)) ?? { code: null }
      return { error: `${error.name}: ${error.message}`, code }
    }
  }
}

const main = async () => {
  await zstd.init()
  const driver = new Driver(process.argv[2])
  await driver.admin.connect()
  const tell = (answer) => process.stdout.write(`${JSON.stringify(answer)}\n`)
  tell({ ready: require('kafkajs/package.json').version })
  for await (const line of readline.createInterface({ input: process.stdin })) {
    tell(await driver.answer(JSON.parse(line)))
  }
  await driver.leave()
  await driver.admin.disconnect()
}

main().catch((error) => {
  console.error(error)
  process.exit(1)
})
