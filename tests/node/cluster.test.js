// Clusters and machines from Node, on nodes that are containers.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const test = require('node:test')
const { Cluster, Engine, Machines, Project, Stack, Swarm, errors } = require('dockerkit')
const { folder, lab, name, timeOf } = require('./lab.js')

/** @param {string} image */
const text = (image) => `
name: duo
services:
  web: {image: ${image}, command: sleep 1000, stop_grace_period: 0s, depends_on: {api: {condition: service_healthy}}, configs: [note]}
  api: {image: ${image}, command: sleep 1000, stop_grace_period: 0s, healthcheck: {test: ["CMD", "true"], interval: 1s}}
configs: {note: {content: one}}
`

test('a cluster, a stack, and what goes wrong', async (t) => {
  const [endpoint, image] = [lab(t, 'DOCKERKIT_LAB_ENGINE'), lab(t, 'DOCKERKIT_LAB_IMAGE')]
  if (endpoint === '' || image === '') return
  const store = path.join(folder(), 'machine')
  const options = { nodes: 2, endpoint, path: store }
  /** @type {Set<string>} */ const hosts = new Set()
  const title = name()
  const cluster = await Cluster.local(title, { ...options, onEvent: (event) => hosts.add(event.host) })
  t.after(async () => {
    await cluster.destroy()
    assert.equal(fs.existsSync(store), false)
  })
  assert.deepEqual([...hosts].sort(), cluster.machines.map((m) => m.name).sort())
  await cluster.pushImage(image, { source: await Engine.connect(endpoint) })

  const stack = await cluster.stack(await Project.parse(text(image)))
  await t.test('up, twice', async () => {
    const plan = await stack.plan({ wait: true })
    assert.match(String(plan), /create +service duo_web/)
    const report = await stack.apply(plan)
    assert.ok(report.done.includes('create service duo_web'))
    const nodes = (await stack.ps()).filter((task) => task.state === 'running').map((task) => task.node)
    assert.equal(new Set(nodes).size, 2)
    assert.equal((await stack.plan()).isEmpty, true)
    assert.deepEqual(
      (await Stack.list(cluster.swarm)).map((s) => s.name),
      ['duo'],
    )
    assert.match(String(await cluster.snapshot()), /^NODE/)
    await stack.down()
  })

  await t.test('an AbortSignal in the middle of up ends it, and the next up finishes the work', async () => {
    for (const after of [10, 100, 1000]) {
      const abort = new AbortController()
      const up = stack.up({ wait: true, signal: abort.signal })
      setTimeout(() => abort.abort(), after)
      const took = await timeOf(() => assert.rejects(up, errors.CanceledError))
      assert.ok(took < after + 1000, `${took} ms`)
    }
    await stack.up({ wait: true })
    assert.equal((await stack.plan()).isEmpty, true)
    await stack.down()
  })

  await t.test('a swarm is looked into, changed and locked', async () => {
    const { swarm } = cluster
    assert.equal((await swarm.secrets.create('key', 'hunter2')).data, null)
    assert.equal(String((await swarm.configs.create('words', Buffer.from('hello'))).data), 'hello')
    const use = 'secrets: [key], configs: [{source: words, target: /words}]'
    const service = `{image: ${image}, command: sh -c 'cat /words; echo; sleep 1000', stop_grace_period: 0s, ${use}}`
    const solo = await cluster.stack(
      await Project.parse(`name: solo\nservices: {a: ${service}}\nsecrets: {key: {external: true}}\nconfigs: {words: {external: true}}\n`),
    )
    await solo.up({ wait: true })
    await assert.rejects(swarm.secrets.remove('key'), errors.ConflictError)
    await assert.rejects(swarm.configs.remove('words'), errors.ConflictError)
    const made = await swarm.services.get('solo_a')
    await assert.rejects(made.rollback(), errors.ConflictError)
    assert.equal((await made.scale(2)).desiredTasks, 2)
    const lines = made.logs({ follow: true })
    assert.match(String((await lines.next()).value?.data), /^hello/)
    await lines.close()
    assert.equal((await made.rollback()).desiredTasks, 1)
    assert.ok((await made.tasks()).every((task) => task.service === 'solo_a'))
    const node = (await swarm.nodes.list()).find((n) => n.leader)
    assert.equal((await node?.drain())?.availability, 'drain')
    assert.equal((await node?.activate())?.availability, 'active')
    assert.deepEqual((await node?.update({ labels: { disk: 'ssd' } }))?.labels, { disk: 'ssd' })
    const worker = (await swarm.nodes.list()).find((n) => n.role === 'worker')
    assert.equal((await worker?.promote())?.role, 'manager')
    assert.equal((await worker?.demote())?.role, 'worker')
    // It goes, is a swarm of its own, and comes back.
    const [, second] = cluster.machines
    assert.ok(second)
    const engine = await second.engine()
    await swarm.leave(engine)
    const own = await Swarm.init(engine, { advertiseAddr: await second.ip() })
    assert.notEqual(own.id, swarm.id)
    await assert.rejects(swarm.join(engine), errors.AlreadyExistsError)
    await own.leave(engine, { force: true })
    assert.equal((await swarm.join(engine)).role, 'worker')
    const old = (await swarm.tokens()).worker
    assert.notEqual((await swarm.rotateToken('worker')).worker, old)
    await solo.down()
    await swarm.secrets.remove('key')
    await swarm.configs.remove('words')
    await assert.rejects(swarm.secrets.get('key'), errors.NotFoundError)
    await swarm.update({ autolock: true })
    const key = await swarm.unlockKey()
    assert.match(key, /^SWMKEY-/)
    const [machine] = cluster.machines
    assert.ok(machine)
    await assert.rejects(Swarm.unlock(await machine.engine(), key), errors.ConflictError)
    await swarm.update({ autolock: false })
    assert.equal(await swarm.unlockKey(), '')
  })

  await t.test('errors have their kind and say what to do', async () => {
    await assert.rejects(Cluster.local(title, options), { code: 'already_exists', hint: /Cluster\.open/ })
    await assert.rejects(Cluster.open('nothing', { path: store }), errors.NotFoundError)
    const bad = await Project.parse(`name: bad\nservices: {a: {image: ${image}, command: 'false', deploy: {restart_policy: {delay: 0s}}}}`)
    await assert.rejects((await cluster.stack(bad)).up({ wait: true, timeoutMs: 60000 }), errors.UnhealthyError)
  })

  await t.test('a cluster that was not finished is discarded', async () => {
    const place = path.join(folder(), 'machine')
    const half = name()
    await assert.rejects(Cluster.local(half, { nodes: 2, endpoint, path: place, deadlineMs: 600 }), errors.TimeoutError)
    assert.deepEqual(await Cluster.list({ path: place }), [half])
    await Cluster.discard(half, { path: place })
    assert.equal(fs.existsSync(place), false)
  })

  await t.test('machines', async () => {
    const machines = new Machines(store)
    const [machine] = await machines.list()
    assert.ok(machine)
    assert.equal(await machine.state(), 'running')
    assert.equal(String((await machine.ssh(['hostname'])).stdout).trim(), machine.name)
    const gone = /** @type {const} */ ({ driver: 'existing', url: 'unix:///nothing/here.sock' })
    await assert.rejects(machines.create('gone', gone), errors.UnreachableError)
    const both = machines.createAll([
      { name: 'adopted', driver: { driver: 'existing', url: endpoint } },
      { name: 'gone', driver: gone },
    ])
    const partial = await both.then(
      () => assert.fail(),
      (e) => e,
    )
    assert.ok(partial instanceof errors.PartialError)
    assert.deepEqual(
      partial.failures?.map((f) => f.name),
      ['gone'],
    )
    await (await machines.get('adopted')).remove()
  })
})

