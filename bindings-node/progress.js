// Ready-made listeners for `onEvent`.
'use strict'

const SIGNS = { done: '✔', failed: '✘', skipped: '·', started: '…', progress: '…' }
const COLOURS = { done: 32, failed: 31, skipped: 90, started: 36, progress: 36 }
const FRAME = 50

/** A listener that draws one line for each resource on a terminal, and plain lines elsewhere. */
function terminal(stream = process.stderr) {
  return stream.isTTY === true && process.env.TERM !== 'dumb' ? screen(stream) : lines(stream)
}

/** One line for each event that is not a step on the way. */
function lines(out) {
  return (event) => {
    if (event.status !== 'progress') out.write(`${event}\n`)
  }
}

/** Lines that change in place; those that are done scroll away above the ones that go on. */
function screen(out) {
  const active = new Map()
  let drawn = 0
  let next = 0
  return (event) => {
    const now = performance.now()
    const key = JSON.stringify([event.host, event.resource.kind, event.resource.name])
    const begun = active.get(key)?.begun ?? now
    const finished = event.status === 'done' || event.status === 'failed' || event.status === 'skipped'
    if (finished) active.delete(key)
    else active.set(key, { event, begun })
    if (!finished && now < next) return
    next = now + FRAME
    const shown = [...active.values()].slice(-Math.max((out.rows ?? 24) - 2, 1))
    const above = finished ? `${lineOf(out, event, now - begun)}\n` : ''
    const below = shown.map((one) => `${lineOf(out, one.event, now - one.begun)}\n`).join('')
    out.write((drawn > 0 ? `\x1b[${drawn}A\r\x1b[J` : '') + above + below)
    drawn = shown.length
  }
}

function lineOf(out, event, took) {
  let what = event.error ?? event.message ?? ''
  if (event.status === 'progress' && event.total > 0) {
    const share = Math.min((event.current ?? 0) / event.total, 1)
    const bar = '█'.repeat(Math.round(20 * share)).padEnd(20, '░')
    what = `${bar} ${`${Math.round(100 * share)}%`.padStart(4)} ${what}`
  }
  const host = event.host === '' ? '' : `[${event.host}] `
  const tail = took >= 100 ? ` ${(took / 1000).toFixed(1)}s` : ''
  const text = clean(`${host}${event.resource.kind} ${event.resource.name} ${event.action} ${what}`).trimEnd()
  const room = Math.max((out.columns ?? 80) - tail.length - 3, 10)
  const shown = text.length <= room ? text : `${text.slice(0, room - 1)}…`
  return `\x1b[${COLOURS[event.status]}m${SIGNS[event.status]}\x1b[0m ${shown}${tail}`
}

/** Without what moves a terminal's cursor or turns its writing around. */
const clean = (text) => text.replace(/[\p{Cc}\p{Cf}]/gu, ' ')

module.exports = { terminal }
