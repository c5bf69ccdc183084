// Copies in and out of containers, and options of the engine's calls, from Node.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const zlib = require('node:zlib')
const { Engine, errors } = require('dockerkit')
const { ENGINES, folder, lab, name } = require('./lab.js')

/** A plugin of no use. */
const PLUGIN = {
  Description: 'does nothing',
  Entrypoint: ['/nothing'],
  WorkDir: '/',
  Network: { Type: 'host' },
  Interface: { Types: ['docker.volumedriver/1.0'], Socket: 'nothing.sock' },
  Env: [{ Name: 'LEVEL', Description: 'how much', Value: '1', Settable: ['value'] }],
  Linux: { Capabilities: ['CAP_SYS_ADMIN'], Devices: null, AllowAllDevices: false },
  PropagatedMount: '',
  Mounts: null,
  Args: { Name: '', Description: '', Settable: null, Value: null },
}

/**
 * What a command of a container writes.
 * @param {import('dockerkit').Container} container
 * @param {string} script
 */
async function says(container, script) {
  const done = await container.exec(['sh', '-c', script])
  assert.equal(done.exitCode, 0, done.stderr.toString())
  return done.stdout.toString().trim()
}

for (const variable of ENGINES) {
  test(variable, async (suite) => {
    const endpoint = lab(suite, variable)
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    if (endpoint === '' || image === '') return
    const engine = await Engine.connect(endpoint)
    await engine.ping()
    const minor = Number(engine.apiVersion.split('.')[1])
    const container = await engine.containers.run(image, ['sleep', '600'], { name: name() })
    suite.after(() => container.remove({ force: true }))

    await suite.test('copies go by the rules of docker cp', async () => {
      const here = folder()
      const source = path.join(here, 'source')
      fs.mkdirSync(path.join(source, 'sub'), { recursive: true })
      fs.writeFileSync(path.join(source, 'sub', 'file'), 'kept')
      fs.symlinkSync('sub/file', path.join(source, 'link'))
      await container.copyTo(source, '/in')
      await container.copyTo(`${source}/.`, '/tmp')
      await container.copyTo(path.join(source, 'link'), '/followed', { followLink: true })
      assert.equal(await says(container, 'cat /in/sub/file /tmp/sub/file /followed; readlink /in/link'), 'keptkeptkeptsub/file')
      await container.copyFrom('/in', path.join(here, 'out'))
      await container.copyFrom('/in/link', path.join(here, 'target'), { followLink: true })
      assert.equal(fs.readFileSync(path.join(here, 'out', 'sub', 'file'), 'utf8'), 'kept')
      assert.equal(fs.readFileSync(path.join(here, 'target'), 'utf8'), 'kept')
      assert.equal(fs.readlinkSync(path.join(here, 'out', 'link')), 'sub/file')
      await assert.rejects(container.copyTo(path.join(source, 'link'), '/none/'), errors.NotFoundError)
      await assert.rejects(container.copyTo(source, '/followed'), errors.ConflictError)
      await assert.rejects(container.copyFrom('/in', path.join(here, 'small'), { maxEntries: 2 }), errors.InvalidInputError)
      await assert.rejects(container.copyFrom('/in', path.join(here, 'smaller'), { maxBytes: 2 }), errors.InvalidInputError)
    })

    await suite.test('only uncompressed tars are put', async () => {
      const parts = []
      for await (const part of await container.getArchive('/in')) parts.push(part)
      const tar = Buffer.concat(parts)
      await assert.rejects(container.putArchive('/tmp', { data: zlib.gzipSync(tar) }), errors.InvalidInputError)
      await container.putArchive('/tmp', { data: tar })
      const stat = await container.statPath('/tmp/in/link')
      assert.deepEqual([stat.name, stat.kind, stat.linkTarget], ['link', 'link', '/tmp/in/sub/file'])
      await assert.rejects(container.statPath('/tmp/none'), errors.NotFoundError)
    })

    await suite.test('options that need a newer engine say so', async () => {
      const own = await engine.images.get(image)
      const platform = `${own.raw.Os}/${own.raw.Architecture}`
      /** @type {[number, () => Promise<unknown>][]} */
      const calls = [
        [49, () => engine.images.get(image, { platform })],
        [48, () => engine.images.get(image, { manifests: true })],
        [48, () => engine.images.history(image, { platform })],
        [48, () => engine.images.pruneBuildCache({ minFree: 1 })],
        [47, () => engine.images.list({ manifests: true })],
        [42, () => engine.images.list({ sharedSize: true })],
        [42, () => engine.diskUsage({ types: ['images'] })],
      ]
      for (const [needs, call] of calls) {
        if (minor >= needs) {
          await call()
          continue
        }
        await assert.rejects(call, (error) => {
          assert.ok(error instanceof errors.UnsupportedError)
          assert.equal(error.context['needs_api'], `1.${needs}`)
          return true
        })
      }
    })

    await suite.test('a container is asked in each way', async () => {
      await says(container, 'dd if=/dev/zero of=/big bs=1024 count=100 2>/dev/null')
      assert.ok(((await container.inspect({ size: true })).sizeWritten ?? 0) >= 102400)
      const listed = await engine.containers.list({ size: true, filters: { id: [container.id] } })
      assert.ok((listed[0]?.sizeTotal ?? 0) > 102400)
      assert.deepEqual((await container.top({ psArgs: '-o pid,comm' })).titles, ['PID', 'COMMAND'])
      const seen = []
      for await (const stats of await container.stats({ oneShot: true })) seen.push(stats.pids > 0)
      assert.deepEqual(seen, [true])
      await container.attach({ logs: true, noStdin: true, detachKeys: 'ctrl-x,q' })
      await assert.rejects(container.attach({ detachKeys: 'nonsense' }), errors.InvalidInputError)
      await container.update({ memory: '64m', memorySwap: 134217728, cpuset: '0' })
      assert.equal((await container.inspect()).raw.HostConfig.MemorySwap, 134217728)
    })

    await suite.test('a command that nobody waits for', async () => {
      const id = await container.execDetached(['sh', '-c', 'sleep 0.3; exit 5'])
      let state = await container.execState(id)
      assert.equal(state.running, true)
      for (let n = 0; n < 200 && state.running; n++) {
        await new Promise((resolve) => setTimeout(resolve, 50))
        state = await container.execState(id)
      }
      assert.deepEqual([state.running, state.exitCode], [false, 5])
    })

    await suite.test('a terminal gets its size', async (t) => {
      const screen = await engine.containers.run(image, ['sleep', '600'], { name: name(), tty: true })
      t.after(() => screen.remove({ force: true }))
      await screen.resize(91, 33)
      assert.match(await says(screen, 'stty size </proc/1/fd/0'), /33 91/)
    })

    await suite.test('checkpoints need an experimental engine', async () => {
      if ((await engine.info()).raw.ExperimentalBuild) {
        assert.deepEqual(await container.checkpoints.list(), [])
        return
      }
      await assert.rejects(container.checkpoints.list(), errors.UnsupportedError)
      await assert.rejects(container.checkpoints.create('one', { keepRunning: true }), errors.UnsupportedError)
      await assert.rejects(container.checkpoints.remove('one'), errors.UnsupportedError)
      await assert.rejects(container.start({ checkpoint: 'one' }), errors.UnsupportedError)
    })

    await suite.test('a plugin is made, pushed, installed and upgraded', async (t) => {
      const [place, username, password] = ['', '_USER', '_PASSWORD'].map((part) => lab(t, `DOCKERKIT_LAB_REGISTRY${part}`))
      if (!place || !username || !password) return
      const auth = { username, password }
      const { plugins } = engine
      const [one, two] = [1, 2].map((version) => `${place}/lab/${suite.name.toLowerCase()}-${process.pid}:${version}`)
      assert.ok(one && two)
      const here = folder()
      await assert.rejects(plugins.create(one, here), errors.NotFoundError)
      fs.mkdirSync(path.join(here, 'rootfs'))
      fs.writeFileSync(path.join(here, 'config.json'), JSON.stringify(PLUGIN))
      for (const reference of [one, two]) {
        const made = await plugins.create(reference, here)
        assert.deepEqual([made.enabled, made.description, made.interfaces], [false, 'does nothing', ['docker.volumedriver/1.0']])
        assert.ok((await plugins.list()).some((plugin) => plugin.name === made.name))
        await plugins.set(reference, ['LEVEL=2'])
        assert.deepEqual((await plugins.get(reference)).raw.Settings.Env, ['LEVEL=2'])
        // There is no such program in it.
        await assert.rejects(plugins.enable(reference), errors.EngineError)
        await assert.rejects(plugins.disable(reference), errors.DockerkitError)
        await assert.rejects(plugins.push(reference, { auth: { username, password: 'wrong' } }), errors.UnauthorizedError)
        await plugins.push(reference, { auth })
        await plugins.remove(reference)
        await assert.rejects(plugins.get(reference), errors.NotFoundError)
      }
      assert.ok((await plugins.privileges(one, { auth })).some((wish) => wish.name === 'capabilities' && wish.value[0] === 'CAP_SYS_ADMIN'))
      const installed = await plugins.install(one, { auth, disabled: true, settings: ['LEVEL=7'] })
      assert.deepEqual(installed.raw.Settings.Env, ['LEVEL=7'])
      assert.match((await plugins.upgrade(one, two, { auth })).raw.PluginReference, /:2$/)
      await plugins.remove(one)
    })

    await suite.test('an image is made from a tar', async () => {
      const made = await engine.containers.create(image, ['true'])
      const parts = []
      for await (const part of made.export()) parts.push(part)
      await made.remove()
      const tag = `${name()}:1`
      const imported = await engine.images.import(tag, { data: Buffer.concat(parts), changes: ['CMD ["echo", "from a tar"]'] })
      assert.equal((await engine.containers.runOutput(imported.id)).stdout.toString(), 'from a tar\n')
      await engine.images.remove(tag)
    })

    await suite.test('networks and plugins have their options', async () => {
      const own = name()
      const made = await engine.networks.create(own, { configOnly: true })
      assert.equal((await engine.networks.get(own, { scope: 'local', verbose: true })).id, made.id)
      await engine.networks.remove(own)
      await assert.rejects(engine.plugins.upgrade(own, '127.0.0.1:1/x:2'), errors.NotFoundError)
      await assert.rejects(engine.plugins.push(own), errors.NotFoundError)
    })
  })
}