test('a host behind SSH', async (t) => {
  const [host, user, key, knownHosts] = ['FAULTY', 'USER', 'KEY', 'KNOWN_HOSTS'].map((part) => lab(t, `DOCKERKIT_LAB_SSH_${part}`))
  const [endpoint, image] = [lab(t, 'DOCKERKIT_LAB_ENGINE'), lab(t, 'DOCKERKIT_LAB_IMAGE')]
  if (!host || !user || !key || !knownHosts || !endpoint || !image) return
  const login = { user, identityFiles: [key], knownHosts }
  const machine = await new Machines(path.join(folder(), 'machine')).create('host', { driver: 'ssh', host, ...login })
  const engine = await machine.engine()
  assert.ok((await engine.version()).version)
  /** @type {Buffer[]} */ const archive = []
  for await (const part of await (await Engine.connect(endpoint)).images.save([image])) archive.push(part)
  await engine.images.load({ data: Buffer.concat(archive) })
  const container = await engine.containers.run(image, ['sh', '-c', 'while true; do echo tick; sleep 0.1; done'])
  for await (const chunk of await container.logs({ follow: true })) {
    assert.match(chunk.data.toString(), /^tick/)
    break
  }
  const session = await container.execSession(['sh'], { tty: true })
  await session.resize(100, 40)
  await session.write(Buffer.from('stty size; exit 7\n'))
  let shown = ''
  for (let chunk = await session.read(); chunk; chunk = await session.read()) shown += chunk.data.toString()
  assert.match(shown, /40 100/)
  assert.equal(await session.wait(), 7)
  await container.remove({ force: true })
  assert.equal((await machine.ssh('hostname')).stdout.toString(), 'faulty\n')
  await machine.remove()

  const [strange, changed] = [path.join(folder(), 'strange'), path.join(folder(), 'changed')]
  const line = fs
    .readFileSync(knownHosts, 'utf8')
    .split('\n')
    .find((l) => l.startsWith(`${host} `))
  fs.writeFileSync(changed, `${line?.replace(host, `[${host}]:2201`)}\n`)
  await assert.rejects(Engine.connect(`ssh://${host}`, { ssh: { ...login, knownHosts: strange, hostKey: 'strict' } }), errors.UntrustedError)
  await assert.rejects(Engine.connect(`ssh://${host}:2201`, { ssh: { ...login, knownHosts: changed } }), { code: 'untrusted', hint: /ssh-keygen -R/ })
})

