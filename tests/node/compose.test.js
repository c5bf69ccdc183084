'use strict'
// Compose files beside docker compose: the cases of tests/compose, and projects that are changed from code.

const assert = require('node:assert/strict')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { test } = require('node:test')
const { LoadPolicy, Project, errors } = require('dockerkit')

const top = path.join(__dirname, '..', 'compose')
const cases = path.join(top, 'cases')

/** @param {string} file @returns {any} */
const json = (file) => (fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : undefined)

/** Loads a case as its case.json says.
 * @param {string} folder */
async function load(folder) {
  const options = json(path.join(folder, 'case.json')) ?? {}
  /** @param {string[] | undefined} names */
  const paths = (names) => (names ?? []).map((name) => path.join(folder, name))
  const files = paths(options.files)
  const projectDir = options.project_dir ? path.join(folder, options.project_dir) : files.length ? undefined : folder
  return Project.load(files, {
    clearEnv: true,
    env: { HOME: '/home/somebody', ...options.env },
    profiles: options.profiles ?? [],
    envFiles: paths(options.env_files),
    ...(options.name === undefined ? {} : { name: options.name }),
    ...(projectDir === undefined ? {} : { projectDir }),
  })
}

/** Paths become the marks that the recorded answers have.
 * @param {unknown} value @param {string} folder @returns {any} */
const portable = (value, folder) => JSON.parse(JSON.stringify(value).replaceAll(folder, '<dir>').replaceAll(path.dirname(folder), '<parent>'))

test('every case is answered as docker compose answers', async () => {
  const listed = json(path.join(top, 'differences.json'))
  const names = fs.readdirSync(cases).filter((name) => !(name in listed))
  assert.ok(names.length >= 300)
  const wrong = []
  for (const name of names) {
    const folder = path.join(cases, name)
    const expected = json(path.join(folder, 'expected.json'))
    let project
    try {
      project = await load(folder)
    } catch (error) {
      assert.ok(error instanceof errors.DockerkitError, String(error))
      if (expected !== undefined) wrong.push(`${name}: ${error.message}`)
      continue
    }
    if (expected === undefined) {
      wrong.push(`${name}: loaded`)
      continue
    }
    try {
      assert.deepEqual(portable(await project.config(), folder), expected)
    } catch {
      wrong.push(`${name}: another model`)
    }
    const hashes = json(path.join(folder, 'hashes.json'))
    const ours = await project.hashes()
    if (Object.keys(ours).length !== Object.keys(hashes).length) wrong.push(`${name}: other services`)
    for (const [service, hash] of Object.entries(hashes)) {
      if (hash !== null && ours[service] !== hash) wrong.push(`${name}: another hash of ${service}`)
    }
  }
  assert.deepEqual(wrong, [])
})

const text = "name: shop\nservices:\n  web: {image: 'web:1', environment: {A: 'x$$y'}}\nvolumes: {data: }\n"

test('a project is changed from code', async () => {
  const project = await Project.parse(text, { clearEnv: true })
  let changed = await project.set('services.web.image', 'web:2')
  changed = await changed.withService('db', { image: 'db', volumes: ['data:/var/lib/db'], labels: { some_key: '$x' } })
  changed = await changed.set('services.web.depends_on', ['db'])
  const config = /** @type {any} */ (await changed.config())
  assert.equal(config.services.web.image, 'web:2')
  assert.equal(config.services.db.volumes[0].source, 'data')
  assert.deepEqual(config.services.db.labels, { some_key: '$x' })
  assert.equal(/** @type {any} */ (await project.config()).services.web.image, 'web:1')
  for (const written of [await changed.toYaml(), await changed.toJson()]) {
    assert.deepEqual(await (await Project.parse(written, { clearEnv: true })).config(), config)
  }
  const without = await (await changed.set('services.web.ports', ['80'])).remove('services.web.ports')
  assert.equal(/** @type {any} */ (await without.config()).services.web.ports, undefined)
  await assert.rejects(changed.set('services.web.imag', 'x'), (error) => {
    assert.ok(error instanceof errors.InvalidComposeError)
    const [first] = error.diagnostics ?? []
    assert.ok(first)
    return first.path === 'services.web.imag' && first.suggestion === 'image'
  })
})

test('a policy says what files may reach', async () => {
  const place = fs.mkdtempSync(path.join(os.tmpdir(), 'policy-'))
  try {
    const [folder, other] = ['app', 'other'].map((name) => path.join(place, name))
    for (const each of [folder, other]) fs.mkdirSync(/** @type {string} */ (each))
    fs.writeFileSync(`${other}/x.env`, 'KEY=value\n')
    const file = `${folder}/compose.yaml`
    fs.writeFileSync(file, `services: {web: {image: i, env_file: ${other}/x.env}}\n`)
    for (const policy of [{}, { roots: [`${other}`] }, LoadPolicy({ maxFile: '4k', maxTotal: 8192, maxFiles: 2 })]) {
      const config = await (await Project.load(file, { policy })).config()
      assert.deepEqual(config.services.web.environment, { KEY: 'value' })
    }
    for (const [policy, said] of /** @type {const} */ ([
      [{ roots: [] }, /outside/],
      [{ absolute: false }, /absolute path/],
      [{ maxFiles: 1 }, /more than 1 files/],
      [{ maxFile: 20 }, /too large/],
      [{ maxTotal: 30 }, /too large/],
    ])) {
      await assert.rejects(Project.load(file, { policy }), (e) => e instanceof errors.InvalidComposeError && said.test(e.message))
    }
    fs.writeFileSync(file, 'services: {web: {build: https://example.org/a.git}}\n')
    await Project.load(file, { policy: 'trusted' })
    await assert.rejects(Project.load(file, { policy: 'untrusted' }), /other hosts/)
    await assert.rejects(Project.load(file, { policy: { remotes: false } }), /other hosts/)
    // @ts-expect-error: no such word
    await assert.rejects(Project.load(file, { policy: 'none' }), errors.InvalidInputError)
    // @ts-expect-error: no such option
    await assert.rejects(Project.load(file, { policy: { rots: [] } }), /rots/)
  } finally {
    fs.rmSync(place, { recursive: true })
  }
})
