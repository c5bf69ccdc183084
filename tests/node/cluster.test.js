// Clusters and machines from Node, on nodes that are containers.
'use strict'

const assert = require('node:assert/strict')
const path = require('node:path')
const test = require('node:test')
const { Cluster, Engine, Machines, Project, Stack, errors } = require('dockerkit')
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
  const store = path.join(folder(t), 'machine')
  const options = { nodes: 2, endpoint, path: store }
  /** @type {Set<string>} */ const hosts = new Set()
  const title = name()
  const cluster = await Cluster.local(title, { ...options, onEvent: (event) => hosts.add(event.host) })
  t.after(() => cluster.destroy())
  assert.deepEqual([...hosts].sort(), cluster.machines.map((m) => m.name).sort())
  await cluster.pushImage(image, { source: await Engine.connect(endpoint) })

  const stack = await cluster.stack(await Project.parse(text(image)))
  await t.test('up, twice', async () => {
    assert.match(String(await stack.plan()), /create +service duo_web/)
    const report = await stack.up({ wait: true })
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

  await t.test('errors have their kind and say what to do', async () => {
    await assert.rejects(Cluster.local(title, options), { code: 'already_exists', hint: /Cluster\.open/ })
    await assert.rejects(Cluster.open('nothing', { path: store }), errors.NotFoundError)
    const bad = await Project.parse(`name: bad\nservices: {a: {image: ${image}, command: 'false', deploy: {restart_policy: {delay: 0s}}}}`)
    await assert.rejects((await cluster.stack(bad)).up({ wait: true, timeoutMs: 60000 }), errors.UnhealthyError)
  })

  await t.test('machines', async () => {
    const machines = new Machines(store)
    const [machine] = await machines.list()
    assert.ok(machine)
    assert.equal(await machine.state(), 'running')
    assert.equal(String((await machine.ssh(['hostname'])).stdout).trim(), machine.name)
    await assert.rejects(machines.create('gone', { driver: 'existing', url: 'unix:///nothing/here.sock' }), errors.UnreachableError)
  })
})

test('a bare host behind SSH', async (t) => {
  const [host, user, key, knownHosts] = ['HOST', 'USER', 'KEY', 'KNOWN_HOSTS'].map((part) => lab(t, `DOCKERKIT_LAB_SSH_${part}`))
  if (!host || !user || !key || !knownHosts) return
  const machine = await new Machines(path.join(folder(t), 'machine')).create('bare', { driver: 'ssh', host, user, key, knownHosts })
  const engine = await machine.engine()
  assert.ok((await engine.version()).version)
  assert.equal((await machine.ssh('echo here')).stdout.toString(), 'here\n')
  await machine.remove()
  const strange = path.join(folder(t), 'known_hosts')
  await assert.rejects(Engine.connect(`ssh://${host}`, { ssh: { user, key, knownHosts: strange, hostKey: 'strict' } }), errors.UntrustedError)
})