test('a node that dies in the middle of an up', async (t) => {
  const [endpoint, image] = [lab(t, 'DOCKERKIT_LAB_ENGINE'), lab(t, 'DOCKERKIT_LAB_IMAGE')]
  if (endpoint === '' || image === '') return
  const cluster = await Cluster.local(name(), { nodes: 3, endpoint, path: path.join(folder(), 'machine') })
  t.after(() => cluster.destroy())
  await cluster.pushImage(image, { source: await Engine.connect(endpoint) })
  const stack = await cluster.stack(await Project.parse(text(image)))
  const { leader } = await cluster.health()
  const victim = [...cluster.machines].reverse().find((m) => m.name !== leader)
  assert.ok(victim)
  const killed = new Promise((resolve, reject) => setTimeout(() => victim.kill().then(resolve, reject), 900))
  await stack.up({ wait: true, timeoutMs: 90000 }).catch((error) => {
    assert.ok(['unreachable', 'timeout', 'unhealthy'].includes(error.code) && error.hint, error)
  })
  await killed
  await stack.up({ wait: true })
  assert.equal((await stack.plan()).isEmpty, true)
  const running = (await stack.ps()).filter((task) => task.state === 'running' && task.node !== victim.name).map((task) => task.service)
  assert.deepEqual([...new Set(running)].sort(), ['duo_api', 'duo_web'])
})
