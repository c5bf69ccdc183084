// A worker of the engine's benchmark in Node: see `src/main.rs`. The first argument says which client.
'use strict'

const fs = require('node:fs')
const readline = require('node:readline')

const { BENCH_SOCKET: socket, BENCH_CONTAINER: target, BENCH_LOGS: logs, BENCH_IMAGE: image, BENCH_TAR: tar } = process.env
const [since, until, noisy] = process.env.BENCH_PAST.split(' ')
const LABELS = { list0: 'none', list50: 'fifty', list500: 'many' }

/** @param {AsyncIterable<any>} stream */
async function spend(stream) {
  let bytes = 0
  for await (const part of stream) bytes += (part.data ?? part).length
  return bytes
}

/** @param {AsyncIterable<any>} events */
async function counted(events) {
  let count = 0
  for await (const _event of events) count++
  if (count < 250) throw new Error(`${count} events`)
}

/** @param {() => Promise<unknown>} work */
async function fourTimes(work) {
  for (let i = 0; i < 4; i++) await work()
}

async function dockerkit() {
  const { Engine } = require('dockerkit')
  const engine = await Engine.connect(`unix://${socket}`)
  const held = await engine.containers.get(target)
  const data = fs.readFileSync(tar)
  const works = {
    ping: () => engine.ping(),
    inspect: () => engine.containers.get(target),
    cycle: async () => (await engine.containers.run(image, ['sleep', '100'])).remove({ force: true, volumes: true }),
    exec: () => held.exec(['true']),
    logs: async () => spend(await (await engine.containers.get(logs)).logs()),
    archive_out: async () => spend(await held.getArchive('/big')),
    archive_in: () => held.putArchive('/tmp', { data }),
    events: () => fourTimes(() => counted(engine.events({ since, until, filters: { container: [noisy] } }))),
    at_once: () => Promise.all(Array.from({ length: 50 }, () => engine.containers.get(target))),
  }
  for (const [name, label] of Object.entries(LABELS)) works[name] = () => engine.containers.list({ all: true, filters: { label: [`bench=${label}`] } })
  return works
}

async function dockerode() {
  const Docker = require(process.env.DOCKERODE ?? 'dockerode')
  const docker = new Docker({ socketPath: socket })
  const held = docker.getContainer(target)
  const data = fs.readFileSync(tar)
  const works = {
    ping: () => docker.ping(),
    inspect: () => held.inspect(),
    cycle: async () => {
      const made = await docker.createContainer({ Image: image, Cmd: ['sleep', '100'] })
      await made.start()
      await made.remove({ force: true, v: true })
    },
    exec: async () => {
      const made = await held.exec({ Cmd: ['true'], AttachStdout: true, AttachStderr: true })
      const stream = await made.start({ hijack: true })
      stream.resume()
      await new Promise((resolve) => stream.on('end', resolve))
      while ((await made.inspect()).Running) continue
    },
    logs: async () => {
      const stream = await docker.getContainer(logs).logs({ stdout: true, stderr: true, follow: true })
      const { Writable } = require('node:stream')
      const sink = new Writable({ write: (_chunk, _encoding, done) => done() })
      docker.modem.demuxStream(stream, sink, sink)
      await new Promise((resolve) => stream.on('end', resolve))
    },
    archive_out: async () => spend(await held.getArchive({ path: '/big' })),
    archive_in: () => held.putArchive(data, { path: '/tmp' }),
    events: () =>
      fourTimes(async () => {
        const stream = await docker.getEvents({ since, until, filters: { container: [noisy] } })
        const lines = readline.createInterface({ input: stream })
        await counted(
          (async function* () {
            for await (const line of lines) yield JSON.parse(line)
          })(),
        )
      }),
    at_once: () => Promise.all(Array.from({ length: 50 }, () => held.inspect())),
  }
  for (const [name, label] of Object.entries(LABELS)) works[name] = () => docker.listContainers({ all: true, filters: { label: [`bench=${label}`] } })
  return works
}

async function main() {
  const works = await { dockerkit, dockerode }[process.argv[2]]()
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const [op, times] = line.split(' ')
    const begin = performance.now()
    try {
      for (let i = 0; i < Number(times); i++) await works[op]()
      process.stdout.write(`${((performance.now() - begin) / Number(times)).toFixed(4)}\n`)
    } catch (error) {
      process.stdout.write(`failed ${String(error).replaceAll('\n', ' ')}\n`)
    }
  }
}

main()
