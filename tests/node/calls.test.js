// How a call ends: its result, its error, an AbortSignal, a deadline, another thread, the end of the process.
'use strict'

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const { promisify } = require('node:util')
const { Worker } = require('node:worker_threads')
const dk = require('dockerkit')
const { folder, slowEngine, timeOf } = require('./lab.js')

const run = promisify(execFile)
const TOP = path.resolve(__dirname, '../..')

test('connect, version and ping', async (t) => {
  const slow = await slowEngine(t)
  const engine = await dk.Engine.connect(slow.endpoint)
  assert.equal(engine.endpoint, slow.endpoint)
  assert.equal(engine.apiVersion, '1.43')
  const version = await engine.version()
  assert.deepEqual([version.version, version.os], ['99.0', 'linux'])
  assert.equal((await engine.ping()).apiVersion, '1.43')
  assert.match(require('node:util').inspect(engine), /^Engine \{/)
  assert.equal(JSON.parse(JSON.stringify(engine)).apiVersion, '1.43')
  await engine.close()
  await assert.rejects(engine.ping(), { code: 'invalid_input', message: /closed/ })
})

test('an optional argument may be left out before the options', async (t) => {
  const slow = await slowEngine(t)
  process.env.DOCKER_HOST = slow.endpoint
  t.after(() => delete process.env.DOCKER_HOST)
  const engine = await dk.Engine.connect({ timeoutMs: 5000 })
  assert.equal(engine.endpoint, slow.endpoint)
})

test('an unreachable engine', async (t) => {
  const missing = `unix://${folder()}/none.sock`
  const error = await dk.Engine.connect(missing).catch((e) => e)
  assert.ok(error instanceof dk.DockerkitError)
  assert.ok(error instanceof Error)
  assert.ok(error instanceof dk.errors.UnreachableError)
  assert.deepEqual([error.code, error.operation, error.retryable], ['unreachable', 'engine.connect', true])
  assert.equal(error.context.endpoint, missing)
  assert.ok(error.hint)
  assert.match(error.stack ?? '', /calls\.test\.js/)
})

test('a wrong endpoint', async () => {
  await assert.rejects(dk.Engine.connect('nonsense'), { code: 'invalid_input', message: /is not an endpoint/ })
})

test('an engine that is too old', async (t) => {
  const old = await slowEngine(t, '1.40')
  await assert.rejects(dk.Engine.connect(old.endpoint), { code: 'unsupported', message: /1\.40/, hint: /./ })
})

test('an unknown context names the known ones', async (t) => {
  process.env.DOCKER_CONFIG = folder()
  t.after(() => delete process.env.DOCKER_CONFIG)
  const error = await dk.Engine.connect({ context: 'prod' }).catch((e) => e)
  assert.equal(error.code, 'not_found')
  assert.equal(error.context.context, 'prod')
  assert.match(error.hint, /default/)
})

test('an unknown option names the nearest, in camelCase', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  const wrong = /** @type {any} */ ({ filter: { status: ['exited'] } })
  const error = await engine.containers.list(wrong).catch((e) => e)
  assert.equal(error.code, 'invalid_input')
  assert.equal(error.operation, 'engine.containers.list')
  assert.match(error.message, /unknown option `filter`; did you mean `filters`\?/)
  assert.equal(error.context.nearest, 'filters')
  assert.match(error.stack, /calls\.test\.js/)
  for (const [options, nearest] of [
    [{ timeout: 5 }, 'timeoutMs'],
    [{ timeout_ms: 5 }, 'timeoutMs'],
    [{ api_version: '1.41' }, 'apiVersion'],
    [{ ssh: { usr: 'me' } }, 'user'],
  ]) {
    await assert.rejects(dk.Engine.connect('unix:///none', /** @type {any} */ (options)), {
      code: 'invalid_input',
      context: { option: Object.keys(Object(options)[0] ?? {})[0] ?? findKey(options), nearest },
    })
  }
  assert.throws(() => dk.SshOptions(/** @type {any} */ ({ usr: 'me' })), /did you mean `user`/)
})

/** The innermost key. @param {any} value @returns {string} */
function findKey(value) {
  const [key, inner] = Object.entries(value)[0] ?? ['', null]
  return typeof inner === 'object' && inner !== null ? findKey(inner) : key
}

