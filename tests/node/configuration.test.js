// What docker's own configuration says of logins, and the helpers that it names, on each engine of the lab.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const { test } = require('node:test')
const { inspect } = require('node:util')
const { Engine, errors } = require('dockerkit')
const { ENGINES, folder, lab, name, slowEngine, timeOf } = require('./lab.js')

/** Sets variables, and takes away those that are to be undefined. @param {Record<string, string | undefined>} variables */
function restore(variables) {
  for (const [key, value] of Object.entries(variables)) value === undefined ? delete process.env[key] : (process.env[key] = value)
}

/** Whether a process is there. @param {number} pid */
function runs(pid) {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

test('headers go with each request', async (t) => {
  const here = folder()
  const before = { DOCKER_CONFIG: process.env.DOCKER_CONFIG }
  process.env.DOCKER_CONFIG = here
  t.after(() => restore(before))
  fs.writeFileSync(path.join(here, 'config.json'), JSON.stringify({ HttpHeaders: { 'X-Team': 'ops' } }))
  /** @type {unknown[]} */ const seen = []
  const server = http.createServer((request, response) => {
    seen.push([request.method, request.headers['x-team']])
    request.resume()
    response.setHeader('Api-Version', '1.43').end('{"Id": "abc", "Warnings": []}')
  })
  await new Promise((resolve) => server.listen(path.join(here, 's'), () => resolve(undefined)))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  const engine = await Engine.connect(`unix://${here}/s`)
  assert.deepEqual((await engine.request('GET', '/things')).json, { Id: 'abc', Warnings: [] })
  await engine.containers.create('image', ['true'])
  // The ping, the request, the new container and what is read of it.
  assert.deepEqual(
    seen,
    ['GET', 'GET', 'POST', 'GET'].map((method) => [method, 'ops']),
  )
})

test('contexts are made, used and removed', async (t) => {
  const slow = await slowEngine(t)
  const here = folder()
  const before = { DOCKER_CONFIG: process.env.DOCKER_CONFIG, DOCKER_HOST: process.env.DOCKER_HOST, DOCKER_CONTEXT: process.env.DOCKER_CONTEXT }
  t.after(() => restore(before))
  restore({ DOCKER_CONFIG: here, DOCKER_HOST: undefined, DOCKER_CONTEXT: undefined })
  assert.deepEqual(
    (await Engine.contexts()).map((c) => [c.name, c.current]),
    [['default', true]],
  )
  const made = await Engine.createContext('slow', slow.endpoint, { description: 'answers late' })
  assert.deepEqual([made.name, made.endpoint, made.description, made.current], ['slow', slow.endpoint, 'answers late', false])
  process.env.DOCKER_CONTEXT = 'slow'
  assert.equal((await Engine.connect()).source, 'context slow')
  delete process.env.DOCKER_CONTEXT
  await Engine.useContext('slow')
  assert.equal((await Engine.connect()).source, 'context slow')
  await assert.rejects(Engine.removeContext('slow'), errors.ConflictError)
  await Engine.useContext('default')
  await Engine.removeContext('slow')
  await assert.rejects(Engine.useContext('slow'), errors.NotFoundError)
  await assert.rejects(Engine.createContext('../up', slow.endpoint), errors.InvalidInputError)
})

for (const variable of ENGINES) {
  test(variable, async (suite) => {
    const endpoint = lab(suite, variable)
    const image = lab(suite, 'DOCKERKIT_LAB_IMAGE')
    const [place, user, password] = ['', '_USER', '_PASSWORD'].map((part) => lab(suite, `DOCKERKIT_LAB_REGISTRY${part}`))
    if (endpoint === '' || image === '' || !place || !user || !password) return
    const here = folder()
    const before = { PATH: process.env.PATH, DOCKER_CONFIG: process.env.DOCKER_CONFIG }
    Object.assign(process.env, { PATH: `${here}:${before.PATH}`, DOCKER_CONFIG: here })
    suite.after(() => restore(before))
    const engine = await Engine.connect(endpoint)
    const reference = `${place}/lab/${name()}:1`
    await engine.images.tag(image, reference)
    suite.after(() => engine.images.remove(reference))
    const configure = (/** @type {object} */ content) => fs.writeFileSync(path.join(here, 'config.json'), JSON.stringify(content))
    const helper = (/** @type {string} */ called, /** @type {string} */ script) =>
      fs.writeFileSync(path.join(here, `docker-credential-${called}`), `#!/bin/sh\n${script}\n`, { mode: 0o700 })
    const answer = (/** @type {string} */ secret) => JSON.stringify({ ServerURL: place, Username: user, Secret: secret })

    /** Pushes with these helpers, which must fail, and without a word of what they hold. @param {object} content @param {Function} kind @param {RegExp} says */
    const refused = async (content, kind, says, deadlineMs = 60_000) => {
      configure(content)
      await assert.rejects(engine.images.push(reference, { deadlineMs }), (e) => {
        assert.ok(e instanceof errors.DockerkitError && e instanceof kind, inspect(e))
        assert.match(e.message, says)
        const all = `${inspect(e, { depth: null, showHidden: true })} ${JSON.stringify(e)} ${e.stack} ${e.hint}`
        for (const secret of [password, 'hunter2']) assert.ok(!all.includes(secret), all)
        return true
      })
    }

    await suite.test('logins come from the configuration', async () => {
      configure({})
      await assert.rejects(engine.images.push(reference), errors.UnauthorizedError)
      configure({ auths: { [place]: { auth: Buffer.from(`${user}:${password}`).toString('base64') } } })
      await engine.images.push(reference)
      assert.match((await engine.images.registryInfo(reference)).digest, /^sha256:/)
    })

    await suite.test('helpers are asked for logins', async () => {
      // It answers for this registry only.
      helper('good', `read server; [ "$1 $server" = "get ${place}" ] && echo '${answer(password)}'`)
      for (const content of [{ credHelpers: { [place]: 'good' } }, { credsStore: 'good' }, { credsStore: 'missing', credHelpers: { [place]: 'good' } }]) {
        configure(content)
        await engine.images.push(reference)
        assert.equal((await engine.images.pull(reference)).id, (await engine.images.get(image)).id)
      }
    })

    await suite.test('helpers that have nothing, or lie, are told and keep their secrets', async () => {
      helper('none', "echo 'credentials not found in native keychain'; exit 1")
      helper('old', `read server; echo '${answer('hunter2')}'`)
      helper('bad', 'echo "hunter2 is locked"; echo hunter2 >&2; exit 1')
      helper('page', 'echo "<html>hunter2</html>"')
      helper('noise', 'echo hunter2')
      helper('long', `echo '${answer('hunter2')}'; head -c 100000 /dev/zero`)
      for (const called of [{ credsStore: 'none' }, { credHelpers: { [place]: 'none' } }, { credsStore: 'old' }])
        await refused(called, errors.UnauthorizedError, /./)
      for (const [called, says] of /** @type {[string, RegExp][]} */ ([
        ['bad', /helper docker-credential-bad failed/],
        ['page', /did not answer with JSON/],
        ['noise', /did not answer with JSON/],
        ['long', /says too much/],
        ['missing', /is not in PATH/],
        ['../bad', /has a name that no program has/],
      ])) {
        await refused({ credHelpers: { [place]: called } }, errors.CommandFailedError, says)
        await refused({ credsStore: called }, errors.CommandFailedError, says)
      }
    })

    await suite.test('a helper that hangs is given up in time and ended', async () => {
      const noted = path.join(here, 'pid')
      helper('stuck', `echo $$ >'${noted}'; echo hunter2; exec sleep 600`)
      const took = await timeOf(() => refused({ credsStore: 'stuck' }, errors.TimeoutError, /within/, 1000))
      assert.ok(took > 950 && took < 3000, `${took} ms`)
      const pid = Number(fs.readFileSync(noted, 'utf8'))
      assert.ok(pid > 1)
      for (let n = 0; runs(pid) && n < 100; n++) await new Promise((resolve) => setTimeout(resolve, 50))
      assert.ok(!runs(pid), 'the helper goes on')
    })
  })
}
