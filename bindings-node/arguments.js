// Arguments: checked by the tables of types, and written as JSON with attachments.
'use strict'

const { invalid } = require('./errors.js')
const { NATIVE, bytes, camel, classes, duration, modelOf, nameOf, nativeOf } = require('./types.js')

/** How far two names are from each other. */
function distance(a, b) {
  let row = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      next[j] = Math.min(row[j] + 1, next[j - 1] + 1, row[j - 1] + (a[i - 1] === b[j - 1] ? 0 : 1))
    }
    row = next
  }
  return row[b.length]
}

function nearest(name, known) {
  const lower = camel(name).toLowerCase()
  let best
  for (const one of known) {
    const away = one.toLowerCase() === lower + 'ms' ? 0 : distance(lower, one.toLowerCase())
    if (away <= Math.max(2, one.length / 3) && (best === undefined || away < best.away)) best = { one, away }
  }
  return best?.one
}

function unknownOption(name, known, of) {
  const near = nearest(name, known)
  const where = of === '' ? '' : ` of ${of}`
  if (near !== undefined) {
    return invalid(`unknown option \`${name}\`${where}; did you mean \`${near}\`?`, { context: { option: name, nearest: near } })
  }
  const all = known.map((k) => `\`${k}\``).join(', ')
  return invalid(`unknown option \`${name}\`${where}; ${all === '' ? 'there are none' : `known are ${all}`}`, { context: { option: name } })
}

const wrong = (name, expected) => invalid(`\`${name}\`: ${expected}`, { context: { option: name } })

function isPlainObject(value) {
  if (typeof value !== 'object' || value === null) return false
  const prototype = Object.getPrototypeOf(value)
  return prototype === null || prototype === Object.prototype || Object.getPrototypeOf(prototype) === null
}

/** Turns arguments into what the core reads, and collects what JSON cannot carry. */
class Packer {
  data = []
  handles = []

  encode(type, value, name) {
    if (value === undefined || value === null) return null
    if (typeof type === 'string') return this.encodeModel(type, value, name)
    if (type === 0) return plain(value, name)
    if (type === 1) return value
    switch (type.how) {
      case 'hidden':
        return plain(value, name)
      case 'duration':
        if (typeof value !== 'number' || !(value >= 0) || value === Infinity) throw wrong(name, 'a duration is a number of milliseconds, not negative')
        return value / 1000
      case 'when':
        if (value instanceof Date ? Number.isNaN(value.getTime()) : typeof value !== 'string' && !Number.isFinite(value)) {
          throw wrong(name, 'a moment is a Date, a text, or a number of Unix seconds')
        }
        return value instanceof Date ? value.toISOString() : value
      case 'bytes':
        return this.encodeBytes(value, name)
      case 'handle':
        if (!(value instanceof classes[type.name])) throw wrong(name, `expected an object of class ${type.name}`)
        this.handles.push(nativeOf(value))
        return { $handle: this.handles.length - 1 }
      case 'list':
        if (typeof value === 'string' || typeof value[Symbol.iterator] !== 'function') throw wrong(name, 'expected a list')
        return Array.from(value, (item, i) => this.encode(type.of, item, `${name}[${i}]`))
      case 'map':
        return this.encodeMap(type, value, name)
      case 'oneOf':
        return this.encode(choose(type.all, value), value, name)
      default:
        throw wrong(name, 'this cannot be an argument')
    }
  }

  encodeBytes(value, name) {
    if (typeof value === 'string') return value
    let piece
    if (Buffer.isBuffer(value)) piece = value
    else if (ArrayBuffer.isView(value)) piece = Buffer.from(value.buffer, value.byteOffset, value.byteLength)
    else if (value instanceof ArrayBuffer) piece = Buffer.from(value)
    else throw wrong(name, 'expected a Buffer, a typed array or a text')
    this.data.push(piece)
    return { $bytes: this.data.length - 1 }
  }

  encodeMap(type, value, name) {
    const entries = value instanceof Map ? [...value] : isPlainObject(value) ? Object.entries(value) : undefined
    if (entries === undefined) throw wrong(name, 'expected an object')
    return Object.fromEntries(entries.map(([key, item]) => [key, this.encode(type.of, item, `${name}.${key}`)]))
  }

  encodeModel(modelName, value, name) {
    const model = modelOf(modelName)
    if (typeof value !== 'object') {
      // The core says what it expects here.
      return plain(value, name)
    }
    if (model.how === 'union') {
      const tag = camel(model.tag)
      const variant = model.variants[value[tag]]
      if (variant === undefined) {
        const known = Object.keys(model.variants).map((v) => `'${v}'`)
        throw wrong(name, `\`${tag}\` is one of ${known.join(', ')}`)
      }
      const { [tag]: given, ...fields } = value
      return { [model.tag]: given, ...this.encodeFields(modelOf(variant), fields, variant) }
    }
    return this.encodeFields(model, value, modelName)
  }

  /** The fields of an object, each by its own type; a name that is not known is an error. */
  encodeFields(model, value, of) {
    const out = {}
    for (const [key, item] of Object.entries(value)) {
      const known = model.names.get(key)
      if (known === undefined) throw unknownOption(key, [...model.names.keys()], of)
      if (item !== undefined && item !== null) out[known[0]] = this.encode(known[1], item, key)
    }
    for (const field of model.required) {
      if (out[field] === undefined) throw invalid(`\`${nameOf(field, model.fields[field])}\`${of === '' ? '' : ` of ${of}`} is missing`)
    }
    return out
  }
}