test('a wrong type names the option', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  const options = (/** @type {unknown} */ value) => /** @type {any} */ (value)
  await assert.rejects(engine.containers.list(options({ limit: 3, all: 'yes' })), { code: 'invalid_input', message: /`all`: .*boolean/ })
  await assert.rejects(engine.containers.list(options({ all: () => true })), { message: /`all`: a function cannot be an argument/ })
  await assert.rejects(engine.containers.list(options({ limit: NaN })), { message: /`limit`: NaN/ })
  await assert.rejects(engine.containers.list(options('all')), { message: /options are given as one object/ })
  await assert.rejects(engine.containers.get(options(undefined)), { message: /`id` is missing/ })
  await assert.rejects(dk.Engine.connect('unix:///none', options({ timeoutMs: '5s' })), { message: /number of milliseconds/ })
  await assert.rejects(engine.ping(options({ onEvent: 'print' })), { message: /onEvent/ })
  await assert.rejects(engine.ping(options({ deadlineMs: -1 })), { message: /deadlineMs/ })
  await assert.rejects(engine.ping(options({ signal: 'SIGTERM' })), { message: /AbortSignal/ })
})

test('a missing file', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  await assert.rejects(engine.images.build(path.join(folder(), 'none'), { tags: ['x'] }), { code: 'not_found', message: /none/ })
})

test('a deadline', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  const took = await timeOf(() => assert.rejects(engine.info({ deadlineMs: 200 }), { code: 'timeout' }))
  assert.ok(took < 1000, `${took} ms`)
})

test('each part of a call has a limit of its own', async (t) => {
  const here = folder()
  const pause = () => new Promise((resolve) => setTimeout(resolve, 900))
  // It answers `/networks` late, and pauses in the middle of `/containers/json` and before each event.
  const server = http.createServer(async (request, response) => {
    const what = (request.url ?? '').split('?')[0]?.replace('/v1.43', '')
    if (what === '/networks') await pause()
    response.writeHead(200, { 'Api-Version': '1.43', 'Content-Type': 'application/json' })
    response.flushHeaders()
    if (what === '/containers/json' || what === '/events') {
      if (what === '/containers/json') response.write('[')
      await pause()
      return response.end(what === '/events' ? '{"Type":"container","Action":"die","time":1}\n' : ']')
    }
    return response.end('[]')
  })
  await new Promise((resolve) => server.listen(path.join(here, 'late.sock'), () => resolve(undefined)))
  // It takes connections and never says a word.
  const silent = net.createServer((stream) => void stream.on('error', () => {}))
  await new Promise((resolve) => silent.listen(0, '127.0.0.1', () => resolve(undefined)))
  t.after(() => {
    server.closeAllConnections()
    server.close()
    silent.close()
  })
  const place = `unix://${here}/late.sock`
  const late = { code: 'timeout', message: /did not answer within 300ms/ }
  const stopped = { code: 'timeout', message: /answer stopped for 300ms/ }

  let engine = await dk.Engine.connect(place, { firstByteTimeoutMs: 300, silenceTimeoutMs: 20_000 })
  await assert.rejects(engine.networks.list(), late)
  assert.deepEqual(await engine.containers.list(), [])
  engine = await dk.Engine.connect(place, { firstByteTimeoutMs: 20_000, silenceTimeoutMs: 300 })
  assert.deepEqual(await engine.networks.list(), [])
  await assert.rejects(engine.containers.list(), stopped)
  for await (const event of engine.events()) assert.equal(event.action, 'die')
  engine = await dk.Engine.connect(place, { timeoutMs: 300 })
  await assert.rejects(engine.networks.list(), late)
  await assert.rejects(engine.containers.list(), stopped)

  const tcp = `tcp://127.0.0.1:${/** @type {net.AddressInfo} */ (silent.address()).port}`
  const key = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-x509', '-subj', '/CN=ca', '-keyout', 'key.pem', '-out', 'ca.pem']
  await run('openssl', key, { cwd: here })
  const tls = { caFile: path.join(here, 'ca.pem') }
  await assert.rejects(dk.Engine.connect(tcp, { tls, connectTimeoutMs: 300, timeoutMs: 100 }), { code: 'timeout', message: /no connection within 300ms/ })
  await assert.rejects(dk.Engine.connect(tcp, { connectTimeoutMs: 20_000, timeoutMs: 300 }), late)
})

test('an AbortSignal in the middle of a call ends it at once and drops the request', async (t) => {
  const slow = await slowEngine(t)
  const engine = await dk.Engine.connect(slow.endpoint)
  const control = new AbortController()
  const call = engine.info({ signal: control.signal })
  await slow.waiting
  const reason = new Error('enough')
  const took = await timeOf(async () => {
    control.abort(reason)
    const error = await call.then(
      () => assert.fail(),
      (e) => e,
    )
    assert.deepEqual([error.code, error.operation, error.cause], ['canceled', 'engine.info', reason])
    assert.ok(error instanceof dk.errors.CanceledError)
    await slow.gone
  })
  assert.ok(took < 1000, `${took} ms`)
  assert.equal((await engine.ping()).apiVersion, '1.43')
})

