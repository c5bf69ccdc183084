// Results: what the core answers, as JavaScript's users see it.
'use strict'

const { choose } = require('./arguments.js')
const { fromData } = require('./errors.js')
const { camel, classes, modelOf } = require('./types.js')

// How objects and streams are made; set by the modules that have their classes.
const make = { object: undefined, stream: undefined }

const decoders = new Map()

/** Makes a value of the core what JavaScript's users see; none where it stays as it is. */
function decoderOf(type) {
  if (type === 0 || type === 1 || type.how === 'hidden') return undefined
  let found = decoders.get(type)
  if (found === undefined) {
    // A model may hold itself: its decoder is there before those of its fields.
    const cell = { run: undefined }
    found = (value, answer) => (value === null || value === undefined ? null : cell.run(value, answer))
    decoders.set(type, found)
    cell.run = makeDecoder(type)
  }
  return found
}

function makeDecoder(type) {
  if (typeof type === 'string') return modelDecoder(modelOf(type))
  const inner = type.of === undefined ? undefined : decoderOf(type.of)
  switch (type.how) {
    case 'duration':
      return (value) => value * 1000
    case 'time':
      return (value) => new Date(value)
    case 'bytes':
      return (value, answer) => (typeof value === 'string' ? Buffer.from(value) : answer.piece(value.$bytes))
    case 'handle':
      return (value, answer) => ('$handle' in value ? make.object(classes[type.name], answer.held(value.$handle), value.properties, answer) : value)
    case 'stream':
      return (value, answer) => make.stream(answer.streams[value.$stream], type.of)
    case 'list':
      return inner === undefined ? (value) => value : (value, answer) => value.map((item) => inner(item, answer))
    case 'map':
      if (inner === undefined) return (value) => value
      return (value, answer) => Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inner(item, answer)]))
    default:
      return (value, answer) => decoderOf(choose(type.all, value))?.(value, answer) ?? value
  }
}

function modelDecoder(model) {
  if (model.how === 'union') {
    const tag = camel(model.tag)
    return (value, answer) => {
      const { [model.tag]: which, ...fields } = value
      const variant = model.variants[which]
      return { [tag]: which, ...(variant === undefined ? fields : decoderOf(variant)(fields, answer)) }
    }
  }
  const fields = [...model.names].map(([name, [field, type]]) => [name, field, decoderOf(type)])
  const hasText = model.fields.text === 0
  const hidden = [...model.names].filter(([, [, type]]) => type.how === 'hidden').map(([name]) => name)
  return (value, answer) => {
    const out = {}
    for (const [name, field, decode] of fields) {
      const item = value[field]
      if (item !== undefined) out[name] = decode === undefined ? item : decode(item, answer)
    }
    if (hidden.length > 0) hide(out, hidden)
    return hasText ? printable(out, out.text) : out
  }
}

/** Keeps these fields out of what `console.log` shows. */
function hide(object, names) {
  const value = (_depth, options, inspect) => inspect({ ...object, ...Object.fromEntries(names.map((name) => [name, '(hidden)'])) }, options)
  Object.defineProperty(object, Symbol.for('nodejs.util.inspect.custom'), { value })
}

/** Has `String(object)` give `text`; the object's own keys stay what they are. */
function printable(object, text) {
  return Object.defineProperty(object, 'toString', { value: () => text, configurable: true })
}

/** An object of an answer, which the core hands out when it is used. */
class Held {
  #all
  #at
  #native

  constructor(all, at) {
    this.#all = all
    this.#at = at
  }

  get native() {
    return (this.#native ??= this.#all.take(this.#at))
  }
}

/** The attachments of one answer. */
class Answer {
  constructor({ data, ends, handles, streams }) {
    this.data = data
    this.ends = ends
    this.handles = handles
    this.streams = streams
  }

  held(at) {
    return new Held(this.handles, at)
  }

  piece(at) {
    return this.data.subarray(at === 0 ? 0 : this.ends[at - 1], this.ends[at])
  }
}

/** The result in an answer of the core, or its error. */
function resultOf(answer, type) {
  const value = JSON.parse(answer.json)
  if (!answer.ok) throw fromData(value, decoderOf('Diagnostic'), decoderOf('Failure'))
  if (value === null) return type === null ? undefined : null
  const decode = decoderOf(type)
  return decode === undefined ? value : decode(value, new Answer(answer))
}

function eventsOf(json) {
  const decode = decoderOf('Event')
  return JSON.parse(json).map(([event, line]) => printable(decode(event), line))
}

module.exports = { Answer, decoderOf, eventsOf, make, resultOf }
