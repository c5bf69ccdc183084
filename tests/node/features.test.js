// What `docs/features.md` says of the engine's calls, row by row, on each engine of the lab, from Node.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const net = require('node:net')
const path = require('node:path')
const { test } = require('node:test')
const { Engine, errors } = require('dockerkit')
const { ENGINES, folder, lab, name } = require('./lab.js')

const KEY = 'dk.features'
const PING = 'HTTP/1.1 200 OK\r\nApi-Version: 1.43\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n[]'

for (const variable of ENGINES) {
  test(variable, async (suite) => {
    const endpoint = lab(suite, variable)
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    if (endpoint === '' || image === '') return
    const engine = await Engine.connect(endpoint)

    await suite.test('containers live from create to prune', async () => {
      const own = name()
      const labels = { [KEY]: own }
      const script = "trap 'exit 3' TERM; while true; do sleep 0.05; done"
      const made = await engine.containers.create(image, ['sh', '-c', script], { name: own, labels })
      await made.start()
      await made.pause()
      assert.equal((await made.inspect()).status, 'paused')
      await assert.rejects(made.pause(), errors.ConflictError)
      await made.unpause()
      await made.restart({ timeoutMs: 5000 })
      await made.rename(`${own}-other`)
      await made.update({ memory: '64m', memorySwap: 64 << 20 })
      assert.equal((await (await engine.containers.get(`${own}-other`)).inspect()).raw.HostConfig.Memory, 64 << 20)
      await made.stop({ timeoutMs: 5000 })
      assert.equal((await made.wait()).exitCode, 3)
      await assert.rejects(made.kill(), errors.ConflictError)
      assert.equal((await engine.containers.prune({ filters: { label: [`${KEY}=${own}`] } })).removed.length, 1)
      await assert.rejects(made.start(), errors.NotFoundError)
    })

    await suite.test('a run pulls what is missing', async (t) => {
      const [place, user, password] = ['', '_USER', '_PASSWORD'].map((part) => lab(t, `DOCKERKIT_LAB_REGISTRY${part}`))
      if (!place || !user || !password) return
      process.env.DOCKER_CONFIG = folder()
      t.after(() => delete process.env.DOCKER_CONFIG)
      const auth = Buffer.from(`${user}:${password}`).toString('base64')
      fs.writeFileSync(path.join(process.env.DOCKER_CONFIG, 'config.json'), JSON.stringify({ auths: { [place]: { auth } } }))
      const reference = `${place}/lab/${name()}:1`
      await engine.images.tag(image, reference)
      /** @type {import('dockerkit').Event[]} */ const seen = []
      await engine.images.push(reference, { onEvent: (event) => seen.push(event) })
      assert.ok(seen.some((event) => event.resource.kind === 'layer'))
      await engine.images.remove(reference)
      await assert.rejects(engine.containers.run(reference, ['true']), errors.NotFoundError)
      const made = await engine.containers.run(reference, ['sh', '-c', 'exit 9'], { pull: true, onEvent: (event) => seen.push(event) })
      assert.equal((await made.wait()).exitCode, 9)
      assert.ok(seen.some((event) => event.action === 'pull'))
      await made.remove()
      // An error in an answer of 200.
      await assert.rejects(engine.images.pull(`${reference}-none`), errors.NotFoundError)
      await engine.images.remove(reference)
      await assert.rejects(engine.images.pull('127.0.0.1:1/nothing:1'), errors.UnreachableError)
      assert.ok(await engine.login({ username: user, password, server: `https://${place}` }))
      await assert.rejects(engine.login({ username: user, password: 'wrong', server: `https://${place}` }), errors.UnauthorizedError)
    })

    await suite.test('commands are talked with', async (t) => {
      const main = await engine.containers.run(image, ['sh', '-c', 'read x; echo heard $x; exit 4'], { stdinOpen: true })
      const held = await engine.containers.run(image, ['sleep', '600'])
      t.after(() => Promise.all([main, held].map((one) => one.remove({ force: true }))))
      const all = async (/** @type {import('dockerkit').Session} */ session) => {
        let text = ''
        for (let chunk = await session.read(); chunk !== null; chunk = await session.read()) text += chunk.data.toString()
        return text
      }
      const attached = await main.attach()
      await attached.write('me\n')
      assert.equal(await all(attached), 'heard me\n')
      assert.equal(await attached.wait(), 4)
      const sorted = await held.execSession(['sh', '-c', 'sort; exit 6'])
      await sorted.write('b\na\n')
      await sorted.closeStdin()
      assert.equal(await all(sorted), 'a\nb\n')
      assert.equal(await sorted.wait(), 6)
      const screen = await held.execSession(['sh', '-c', 'read x; stty size; exit 2'], { tty: true })
      await screen.resize(101, 37)
      await screen.write('go\n')
      assert.match(await all(screen), /37 101/)
      assert.equal(await screen.wait(), 2)
    })

    await suite.test('changes are listed and committed', async () => {
      const tag = `${name()}:1`
      const made = await engine.containers.run(image, ['sh', '-c', 'echo new >/new; rm /etc/passwd'])
      await made.wait()
      const changes = Object.fromEntries((await made.diff()).map((c) => [c.path, c.kind]))
      assert.deepEqual([changes['/new'], changes['/etc/passwd']], ['added', 'deleted'])
      await made.commit({ tag, comment: 'why', changes: ['CMD ["cat", "/new"]'] })
      await made.remove()
      assert.equal((await engine.containers.runOutput(tag)).stdout.toString(), 'new\n')
      await engine.images.remove(tag)
    })

    await suite.test('images are kept and moved', async () => {
      const own = name()
      const filters = { label: [`${KEY}=${own}`] }
      const here = folder()
      fs.writeFileSync(path.join(here, 'Dockerfile'), `FROM ${image}\nLABEL ${KEY}=${own}\n`)
      const made = await engine.images.build(here, { tags: [`${own}:1`], builder: 'classic' })
      assert.equal((await engine.images.list({ filters }))[0]?.id, made.id)
      assert.ok((await engine.images.history(`${own}:1`)).length > 0)
      const parts = []
      for await (const part of engine.images.save([`${own}:1`])) parts.push(part)
      await engine.images.remove(`${own}:1`)
      assert.deepEqual((await engine.images.load({ data: Buffer.concat(parts) })).images, [`${own}:1`])
      assert.ok((await engine.images.prune({ filters: { ...filters, dangling: ['false'] } })).removed.length > 0)
      await assert.rejects(engine.images.get(`${own}:1`), errors.NotFoundError)
    })

    await suite.test('builds take arguments, targets, platforms and caches', async () => {
      const own = name()
      const here = folder()
      const { Os, Architecture } = (await engine.images.get(image)).raw
      for (const builder of /** @type {const} */ (['classic', 'buildkit'])) {
        const text = `FROM ${image} AS first\nARG WORD=none\nRUN echo $WORD ${own} >/word\nFROM first\nRUN rm /word\n`
        const options = { tags: [`${own}:1`], builder, dockerfileInline: text, args: { WORD: 'given' }, target: 'first', platform: `${Os}/${Architecture}` }
        const first = await engine.images.build(here, { ...options, noCache: true })
        assert.equal((await engine.containers.runOutput(`${own}:1`, ['cat', '/word'])).stdout.toString(), `given ${own}\n`)
        assert.equal((await engine.images.build(here, options)).id, first.id)
        const failing = { builder, dockerfileInline: `FROM ${image}\nRUN exit 7\n` }
        await assert.rejects(engine.images.build(here, failing), (e) => e instanceof errors.CommandFailedError && e.context.exit_code === '7')
        await engine.images.remove(`${own}:1`, { force: true })
      }
    })

    await suite.test('networks, volumes and events', async () => {
      const own = name()
      const filters = { label: [`${KEY}=${own}`] }
      const events = engine.events({ filters: { type: ['network'] } })
      await events.open()
      const network = await engine.networks.create(own, { labels: { [KEY]: own }, internal: true })
      const volume = await engine.volumes.create(own, { labels: { [KEY]: own } })
      const one = await engine.containers.run(image, ['sleep', '600'], { network: own })
      await engine.networks.disconnect(own, one.id)
      await engine.networks.connect(own, one.id, { aliases: ['pal'] })
      await one.remove({ force: true })
      assert.deepEqual((await engine.networks.prune({ filters })).removed, [own])
      assert.equal((await engine.volumes.list({ filters }))[0]?.mountpoint, volume.mountpoint)
      await engine.volumes.remove(own)
      await assert.rejects(engine.volumes.get(own), errors.NotFoundError)
      await engine.volumes.create(own, { labels: { [KEY]: own } })
      // Newer engines take those with a name only when they are told to.
      const all = (await engine.version()).version.startsWith('20.10') ? {} : { all: ['true'] }
      assert.deepEqual((await engine.volumes.prune({ filters: { ...filters, ...all } })).removed, [own])
      const seen = new Set()
      for await (const event of events) {
        if (event.id === network.id) seen.add(event.action)
        if (['create', 'connect', 'disconnect', 'destroy'].every((action) => seen.has(action))) break
      }
      assert.ok((await engine.diskUsage()).layers > 0)
      assert.equal((await engine.request('GET', '/version')).json.Version, (await engine.version()).version)
    })

    await suite.test('calls one after the other leave the loop to others', async () => {
      let turns = 0
      let over = false
      const other = () => {
        turns += 1
        if (!over) setImmediate(other)
      }
      setImmediate(other)
      for (let i = 0; i < 200; i += 1) await engine.ping()
      over = true
      // Eight answers that are there at once may come in a row.
      assert.ok(turns >= 200 / 8, `${turns}`)
    })

    await suite.test('a version is agreed on', async () => {
      assert.equal((await Engine.connect(endpoint, { apiVersion: '1.41' })).apiVersion, '1.41')
      for (const apiVersion of ['1.99', '1.12']) await assert.rejects(Engine.connect(endpoint, { apiVersion }), errors.UnsupportedError)
    })

    await suite.test('proxies reach containers and builds', async (t) => {
      process.env.DOCKER_CONFIG = folder()
      t.after(() => delete process.env.DOCKER_CONFIG)
      const config = { proxies: { default: { httpProxy: 'http://proxy.test:1' } } }
      fs.writeFileSync(path.join(process.env.DOCKER_CONFIG, 'config.json'), JSON.stringify(config))
      assert.equal((await engine.containers.runOutput(image, ['sh', '-c', 'echo $http_proxy'])).stdout.toString(), 'http://proxy.test:1\n')
      const tags = [`${name()}:1`]
      const dockerfileInline = `FROM ${image}\nRUN test "$http_proxy" = http://proxy.test:1\n`
      for (const builder of /** @type {const} */ (['classic', 'buildkit'])) await engine.images.build(folder(), { tags, dockerfileInline, builder })
      await engine.images.remove(`${tags}`, { force: true })
    })

    await suite.test('the engine is reached by TCP', async (t) => {
      let came = 0
      /** @type {Promise<unknown>[]} */ const closed = []
      const way = net.createServer({ allowHalfOpen: true }, (client) => {
        came += 1
        closed.push(new Promise((resolve) => client.on('close', resolve)))
        const other = net.connect({ path: endpoint.replace('unix://', ''), allowHalfOpen: true })
        for (const stream of [client, other]) stream.on('error', () => undefined)
        client.pipe(other)
        other.pipe(client)
        t.after(() => [client, other].forEach((stream) => stream.destroy()))
      })
      await new Promise((resolve) => way.listen(0, '127.0.0.1', () => resolve(undefined)))
      t.after(() => way.close())
      const far = await Engine.connect(`tcp://127.0.0.1:${/** @type {net.AddressInfo} */ (way.address()).port}`)
      assert.equal((await far.info()).id, (await engine.info()).id)
      for (let n = 0; n < 20; n++) await far.containers.list()
      assert.equal(came, 1)
      const held = await far.containers.run(image, ['sleep', '600'])
      const session = await held.execSession(['sh', '-c', 'sort; exit 6'])
      await session.write('b\na\n')
      await session.closeStdin()
      let said = ''
      for (let chunk = await session.read(); chunk !== null; chunk = await session.read()) said += chunk.data.toString()
      assert.deepEqual([said, await session.wait()], ['a\nb\n', 6])
      await held.remove({ force: true })
      await far.close()
      await Promise.all(closed)
      await assert.rejects(held.reload(), { code: 'not_found' })
    })
  })
}