/** What stands for itself in JSON. What JSON would leave out without a word is an error. */
function plain(value, name) {
  if (typeof value === 'function' || typeof value === 'symbol') throw wrong(name, `a ${typeof value} cannot be an argument`)
  if (typeof value === 'number' && !Number.isFinite(value)) throw wrong(name, `${value} cannot be an argument`)
  if (typeof value === 'bigint') {
    const number = Number(value)
    if (!Number.isSafeInteger(number)) throw wrong(name, 'the number is too large')
    return number
  }
  if (value instanceof URL) return value.protocol === 'file:' ? require('node:url').fileURLToPath(value) : value.href
  return value
}

/** Which of several types a value is meant for. */
function choose(all, value) {
  const fits = (type) => {
    if (typeof value !== 'object' || value instanceof URL) return type === 0
    if (NATIVE in value) return type.how === 'handle' && value instanceof classes[type.name]
    if (ArrayBuffer.isView(value)) return type === bytes
    if (typeof value[Symbol.iterator] === 'function' && !(value instanceof Map)) return type.how === 'list'
    return typeof type === 'string' || type.how === 'map'
  }
  return all.find(fits) ?? (all.includes(1) ? 1 : 0)
}

const isSignal = (value) => typeof value === 'object' && value !== null && typeof value.aborted === 'boolean' && typeof value.addEventListener === 'function'

/** Takes out of the options what every call has. */
function splitOptions(options, known) {
  const { onEvent, deadlineMs, ...rest } = options
  const out = { onEvent: onEvent ?? undefined, deadlineMs: deadlineMs ?? undefined, signal: undefined, rest }
  if (out.onEvent !== undefined && typeof onEvent !== 'function') throw wrong('onEvent', 'give a function; it is called with every event')
  if (out.deadlineMs !== undefined && !(typeof deadlineMs === 'number' && deadlineMs >= 0 && deadlineMs < 1e15)) {
    throw wrong('deadlineMs', 'give a number of milliseconds, not negative')
  }
  // A call may have an option `signal` of its own, such as the signal that kills.
  if (isSignal(rest.signal) || (rest.signal !== undefined && rest.signal !== null && !known.names.has('signal'))) {
    if (!isSignal(rest.signal)) throw wrong('signal', 'give an AbortSignal')
    out.signal = rest.signal
    delete rest.signal
  }
  if (rest.signal === undefined || rest.signal === null) delete rest.signal
  return out
}

/** Whether an object in the place of this argument can only be the options. */
const isSimple = (type) =>
  type === 0 ||
  type === duration ||
  type === bytes ||
  type.how === 'hidden' ||
  (type.how === 'list' && isSimple(type.of)) ||
  (type.how === 'oneOf' && type.all.every(isSimple))

/** What a call without arguments is given. */
const NOTHING = { json: '', data: [], handles: [], control: {} }

/** Reads the arguments of a call: the positional ones, and the options at the end. */
function prepare(spec, args) {
  const { params } = spec
  if (params.length === 0 && args.every((arg) => arg === undefined)) return NOTHING
  let options = args[params.length]
  const given = args.slice(0, params.length)
  if (options === undefined) {
    // An argument that may be left out may be: then the options come in its place.
    const last = given.findLastIndex((arg) => arg !== undefined)
    const param = params[last]
    if (param !== undefined && param.optional && isSimple(param.type) && isPlainObject(given[last])) {
      options = given[last]
      given[last] = undefined
    }
  }
  if (options !== undefined && options !== null && !isPlainObject(options)) throw invalid('options are given as one object, after the other arguments')
  const model = modelOf(spec.options)
  const { rest, ...control } = splitOptions(options ?? {}, model)
  const packer = new Packer()
  const wire = packer.encodeFields(model, rest, '')
  params.forEach((param, i) => {
    const value = given[i]
    const name = nameOf(param.name, param.type)
    if (value === undefined || value === null) {
      if (!param.optional) throw invalid(`\`${name}\` is missing`)
      return
    }
    const isOne = param.type.how === 'list' && (typeof value === 'string' || value instanceof URL)
    wire[param.name] = packer.encode(param.type, isOne ? [value] : value, name)
  })
  let json
  try {
    json = JSON.stringify(wire)
  } catch (error) {
    throw invalid(`the arguments cannot be written as JSON: ${error.message}`)
  }
  return { json, data: packer.data, handles: packer.handles, control }
}

/** A function, with or without `new`, that makes the plain object of a model: what must be given first, then the rest. */
function maker(name, tag, value) {
  const { [name]: make } = {
    [name]: function (...args) {
      const model = modelOf(name)
      const { required } = model
      const rest = args[required.length] ?? {}
      if (!isPlainObject(rest)) throw invalid(`${name}: what may be left out is given as one object at the end`)
      const out = tag === undefined ? {} : { [camel(tag)]: value }
      required.forEach((field, i) => {
        const key = nameOf(field, model.fields[field])
        if (args[i] === undefined || args[i] === null) throw invalid(`\`${key}\` of ${name} is missing`)
        out[key] = args[i]
      })
      for (const [key, item] of Object.entries(rest)) {
        if (!model.names.has(key)) throw unknownOption(key, [...model.names.keys()], name)
        if (item !== undefined) out[key] = item
      }
      return out
    },
  }
  return make
}

module.exports = { choose, isPlainObject, maker, prepare }
