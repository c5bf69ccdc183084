// Calls: begun in the core, waited for without holding up the event loop, ended by a signal.
'use strict'

const { prepare } = require('./arguments.js')
const { DockerkitError, canceled, inCall } = require('./errors.js')
const native = require('./native.js')
const { eventsOf, resultOf } = require('./results.js')
const { nativeOf } = require('./types.js')

// How many answers that are there at once are given in a row before everything else has its turn.
const MOST = 8
let inARow = 0
// Answers that were there at once and are not given yet: calls that are made together do not wait for each other.
let untaken = 0
const settled = Promise.resolve()

// Calls that run: the core ends a call that nobody holds.
const live = new Set()

/** An answer that was there at once, in its turn. */
function inTurn(answer) {
  untaken += 1
  inARow = (inARow + 1) % MOST
  const turn = inARow === 0 ? new Promise((resolve) => setImmediate(resolve)) : settled
  return turn.then(() => {
    untaken -= 1
    return answer
  })
}

/**
 * Begins a piece of work of the core and waits for its answer without holding up the event loop: `begin` gives what runs, or the answer
 * where that is there at once, as text where it is a result that is JSON alone.
 */
function answerOf(begin, operation, control) {
  let told
  const running = begin((events, answer) => told(events, answer), untaken === 0)
  if (typeof running === 'string') return inTurn({ ok: true, json: running })
  if (running.ok !== undefined) return inTurn(running)
  return new Promise((resolve, reject) => {
    told = listener(running, operation, control, resolve, reject)
  })
}

/** Listens to a call that runs. */
function listener(running, operation, { onEvent, signal }, resolve, reject) {
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
  live.add(running)
  signal?.addEventListener('abort', abort, { once: true })
  return (events, answer) => {
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
  }
}

/** Names the operation in an error that came from reading the arguments. */
function named(spec, entry, work) {
  try {
    return work()
  } catch (error) {
    throw error instanceof DockerkitError ? inCall(error, spec.operation, entry) : error
  }
}

function begun(spec, target, args, entry) {
  return named(spec, entry, () => {
    const { json, data, handles, control } = prepare(spec, args)
    const object = target === null ? null : nativeOf(target)
    if (control.signal?.aborted) throw canceled(spec.operation, control.signal.reason)
    const wantEvents = control.onEvent !== undefined
    const begin = (callback, mayWait) => native.start(spec.class, spec.wire, object, json, data, handles, wantEvents, control.deadlineMs, callback, mayWait)
    return { begin, control }
  })
}

/** Makes a call. */
async function call(spec, target, args) {
  const { begin, control } = begun(spec, target, args, call)
  // The error is made here, after the wait, so that its stack names the functions that await the call.
  return resultOf(await answerOf(begin, spec.operation, control), spec.result)
}

module.exports = { answerOf, begun, call, named }
