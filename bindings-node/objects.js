// Objects of the core.
'use strict'

const { prepare } = require('./arguments.js')
const { named } = require('./calls.js')
const { invalid } = require('./errors.js')
const native = require('./native.js')
const { Answer, decoderOf, make, resultOf } = require('./results.js')
const { NATIVE } = require('./types.js')

const PROPERTIES = Symbol('properties')
const MAKE = Symbol('make')
const INSPECT = Symbol.for('nodejs.util.inspect.custom')

function made(cls, held, properties, answer) {
  const out = new cls(MAKE)
  fill(out, held, properties, answer)
  return out
}

function fill(object, held, properties, answer) {
  object[NATIVE] = held
  object[PROPERTIES] = decoderOf(object.constructor.propertyModel)(properties, answer)
}

/** An object of the core. What it shows at once is what was seen when it was made. */
class Handle {
  constructor(key, spec, args) {
    Object.defineProperty(this, NATIVE, { value: undefined, writable: true })
    Object.defineProperty(this, PROPERTIES, { value: {}, writable: true })
    if (key !== MAKE) throw invalid(`${new.target.name} is not made directly; its documentation names the call that gives one`)
    if (spec !== undefined) {
      named(spec, new.target, () => {
        const { json, data, handles } = prepare(spec, args)
        const answer = native.construct(spec.class, json, data, handles)
        const { $handle, properties } = resultOf(answer, 1)
        const attached = new Answer(answer)
        fill(this, attached.held($handle), properties, attached)
      })
    }
  }

  /** Lets go of the object. An engine's connections are closed; objects that came from it make new ones. */
  async close() {
    this[NATIVE]?.native.close()
    this[NATIVE] = undefined
  }

  async [Symbol.asyncDispose]() {
    await this.close()
  }

  toJSON() {
    return this[PROPERTIES]
  }

  [INSPECT](_depth, options, inspect) {
    return `${this.constructor.name} ${inspect(this[PROPERTIES], options)}`
  }
}

/** Calls of an object behind one name. */
class Group {
  constructor(of) {
    Object.defineProperty(this, 'of', { value: of })
  }
}

const propertyOf = (object, name) => object[PROPERTIES][name]

make.object = made

module.exports = { Group, Handle, MAKE, propertyOf }
