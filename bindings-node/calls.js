// Calls: begun in the core, waited for without holding up the event loop, ended by a signal.
'use strict'

const { prepare } = require('./arguments.js')
const { DockerkitError, canceled, inCall } = require('./errors.js')
const native = require('./native.js')
const { eventsOf, resultOf } = require('./results.js')
const { nativeOf } = require('./types.js')

// Calls that run: the core ends a call that nobody holds.
const live = new Set()

/** Begins a piece of work of the core and waits for its answer without holding up the event loop. */
function answerOf(begin, operation, { onEvent, signal } = {}) {
  return new Promise((resolve, reject) => {
    let running
    const end = () => {
      live.delete(running)
      signal?.removeEventListener('abort', abort)
    }
    const abort = () => fail(canceled(operation, signal.reason))
    const fail = (error) => {
      end()
      running.cancel()
      reject(error)
    }
    running = begin((events, answer) => {
      if (!live.has(running)) {
        // The answer was on its way when the call was given up: what it holds is let go of now, not when it is collected.
        for (const stream of answer?.streams ?? []) stream.close()
        return
      }
      if (events !== undefined && events !== null && onEvent !== undefined) {
        try {
          for (const event of eventsOf(events)) onEvent(event)
        } catch (error) {
          fail(error)
          return
        }
      }
      if (answer !== undefined && answer !== null && live.has(running)) {
        end()
        resolve(answer)
      }
    })
    if (running.isDone) {
      // An answer that is there already lets the others have their turn all the same.
      setImmediate(() => resolve(running.take()))
      return
    }
    live.add(running)
    signal?.addEventListener('abort', abort, { once: true })
  })
}

const operationOf = (spec) => `${spec.class.toLowerCase()}.${spec.wire}`

/** Names the operation in an error that came from reading the arguments. */
function named(spec, entry, work) {
  try {
    return work()
  } catch (error) {
    throw error instanceof DockerkitError ? inCall(error, operationOf(spec), entry) : error
  }
}

function begun(spec, target, args, entry) {
  return named(spec, entry, () => {
    const { json, data, handles, control } = prepare(spec, args)
    const object = target === null ? null : nativeOf(target)
    if (control.signal?.aborted) throw canceled(operationOf(spec), control.signal.reason)
    const begin = (callback) => native.start(spec.class, spec.wire, object, json, data, handles, control.onEvent !== undefined, control.deadlineMs, callback)
    return { begin, control }
  })
}

/** Makes a call. */
async function call(spec, target, args) {
  const { begin, control } = begun(spec, target, args, call)
  // The error is made here, after the wait, so that its stack names the functions that await the call.
  return resultOf(await answerOf(begin, operationOf(spec), control), spec.result)
}

module.exports = { answerOf, begun, call, named, operationOf }
