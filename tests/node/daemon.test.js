// A real engine of the test's own that is killed, held, or behind TLS, and a reader that stops.
'use strict'

const assert = require('node:assert/strict')
const { execFileSync } = require('node:child_process')
const { randomBytes } = require('node:crypto')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { Engine, errors, TlsOptions } = require('dockerkit')
const { daemon, programs } = require('./daemon.js')
const { folder, lab, name, timeOf } = require('./lab.js')

const SLEEP = ['sh', '-c', "trap 'exit 0' TERM; sleep 600 & wait"]
const pause = (/** @type {number} */ ms) => new Promise((resolve) => setTimeout(resolve, ms))

for (const program of programs()) {
  test(program, async (suite) => {
    const from = lab(suite, 'DOCKERKIT_LAB_ENGINE')
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    if (from === '' || image === '') return
    const own = await daemon(suite, program)
    await own.image(from, image)

    await suite.test('a held engine is given up in time', async () => {
      // What is not held may take longer on a busy machine.
      const container = await (await Engine.connect(own.endpoint)).containers.run(image, SLEEP)
      const engine = await Engine.connect(own.endpoint, { timeoutMs: 1000 })
      own.signal('SIGSTOP')
      try {
        for (const [wanted, call] of /** @type {[number, () => Promise<unknown>][]} */ ([
          [500, () => container.wait({ deadlineMs: 500 })],
          [500, () => container.exec(['true'], { deadlineMs: 500 })],
          [1000, () => engine.info()],
          [1000, () => engine.containers.create(image, ['true'])],
          [1000, () => Engine.connect(own.endpoint, { timeoutMs: 1000 })],
        ])) {
          const took = await timeOf(() => assert.rejects(call(), errors.TimeoutError))
          assert.ok(took > wanted - 50 && took < wanted + 1000, `${took} ms for ${wanted}`)
        }
      } finally {
        own.signal('SIGCONT')
      }
      await container.remove({ force: true })
    })

    await suite.test('calls end when the engine is killed', async () => {
      const engine = await Engine.connect(own.endpoint)
      const container = await engine.containers.run(image, ['sh', '-c', "trap 'exit 0' TERM; while true; do echo tick; sleep 0.1; done"])
      const all = async (/** @type {AsyncIterable<unknown>} */ stream) => {
        for await (const _ of stream);
      }
      const session = await container.execSession(['cat'])
      const calls = [all(engine.events()), all(container.logs({ follow: true })), container.wait(), container.exec(['sleep', '60']), session.wait()]
      const settled = Promise.allSettled(calls)
      await pause(700)
      await own.kill()
      const took = await timeOf(async () => {
        for (const result of await settled) {
          assert.equal(result.status, 'rejected')
          assert.ok(result.reason instanceof errors.UnreachableError, String(result.reason))
        }
      })
      assert.ok(took < 5000, `${took} ms`)
      await own.restart()
      await container.start()
      assert.equal((await container.exec(['echo', 'again'])).stdout.toString(), 'again\n')
      await container.remove({ force: true })
    })

    await suite.test('a reader that stops holds the engine and not memory', async () => {
      const engine = await Engine.connect(own.endpoint)
      const container = await engine.containers.run(image, ['sh', '-c', "head -c 268435456 /dev/zero | tr '\\0' x"])
      await container.wait({ deadlineMs: 120_000 })
      const logs = container.logs()
      const read = async (/** @type {number} */ bytes) => {
        for (let size = 0; size < bytes;) size += (await logs.next()).value?.data.length ?? Infinity
      }
      await read(8 << 20)
      await pause(2000)
      const [memory, done] = [process.memoryUsage().rss, own.read()]
      await pause(1500)
      assert.ok(process.memoryUsage().rss - memory < 4 << 20)
      assert.ok(own.read() - done < 4 << 20)
      await read(32 << 20)
      await logs.close()
      await container.remove({ force: true })
    })

    await suite.test('a full disk is told', async (t) => {
      const [place, username, password] = ['', '_USER', '_PASSWORD'].map((part) => lab(t, `DOCKERKIT_LAB_REGISTRY${part}`))
      if (!place || !username || !password) return
      // An image of some megabytes, made by another engine.
      const auth = { username, password }
      const reference = `${place}/lab/${name()}:1`
      const here = folder()
      fs.writeFileSync(path.join(here, 'big'), randomBytes(6 << 20))
      const other = await Engine.connect(from)
      await other.images.build(here, { dockerfileInline: `FROM ${image}\nCOPY big /\n`, tags: [reference] })
      /** @type {Buffer[]} */ const parts = []
      for await (const part of other.images.save([reference])) parts.push(part)
      await other.images.push(reference, { auth })
      await other.images.remove(reference)

      const small = await daemon(t, program, [], '64m')
      await small.image(from, image)
      const engine = await Engine.connect(small.endpoint)
      const context = folder()
      fs.writeFileSync(path.join(context, 'small'), 'x')
      const dockerfileInline = `FROM ${image}\nRUN dd if=/dev/urandom of=/big bs=1M count=6\n`
      /** @type {[string, Function, () => Promise<unknown>][]} */ const calls = [
        ['classic', errors.CommandFailedError, () => engine.images.build(context, { dockerfileInline, builder: 'classic', noCache: true })],
        ['buildkit', errors.CommandFailedError, () => engine.images.build(context, { dockerfileInline, builder: 'buildkit', noCache: true })],
        ['load', errors.EngineError, () => engine.images.load({ data: Buffer.concat(parts) })],
        ['pull', errors.EngineError, () => engine.images.pull(reference, { auth })],
        ['create', errors.EngineError, () => engine.containers.create(image, ['true'])],
      ]
      const there = async () => [await engine.images.list(), await engine.containers.list({ all: true })].map((all) => all.map((one) => one.id).sort())
      const before = await there()
      for (const [what, kind, call] of calls) {
        const filler = small.fill(what === 'create' ? 0 : 2 << 20)
        await assert.rejects(call(), (e) => e instanceof errors.DockerkitError && e.constructor === kind && /no space left/i.test(inspect(e)), what)
        // The classic builder leaves the container of the step that failed.
        if (what === 'classic') await engine.containers.prune()
        assert.deepEqual(await there(), before, what)
        fs.rmSync(filler)
      }
      // With space again, the same calls do their work.
      for (const [, , call] of calls) {
        await call()
        await engine.containers.prune()
        await engine.images.prune({ filters: { dangling: ['false'] } })
        await small.image(from, image)
      }
      assert.equal((await engine.containers.runOutput(image, ['echo', 'well'])).stdout.toString(), 'well\n')
    })

    await suite.test('an engine behind TLS is found in each way', async (t) => {
      const here = folder()
      const at = (/** @type {string} */ file) => path.join(here, file)
      const openssl = (/** @type {string[]} */ ...args) => execFileSync('openssl', args, { cwd: here, stdio: 'ignore' })
      const key = ['req', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
      for (const ca of ['ca', 'other']) openssl(...key, '-x509', '-days', '9', '-subj', '/CN=ca', '-keyout', `${ca}-key.pem`, '-out', `${ca}.pem`)
      fs.writeFileSync(at('names'), 'subjectAltName=IP:127.0.0.1\n')
      for (const [name, file] of /** @type {[string, string][]} */ ([
        ['server', 'server-key.pem'],
        ['cert', 'key.pem'],
      ])) {
        openssl(...key, '-subj', '/CN=x', '-keyout', file, '-out', 'csr')
        openssl(
          'x509',
          '-req',
          '-days',
          '9',
          '-in',
          'csr',
          '-CA',
          'ca.pem',
          '-CAkey',
          'ca-key.pem',
          '-CAcreateserial',
          '-extfile',
          'names',
          '-out',
          `${name}.pem`,
        )
      }
      const free = net.createServer()
      await new Promise((resolve) => free.listen(0, '127.0.0.1', () => resolve(undefined)))
      const place = `tcp://127.0.0.1:${/** @type {net.AddressInfo} */ (free.address()).port}`
      await new Promise((resolve) => free.close(resolve))
      const args = [`--host=${place}`, '--tlsverify', `--tlscacert=${at('ca.pem')}`, `--tlscert=${at('server.pem')}`, `--tlskey=${at('server-key.pem')}`]
      await daemon(t, program, args)
      const files = { caFile: at('ca.pem'), certFile: at('cert.pem'), keyFile: at('key.pem') }
      const text = (/** @type {string} */ file) => fs.readFileSync(at(file), 'utf8')
      const memory = TlsOptions({ ca: text('ca.pem'), cert: text('cert.pem'), key: text('key.pem') })
      for (const tls of [files, memory]) assert.ok((await (await Engine.connect(place, { tls })).info()).id)
      await assert.rejects(Engine.connect(place, { tls: { ...files, caFile: at('other.pem') } }), errors.UntrustedError)
      await assert.rejects(Engine.connect(place, { tls: { ...files, serverName: 'elsewhere.test' } }), errors.UntrustedError)
      await assert.rejects(Engine.connect(place, { tls: { caFile: at('ca.pem') } }), errors.UnauthorizedError)
      /** @type {Record<string, string>} */
      const variables = { DOCKER_CONFIG: at('config'), DOCKER_HOST: place, DOCKER_TLS_VERIFY: '1', DOCKER_CERT_PATH: here, DOCKER_API_VERSION: '1.41' }
      Object.assign(process.env, variables)
      t.after(() => Object.keys(variables).forEach((name) => delete process.env[name]))
      const found = await Engine.connect()
      assert.deepEqual([found.source, found.apiVersion], ['DOCKER_HOST', '1.41'])
      process.env.DOCKER_API_VERSION = '1.99'
      await assert.rejects(Engine.connect(), errors.UnsupportedError)
      for (const name of ['DOCKER_HOST', 'DOCKER_TLS_VERIFY', 'DOCKER_CERT_PATH', 'DOCKER_API_VERSION']) delete process.env[name]
      await Engine.createContext('ours', place, { tls: memory })
      assert.ok((await (await Engine.connect({ context: 'ours' })).info()).id)
      execFileSync('docker', ['--context', 'ours', 'version'])
      execFileSync('docker', ['context', 'create', 'theirs', '--docker', `host=${place},ca=${at('ca.pem')},cert=${at('cert.pem')},key=${at('key.pem')}`], {
        stdio: 'ignore',
      })
      execFileSync('docker', ['context', 'use', 'theirs'], { stdio: 'ignore' })
      assert.equal((await Engine.connect()).source, 'context theirs')
    })
  })
}
