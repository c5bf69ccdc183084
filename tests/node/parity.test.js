// Everything that the core's table of calls names is there at run time and in the types.
'use strict'

const assert = require('node:assert/strict')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const path = require('node:path')
const { test } = require('node:test')
const { promisify } = require('node:util')
const dk = /** @type {any} */ (require('dockerkit'))

const TOP = path.resolve(__dirname, '../..')
const API = JSON.parse(fs.readFileSync(path.join(TOP, 'core/api.json'), 'utf8'))
const TYPES = fs.readFileSync(path.join(TOP, 'bindings-node/index.d.ts'), 'utf8')

const camel = (/** @type {string} */ snake) => snake.replace(/_+$/, '').replace(/_+(.)/g, (_, letter) => letter.toUpperCase())
const pascal = (/** @type {string} */ snake) => camel(`_${snake}`)

/** The text of a declaration, up to its closing brace. @param {string} head */
function declared(head) {
  const start = TYPES.search(new RegExp(`^export ${head}\\b`, 'm'))
  assert.ok(start >= 0, `${head} is not in index.d.ts`)
  return TYPES.slice(start, TYPES.indexOf('\n}\n', start))
}

for (const of of API.classes) {
  test(of.name, () => {
    const cls = dk[of.name]
    assert.equal(typeof cls, 'function')
    const types = declared(`class ${of.name}`)
    for (const method of of.methods) {
      const name = camel(method.name)
      assert.equal(typeof (method.static ? cls : cls.prototype)[name], 'function', `${of.name}.${name}`)
      assert.match(types, new RegExp(`^  ${method.static ? 'static ' : ''}${name}\\(`, 'm'))
    }
    const calls = new Set([...of.methods, ...of.groups].map((m) => m.name))
    for (const property of of.properties.filter((/** @type {any} */ p) => !calls.has(p.name))) {
      assert.match(types, new RegExp(`^  readonly ${camel(property.name)}(Ms)?: `, 'm'))
    }
    for (const group of of.groups) {
      const getter = Object.getOwnPropertyDescriptor(cls.prototype, camel(group.name))?.get
      assert.ok(getter, `${of.name}.${group.name}`)
      const calls = getter.call(Object.create(cls.prototype))
      const grouped = declared(`interface ${of.name}${pascal(group.name)}`)
      for (const method of group.methods) {
        const name = camel(method.name)
        assert.equal(typeof calls[name], 'function', `${of.name}.${group.name}.${name}`)
        assert.match(grouped, new RegExp(`^  ${name}\\(`, 'm'))
      }
    }
  })
}

test('options have their names and types', () => {
  for (const of of API.classes) {
    for (const method of [...of.methods, ...of.groups.flatMap((/** @type {any} */ g) => g.methods)]) {
      if (method.options_model === null) continue
      const types = declared(`interface ${method.options_model}`)
      for (const option of method.options) {
        const kind = option.type.kind === 'optional' ? option.type.of.kind : option.type.kind
        assert.match(types, new RegExp(`^  ${camel(option.name)}${kind === 'duration' ? 'Ms' : ''}\\??: `, 'm'), `${method.wire}: ${option.name}`)
      }
    }
  }
})

test('every kind of error has its class', () => {
  for (const { name } of API.errors) {
    const cls = dk.errors[`${pascal(name)}Error`]
    assert.ok(cls.prototype instanceof dk.DockerkitError, name)
    assert.ok(TYPES.includes(`export class ${pascal(name)}Error extends DockerkitError`))
  }
})

test('the version is the package’s', () => {
  assert.equal(dk.version, JSON.parse(fs.readFileSync(path.join(TOP, 'package.json'), 'utf8')).version)
  assert.equal(dk.version, API.version)
})

test('the examples and these tests pass the strict type check', async (t) => {
  const tsc = path.join(TOP, 'node_modules/typescript/bin/tsc')
  if (!fs.existsSync(tsc)) return t.skip('typescript is not installed (npm ci installs it)')
  await promisify(execFile)(process.execPath, [tsc, '-p', path.join(TOP, 'tests/node')]).catch((error) => assert.fail(error.stdout))
})
