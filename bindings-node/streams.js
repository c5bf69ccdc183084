// Streams: batches of the core, one item at a time.
'use strict'

const { answerOf, begun } = require('./calls.js')
const { canceled } = require('./errors.js')
const { make, resultOf } = require('./results.js')
const { list } = require('./types.js')

/** Results as they come. Leaving the loop, or `close()`, ends the work behind it. */
class Stream {
  #start
  #native
  #of
  #operation = ''
  #signal
  #batch = []
  #at = 0
  #over = false
  #last = Promise.resolve()
  #waiting = 0
  #running

  constructor({ native: native_, of, start }) {
    this.#native = native_
    this.#of = of
    this.#start = start
  }

  /** Makes the call now, without waiting for the first item. */
  async open() {
    if (this.#start === undefined) return this
    this.#running ??= this.#open()
    await this.#running
    return this
  }

  async #open() {
    const { spec, target, args } = this.#start
    try {
      const { begin, control } = begun(spec, target, args, this.open)
      this.#operation = spec.operation
      this.#signal = control.signal
      const answer = await answerOf(begin, this.#operation, control)
      const { $stream } = resultOf(answer, 1)
      this.#native = answer.streams[$stream]
      this.#of = spec.result.of
    } catch (error) {
      this.#end()
      throw error
    } finally {
      this.#start = undefined
    }
    if (this.#over) this.#end()
  }

  next() {
    if (this.#waiting === 0 && this.#at < this.#batch.length) return Promise.resolve({ value: this.#batch[this.#at++], done: false })
    this.#waiting += 1
    const step = async () => {
      try {
        return await this.#step()
      } finally {
        this.#waiting -= 1
      }
    }
    const next = this.#last.then(step)
    this.#last = next.catch(() => undefined)
    return next
  }

  async #step() {
    if (this.#start !== undefined && !this.#over) await this.open()
    while (this.#at >= this.#batch.length) {
      if (this.#over || this.#native === undefined) return { value: undefined, done: true }
      let items
      try {
        if (this.#signal?.aborted) throw canceled(this.#operation, this.#signal.reason)
        const answer = await answerOf((callback) => this.#native.next(callback), this.#operation, { signal: this.#signal })
        if (answer.json === undefined || answer.json === null) {
          this.#end()
          continue
        }
        items = resultOf(answer, list(this.#of))
      } catch (error) {
        this.#end()
        throw error
      }
      if (this.#over) continue
      this.#batch = items
      this.#at = 0
    }
    return { value: this.#batch[this.#at++], done: false }
  }

  #end() {
    this.#over = true
    this.#batch = []
    this.#at = 0
    this.#native?.close()
  }

  /** Ends the stream and the work behind it. */
  async close() {
    this.#end()
  }

  async return(value) {
    this.#end()
    return { value: await value, done: true }
  }

  async throw(error) {
    this.#end()
    throw error
  }

  [Symbol.asyncIterator]() {
    return this
  }

  async [Symbol.asyncDispose]() {
    this.#end()
  }
}

/** A stream whose call is made when the first item is asked for. */
const streaming = (spec, target, args) => new Stream({ start: { spec, target, args } })

make.stream = (native, of) => new Stream({ native, of })

module.exports = { Stream, streaming }
