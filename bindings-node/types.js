// The tables of types: what is what on its way between JavaScript and the core.
'use strict'

const { invalid } = require('./errors.js')

const NATIVE = Symbol('native')

// A type is 0 (plain: text, number, boolean), 1 (any JSON), the name of a model, or one of these.
const duration = { how: 'duration' }
const time = { how: 'time' }
const when = { how: 'when' }
// A text that is not shown when its holder is printed.
const hidden = { how: 'hidden' }
const bytes = { how: 'bytes' }
const handle = (name) => ({ how: 'handle', name })
const stream = (of) => ({ how: 'stream', of })
// One for each type: what decodes it is found by it.
const lists = new Map()
const list = (of) => {
  if (!lists.has(of)) lists.set(of, { how: 'list', of })
  return lists.get(of)
}
const map = (of) => ({ how: 'map', of })
const oneOf = (...all) => ({ how: 'oneOf', all })

// Fields are named as in the core; `required` must be given in an argument.
const struct = (fields, required = []) => ({ how: 'struct', fields, required })
const union = (tag, variants) => ({ how: 'union', tag, variants })

const models = Object.create(null)
const classes = Object.create(null)

/** `rotate_token` as `rotateToken`. */
function camel(snake) {
  return snake.replace(/_+$/, '').replace(/_+(.)/g, (_, letter) => letter.toUpperCase())
}

const isDuration = (type) => type === duration || (type.how === 'list' && type.of === duration)

/** The name of a field in JavaScript; a duration says its unit. */
const nameOf = (field, type) => camel(field) + (isDuration(type) ? 'Ms' : '')

function modelOf(name) {
  const model = models[name]
  if (model.names === undefined) {
    model.names = new Map()
    for (const [field, type] of Object.entries(model.fields ?? {})) model.names.set(nameOf(field, type), [field, type])
  }
  return model
}

// The options of calls that have none of their own.
models[''] = struct({})

/** What a call is: its class, its name on the wire and in errors, its arguments, the model of its options, and its result (null: none). */
const method = (name, wire, params, options, result) => ({
  class: name,
  wire,
  operation: `${name.toLowerCase()}.${wire}`,
  params: params.map(([param, type, optional]) => ({ name: param, type, optional: optional === true })),
  options,
  result,
})

function nativeOf(object) {
  const found = object[NATIVE]
  if (found === undefined) throw invalid(`this ${object.constructor.name} is closed`, { hint: 'make a new one' })
  return found.native
}

module.exports = {
  NATIVE,
  bytes,
  camel,
  classes,
  duration,
  handle,
  hidden,
  list,
  map,
  method,
  modelOf,
  models,
  nameOf,
  nativeOf,
  oneOf,
  stream,
  struct,
  time,
  union,
  when,
}
