// Builds that take more contexts, and caches that serve other builds, on each engine of the lab.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
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
