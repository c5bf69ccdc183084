// Builds that take more contexts, and caches that serve other builds, on each engine of the lab.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { test } = require('node:test')
const { Engine, errors } = require('dockerkit')
const { ENGINES, folder, lab, name } = require('./lab.js')

for (const variable of ENGINES) {
  test(variable, async (suite) => {
    const endpoint = lab(suite, variable)
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    if (endpoint === '' || image === '') return
    const engine = await Engine.connect(endpoint)
    const old = (await engine.version()).version.startsWith('20.10')

    await suite.test('more contexts reach a build', async () => {
      const [main, other] = [folder(), folder()]
      const tag = `${name()}:1`
      fs.writeFileSync(path.join(other, 'word'), 'from elsewhere')
      const dockerfileInline = 'FROM base\nCOPY --from=other word /word\n'
      const options = { tags: [tag], dockerfileInline, additionalContexts: { base: `docker-image://${image}`, other } }
      if (old) {
        await assert.rejects(engine.images.build(main, options), errors.UnsupportedError)
        return
      }
      await engine.images.build(main, options)
      assert.equal((await engine.containers.runOutput(tag, ['cat', '/word'])).stdout.toString(), 'from elsewhere')
      await engine.images.remove(tag)
      const failing = { ...options, dockerfileInline: 'FROM base\nRUN exit 3\n' }
      await assert.rejects(engine.images.build(main, failing), (e) => e instanceof errors.CommandFailedError && e.context.exit_code === '3')
      await assert.rejects(engine.images.build(main, { additionalContexts: { other: path.join(other, 'none') } }), errors.NotFoundError)
    })

    await suite.test('settings mean the same on both ways', async () => {
      const here = folder()
      const tag = `${name()}:1`
      const script = 'echo $WORD; cat /run/secrets/key; echo; grep test /etc/hosts; sed 1,2d /proc/net/dev | grep -v lo: | wc -l'
      const dockerfileInline = `FROM ${image} AS wanted\nARG WORD\nRUN --mount=type=secret,id=key (${script}) >/seen\nFROM wanted\nRUN false\n`
      const spec = { extraHosts: { 'gate.test': 'host-gateway' } }
      const gate = (await engine.containers.runOutput(image, ['grep', 'gate.test', '/etc/hosts'], { spec })).stdout.toString().split(/\s/)[0]
      // The engine's own way to BuildKit, and ours, which 20.10 does not know.
      for (const additionalContexts of old ? [{}] : [{}, { more: here }]) {
        const options = { builder: /** @type {const} */ ('buildkit'), dockerfileInline, additionalContexts, noCache: true, tags: [tag] }
        const built = await engine.images.build(here, {
          ...options,
          target: 'wanted',
          args: { WORD: 'a, b = c' },
          labels: { made: 'here' },
          network: 'none',
          extraHosts: { 'one.test': '10.1.2.3', 'two.test': '10.0.0.1,10.0.0.2', 'gate.test': 'host-gateway' },
          secrets: { key: 'hunter2' },
        })
        assert.equal(built.labels.made, 'here')
        const seen = (await engine.containers.runOutput(tag, ['cat', '/seen'])).stdout.toString().trim().split('\n')
        assert.deepEqual(
          seen.map((line) => line.replace(/\s+/g, ' ').trim()),
          ['a, b = c', 'hunter2', `${gate} gate.test`, '10.1.2.3 one.test', '10.0.0.1 two.test', '10.0.0.2 two.test', '0'],
        )
        await engine.images.remove(tag, { force: true })
        await assert.rejects(engine.images.build(here, { ...options, extraHosts: { 'a.test': 'nonsense' } }), errors.InvalidInputError)
        await assert.rejects(engine.images.build(here, { ...options, network: 'nowhere' }), errors.InvalidInputError)
      }
    })

    await suite.test('what lies on the network is fetched by the engine', async (t) => {
      const here = folder()
      const tag = `${name()}:1`
      const build = (/** @type {string} */ far) =>
        engine.images.build(here, { tags: [tag], dockerfileInline: `FROM ${image}\nCOPY --from=far word /word\n`, additionalContexts: { far } })
      if (old) {
        await assert.rejects(build('https://127.0.0.1:1/word'), errors.UnsupportedError)
        return
      }
      const server = http.createServer((request, response) => {
        response.statusCode = request.url === '/word' ? 200 : 404
        response.end('from afar')
      })
      await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)))
      t.after(() => {
        server.closeAllConnections()
        server.close()
      })
      const place = `http://127.0.0.1:${/** @type {import('node:net').AddressInfo} */ (server.address()).port}`
      await build(`${place}/word`)
      assert.equal((await engine.containers.runOutput(tag, ['cat', '/word'])).stdout.toString(), 'from afar')
      await engine.images.remove(tag)
      await assert.rejects(build(`${place}/none`), errors.NotFoundError)
      for (const far of ['https://127.0.0.1:1/word', 'https://127.0.0.1:1/word.git', 'git://127.0.0.1:1/word']) {
        await assert.rejects(build(far), errors.UnreachableError)
      }
    })

    await suite.test('a build with more contexts is ended', async () => {
      if (old) return
      const here = folder()
      const controller = new AbortController()
      const dockerfileInline = `FROM ${image}\nRUN echo ${name()} sleeps; sleep 100; true\n`
      /** @param {import('dockerkit').Event} event */
      const onEvent = (event) => {
        if (event.message.endsWith('sleeps')) controller.abort()
      }
      const ended = engine.images.build(here, { dockerfileInline, additionalContexts: { here }, onEvent, signal: controller.signal })
      await assert.rejects(ended, { code: 'canceled' })
    })

    await suite.test('a cache lies in the image', async () => {
      const here = folder()
      const tag = `${name()}:1`
      const options = { dockerfileInline: `FROM ${image}\nRUN cat /proc/sys/kernel/random/uuid >/made\n`, noCache: true, tags: [tag] }
      const made = await engine.images.build(here, { ...options, cacheTo: ['type=inline'] })
      assert.ok(made.raw.RootFS.Layers.length > 1)
      // The image's configuration, which the archive holds as text, has it.
      const archive = []
      for await (const part of await engine.images.save([tag])) archive.push(part)
      assert.ok(Buffer.concat(archive).includes('moby.buildkit.cache.v0'))
      await engine.images.remove(tag)
      await assert.rejects(engine.images.build(here, { ...options, cacheTo: ['type=gha'] }), errors.UnsupportedError)
      await assert.rejects(engine.images.build(here, { ...options, cacheTo: ['type=registry'] }), errors.InvalidInputError)
    })
  })
}