test('a signal that was given before, and one that comes too late', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  await assert.rejects(engine.ping({ signal: AbortSignal.abort() }), { code: 'canceled' })
  const control = new AbortController()
  await engine.ping({ signal: control.signal })
  control.abort()
  await assert.rejects(engine.info({ signal: AbortSignal.timeout(100) }), { code: 'canceled' })
})

test('a stream that is waited for ends by signal and by close', async (t) => {
  const slow = await slowEngine(t)
  const engine = await dk.Engine.connect(slow.endpoint)
  const next = engine.events({ signal: AbortSignal.timeout(100) }).next()
  await assert.rejects(next, { code: 'canceled', operation: 'engine.events' })
  const error = await engine
    .events(/** @type {any} */ ({ sinse: 1 }))
    .next()
    .catch((e) => e)
  assert.match(error.message, /did you mean `since`/)
})

test('the event loop is not held up', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  let ticks = 0
  const timer = setInterval(() => (ticks += 1), 5)
  await engine.info({ deadlineMs: 300 }).catch(() => undefined)
  clearInterval(timer)
  assert.ok(ticks > 10, `${ticks} ticks`)
})

test('many calls at the same time', async (t) => {
  const engine = await dk.Engine.connect((await slowEngine(t)).endpoint)
  const all = await Promise.all(Array.from({ length: 64 }, () => engine.version()))
  assert.ok(all.every((v) => v.version === '99.0'))
})

test('a worker thread has its own calls, and may end in the middle of one', async (t) => {
  const slow = await slowEngine(t)
  const engine = await dk.Engine.connect(slow.endpoint)
  const code = `
    const { parentPort, workerData } = require('node:worker_threads')
    const dk = require(${JSON.stringify(TOP)})
    dk.Engine.connect(workerData).then(async (engine) => {
      parentPort.postMessage((await engine.version()).version)
      if (process.argv.includes('wait')) await engine.info()
    })`
  const answer = (/** @type {Worker} */ worker) => new Promise((resolve, reject) => worker.once('message', resolve).once('error', reject))
  const workers = [1, 2, 3].map(() => new Worker(code, { eval: true, workerData: slow.endpoint }))
  assert.deepEqual(await Promise.all(workers.map(answer)), ['99.0', '99.0', '99.0'])
  const waiting = new Worker(code, { eval: true, workerData: slow.endpoint, argv: ['wait'] })
  assert.equal(await answer(waiting), '99.0')
  await slow.waiting
  await waiting.terminate()
  await slow.gone
  assert.equal((await engine.version()).version, '99.0')
})

test('what is left open does not keep the process, what is awaited does', async (t) => {
  const slow = await slowEngine(t)
  const node = (/** @type {string} */ code) => run(process.execPath, ['-e', code, slow.endpoint], { cwd: TOP, timeout: 10_000 })
  const start = `const dk = require('dockerkit'); dk.Engine.connect(process.argv[1]).then(async (engine) => {`
  const took = await timeOf(async () => {
    const { stdout } = await node(`${start} engine.events(); console.log('left') })`)
    assert.equal(stdout, 'left\n')
  })
  assert.ok(took < 3000, `${took} ms`)
  const { stdout } = await node(`${start} engine.info({ deadlineMs: 300 }).catch((e) => console.log(e.code)) })`)
  assert.equal(stdout, 'timeout\n')
})

test('an ES module has the same names', async () => {
  const esm = await import('dockerkit')
  for (const name of Object.keys(dk)) assert.equal(esm[/** @type {keyof typeof esm} */ (name)], dk[/** @type {keyof typeof dk} */ (name)], name)
})

test('loading is quick', async () => {
  const code = `const start = performance.now(); require('dockerkit'); console.log(performance.now() - start)`
  const times = []
  for (let i = 0; i < 5; i++) times.push(Number((await run(process.execPath, ['-e', code], { cwd: TOP })).stdout))
  const best = Math.min(...times)
  assert.ok(best < 50, `${best} ms`)
})

test('plain data is made with its tag, and checked', () => {
  assert.deepEqual(dk.SshOptions({ user: 'me', port: 22 }), { user: 'me', port: 22 })
  assert.deepEqual(new dk.SshOptions({ user: 'me' }), { user: 'me' })
  assert.throws(() => new /** @type {any} */ (dk.Engine)(), /not made directly/)
})
