// A real engine: containers, streams, bytes, archives and events, from Node.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { App, Engine, Project, errors } = require('dockerkit')
const { ENGINES, folder, lab, name, timeOf } = require('./lab.js')

/**
 * A container that sleeps until the test is over.
 * @param {import('node:test').TestContext} t
 * @param {Engine} engine
 * @param {string} image
 */
async function sleeper(t, engine, image) {
  const own = name()
  const container = await engine.containers.run(image, ['sleep', '600'], { name: own, labels: { 'dockerkit.test': own, keep_this_key: 'as_it_is' } })
  t.after(() => container.remove({ force: true }))
  return { container, own }
}

for (const variable of ENGINES) {
  test(variable, async (suite) => {
    const endpoint = lab(suite, variable)
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    if (endpoint === '' || image === '') return
    const engine = await Engine.connect(endpoint)

    await suite.test('says what it is', async () => {
      const version = await engine.version()
      assert.match(version.version, /^\d+/)
      assert.equal((await engine.ping()).apiVersion, version.apiVersion)
      const info = await engine.info()
      assert.equal(typeof info.memory, 'number')
      assert.ok(info.raw.ServerVersion, 'keys of the engine stay as they are')
    })

    await suite.test('output of a command', async () => {
      const done = await engine.containers.runOutput(image, ['sh', '-c', 'echo out; echo err >&2; exit 3'])
      assert.equal(done.exitCode, 3)
      assert.ok(Buffer.isBuffer(done.stdout))
      assert.deepEqual([done.stdout.toString(), done.stderr.toString()], ['out\n', 'err\n'])
    })

    await suite.test('a container is found by its label, and its labels keep their keys', async (t) => {
      const { container, own } = await sleeper(t, engine, image)
      const found = await engine.containers.list({ filters: { label: [`dockerkit.test=${own}`] } })
      assert.deepEqual(
        found.map((c) => c.id),
        [container.id],
      )
      assert.equal(found[0]?.labels['keep_this_key'], 'as_it_is')
      assert.equal((await engine.containers.get(own)).id, container.id)
      await assert.rejects(engine.containers.create(image, { name: own }), errors.AlreadyExistsError)
      await assert.rejects(engine.containers.get(`${own}-none`), errors.NotFoundError)
    })

    await suite.test('exec with input', async (t) => {
      const { container } = await sleeper(t, engine, image)
      const input = Buffer.from([0, 98, 255])
      const done = await container.exec(['cat'], { stdin: input })
      assert.deepEqual(done.stdout, input)
    })

    await suite.test('logs, followed until the loop is left', async () => {
      const own = name()
      const container = await engine.containers.run(image, ['sh', '-c', 'i=0; while true; do echo line $i; i=$((i+1)); sleep 0.05; done'], { name: own })
      const lines = []
      for await (const chunk of container.logs({ follow: true })) {
        assert.equal(chunk.stream, 'stdout')
        lines.push(chunk.data.toString())
        if (lines.length >= 3) break
      }
      assert.ok(lines.join('').startsWith('line 0\nline 1\n'), lines.join(''))
      const stream = container.logs({ follow: true })
      await stream.open()
      const waiting = (async () => {
        let count = 0
        for await (const _ of stream) {
          // It is closed while the next line is waited for.
          if (count === 0) setTimeout(() => stream.close(), 10)
          count += 1
        }
        return count
      })()
      assert.ok((await waiting) > 0)
      assert.deepEqual(await stream.next(), { value: undefined, done: true })
      await container.remove({ force: true })
    })

    await suite.test('a long log comes whole and in order', async () => {
      const count = 5000
      const container = await engine.containers.run(image, ['sh', '-c', `i=0; while [ $i -lt ${count} ]; do echo $i; i=$((i+1)); done`], { name: name() })
      await container.wait()
      let text = ''
      for await (const chunk of container.logs()) text += chunk.data.toString()
      await container.remove()
      assert.equal(text, Array.from({ length: count }, (_, i) => `${i}\n`).join(''))
    })

    await suite.test('files go there and back', async (t) => {
      const { container } = await sleeper(t, engine, image)
      const here = folder()
      const data = Buffer.from(Array.from({ length: 100_000 }, (_, i) => i % 251))
      fs.writeFileSync(path.join(here, 'data'), data)
      await container.copyTo(path.join(here, 'data'), '/tmp/')
      const parts = []
      for await (const part of container.getArchive('/tmp/data')) parts.push(part)
      assert.ok(Buffer.concat(parts).includes(data))
      await container.copyFrom('/tmp/data', path.join(here, 'back'))
      assert.deepEqual(fs.readFileSync(path.join(here, 'back')), data)
    })

    await suite.test('an app is waited for until a service can be used', async (t) => {
      const command = "sh -c 'sleep 1; echo ready to serve; mkdir /w; echo ok >/w/health; exec httpd -f -p 80 -h /w'"
      const text = `services: {web: {image: '${image}', command: ${JSON.stringify(command)}, stop_grace_period: 0s}}`
      const app = new App(engine, await Project.parse(text, { name: name() }))
      t.after(() => app.down({ volumes: true }))
      await assert.rejects(app.waitUntil('web'), errors.NotFoundError)
      await app.up({ waitUntil: { web: { port: 80, http: '/health', log: 'ready to serve' } } })
      await app.waitUntil('web', { port: 80, httpStatus: 200, http: '/health' })
      assert.deepEqual(
        (await app.ps()).map((c) => c.status),
        ['running'],
      )
      await assert.rejects(app.up({ waitUntil: { web: { log: 'never', timeoutMs: 1000 } } }), errors.TimeoutError)
      // @ts-expect-error the option is misspelt
      await assert.rejects(app.up({ waitUntil: { web: { prot: 80 } } }), /did you mean `port`/)
    })

    await suite.test('a plan is applied while it holds', async (t) => {
      const text = `services: {web: {image: '${image}', command: sleep 1000, stop_grace_period: 0s}}`
      const app = new App(engine, await Project.parse(text, { name: name() }))
      t.after(() => app.down())
      const plan = await app.plan()
      assert.equal(plan.isEmpty, false)
      assert.match(String(plan), /create/)
      assert.ok((await app.apply(plan)).done.length > 0)
      assert.equal((await app.plan()).isEmpty, true)
      await assert.rejects(app.apply(plan), errors.ConflictError)
    })

    await suite.test('moments are Dates', async (t) => {
      const { container, own } = await sleeper(t, engine, image)
      const details = await container.inspect()
      assert.ok(details.created instanceof Date)
      assert.ok(Math.abs(Date.now() - details.created.getTime()) < 300_000)
      assert.ok(details.startedAt !== null && details.startedAt >= details.created)
      assert.equal(details.finishedAt, null)
      for (const since of [new Date(details.created.getTime() - 1000), details.created.getTime() / 1000 - 1, '10m']) {
        const until = new Date(Date.now() + 1000)
        const actions = []
        for await (const event of engine.events({ since, until, filters: { container: [own] } })) actions.push(event.action)
        assert.ok(actions.includes('start'), `${since}: ${actions}`)
      }
      await assert.rejects(container.logs({ since: 'yesterday' }).open(), errors.InvalidInputError)
      // @ts-expect-error a moment is no list
      await assert.rejects(container.logs({ since: [] }).open(), errors.InvalidInputError)
    })

    await suite.test('events of the engine', async (t) => {
      const events = engine.events({ filters: { type: ['container'], event: ['create'] } })
      await events.open()
      const { container } = await sleeper(t, engine, image)
      for await (const event of events) {
        if (event.id === container.id) break
      }
    })

    await suite.test('a session reads, writes and ends', async (t) => {
      const { container } = await sleeper(t, engine, image)
      const session = await container.execSession(['sh', '-c', 'read x; echo "got $x"; exit 5'], { stdin: '' })
      await session.write('hello\n')
      await session.closeStdin()
      let text = ''
      for (let chunk = await session.read(); chunk !== null; chunk = await session.read()) text += chunk.data.toString()
      assert.equal(text, 'got hello\n')
      assert.equal(await session.wait(), 5)
    })

    await suite.test('progress, and an error in a listener', async (t) => {
      const here = folder()
      fs.writeFileSync(path.join(here, 'Dockerfile'), `FROM ${image}\nRUN echo built\n`)
      const tag = `${name()}:1`
      /** @type {string[]} */
      const lines = []
      await engine.images.build(here, { tags: [tag], onEvent: (event) => lines.push(`${event.status}: ${event}`) })
      assert.ok(lines.length > 0)
      await engine.images.remove(tag)
      const failing = () => {
        throw new RangeError('no more')
      }
      await assert.rejects(engine.images.build(here, { tags: [tag], onEvent: failing }), RangeError)
      await engine.images.remove(tag, { force: true }).catch(() => undefined)
    })

    await suite.test('a signal to kill with is no AbortSignal', async (t) => {
      const { container } = await sleeper(t, engine, image)
      await container.kill({ signal: 'KILL' })
      assert.equal((await container.wait()).exitCode, 137)
    })

    await suite.test('an abort in the middle of a wait', async (t) => {
      const { container } = await sleeper(t, engine, image)
      const took = await timeOf(() => assert.rejects(container.wait({ signal: AbortSignal.timeout(150) }), errors.CanceledError))
      assert.ok(took < 1000, `${took} ms`)
      assert.equal((await container.inspect()).status, 'running')
    })

    await suite.test('a container is waited for, measured and exported', async (t) => {
      const container = await engine.containers.run(image, ['sh', '-c', 'mkdir /www; echo ok >/www/health; echo begin; exec httpd -f -p 80 -h /www'])
      t.after(() => container.remove({ force: true }))
      await container.waitUntil({ log: 'begin', port: 80, http: '/health' })
      await assert.rejects(container.waitUntil({ port: 81, timeoutMs: 300 }), { code: 'timeout', message: /port 81/ })
      for await (const stats of await container.stats({ stream: false })) assert.ok(stats.memoryLimit > 0)
      let bytes = 0
      for await (const part of await container.export()) bytes += part.length
      assert.ok(bytes > 1000000)
    })

    await suite.test('a build gets its secrets', async () => {
      const context = folder()
      fs.writeFileSync(path.join(context, 'Dockerfile'), `FROM ${image}\nRUN --mount=type=secret,id=key grep -qx h.nter2 /run/secrets/key\n`)
      const tag = `${name()}:1`
      /** @type {string[]} */ const seen = []
      await engine.images.build(context, { tags: [tag], secrets: { key: 'hunter2' }, onEvent: (event) => seen.push(String(event)) })
      assert.ok(seen.some((line) => line.includes('step')) && !seen.some((line) => line.includes('hunter2')))
      await engine.images.remove(tag)
      await assert.rejects(engine.images.build(context, { secrets: { key: 'hunter2' }, builder: 'classic' }), { code: 'invalid_input' })
    })
  })
}