test('connections are used again, and requests that are safe made again', async (t) => {
  for (const close of [false, true]) {
    const socket = path.join(folder(), 's')
    let came = 0
    /** @type {Set<net.Socket>} */ const streams = new Set()
    const server = net.createServer((stream) => {
      came += 1
      streams.add(stream)
      stream.on('error', () => undefined)
      stream.on('data', () => (close ? stream.end(PING) : stream.write(PING)))
    })
    await new Promise((resolve) => server.listen(socket, () => resolve(undefined)))
    t.after(() => {
      for (const stream of streams) stream.destroy()
      server.close()
    })
    const engine = await Engine.connect(`unix://${socket}`)
    for (let n = 0; n < 30; n++) assert.deepEqual(await engine.containers.list(), [])
    assert.ok(close ? came > 20 : came === 1, `${came} connections`)
    await engine.close()
  }
})

test('images are searched for', async (t) => {
  const socket = path.join(folder(), 's')
  const found = JSON.stringify([{ name: 'busy', description: 'd', star_count: 7, is_official: true }])
  const server = http.createServer((request, response) => {
    response.writeHead(200, { 'Api-Version': '1.43' })
    response.end(request.url?.includes('/images/search?') ? found : 'OK')
  })
  await new Promise((resolve) => server.listen(socket, () => resolve(undefined)))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const engine = await Engine.connect(`unix://${socket}`)
  assert.deepEqual(await engine.images.search('busy', { limit: 3 }), [{ name: 'busy', description: 'd', stars: 7, official: true }])
})
