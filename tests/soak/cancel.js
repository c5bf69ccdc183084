// Ten thousand calls and streams that are given up, half of each, on a real engine: nothing of them may be left.
'use strict'

const assert = require('node:assert/strict')
const fs = require('node:fs')
const { setTimeout: sleep } = require('node:timers/promises')
const { Engine, errors } = require('dockerkit')

const [BATCH, BATCHES, WARM] = [50, 200, 100]
// Connections of the last batch are closed in the background, and memory is given back some seconds later.
const SETTLE = 6000

/** Open descriptors, threads and resident bytes. */
function used() {
  globalThis.gc?.()
  return [fs.readdirSync('/proc/self/fd').length, fs.readdirSync('/proc/self/task').length, process.memoryUsage().rss]
}

async function main() {
  const engine = await Engine.connect(process.env.DOCKERKIT_LAB_ENGINE)
  const container = await engine.containers.run(process.env.DOCKERKIT_LAB_IMAGE, ['sleep', '100000'], { stopTimeoutMs: 0 })
  try {
    let before = used()
    for (let i = 0; i < BATCHES; i += 1) {
      const aborts = Array.from({ length: BATCH }, () => new AbortController())
      /** @param {AbortSignal} signal */
      const follow = async (signal) => {
        for await (const _ of await engine.events({ signal })) continue
      }
      const works = aborts.map(({ signal }, n) => (n % 2 === 0 ? container.wait({ signal }) : follow(signal)))
      const ends = Promise.allSettled(works)
      await sleep(5 * (i % 5))
      for (const abort of aborts) abort.abort()
      for (const end of await ends) assert.ok(end.status === 'rejected' && end.reason instanceof errors.CanceledError, String(end.reason ?? end.status))
      if (i === WARM) {
        await sleep(SETTLE)
        before = used()
      }
    }
    await sleep(SETTLE)
    await engine.ping()
    const after = used()
    const megabytes = (bytes) => (bytes / 2 ** 20).toFixed(1)
    console.log(
      `Node: ${BATCH * BATCHES} given up; descriptors ${before[0]} -> ${after[0]}, threads ${before[1]} -> ${after[1]}, memory ${megabytes(before[2])} -> ${megabytes(after[2])} MB`,
    )
    assert.ok(after[0] <= before[0] + 2)
    assert.ok(after[1] <= before[1] + 1)
    // Node's own memory moves by more than ten megabytes; what a call holds that is not let go of is more than 8 kB.
    assert.ok(after[2] <= before[2] + 20 * 2 ** 20)
  } finally {
    await container.remove({ force: true })
  }
}

main()
