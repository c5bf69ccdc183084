// What the tests stand on: the lab's engines, found through environment variables, and an engine that answers slowly.
'use strict'

const { randomBytes } = require('node:crypto')
const fs = require('node:fs')
const http = require('node:http')
const os = require('node:os')
const path = require('node:path')

/**
 * A value of the lab's contract; where it is missing the test is skipped and says which one.
 * @param {import('node:test').TestContext} t
 * @param {string} name
 */
function lab(t, name) {
  const value = process.env[name] ?? ''
  if (value === '') t.skip(`the lab has no ${name} (tests/run sets it)`)
  return value
}

/** The variables that name an engine. */
const ENGINES = ['DOCKERKIT_LAB_ENGINE', 'DOCKERKIT_LAB_ENGINE_28']

/** A name that no other test has. */
const name = () => `dk-node-${randomBytes(5).toString('hex')}`

/** @type {string[]} */ const folders = []

/** An empty folder that goes away with the process: what the test cleans up may still need it. */
function folder() {
  const made = fs.mkdtempSync(path.join(os.tmpdir(), 'dk-node-'))
  if (folders.push(made) === 1) process.on('exit', () => folders.forEach((one) => fs.rmSync(one, { recursive: true, force: true })))
  return made
}

/**
 * An engine that knows its version, and never answers anything else. `waiting` and `gone` are settled when a request
 * has come and when its client went away.
 * @param {import('node:test').TestContext} t
 * @param {string} api
 */
async function slowEngine(t, api = '1.43') {
  const socket = path.join(folder(), 'slow.sock')
  /** @type {() => void} */ let came = () => {}
  /** @type {() => void} */ let went = () => {}
  const waiting = new Promise((resolve) => (came = () => resolve(undefined)))
  const gone = new Promise((resolve) => (went = () => resolve(undefined)))
  const server = http.createServer((request, response) => {
    const target = (request.url ?? '').split('?')[0] ?? ''
    if (target.endsWith('/version') || target.endsWith('/_ping')) {
      response.writeHead(200, { 'Api-Version': api, OSType: 'linux', 'Content-Type': 'application/json' })
      response.end(JSON.stringify({ Version: '99.0', ApiVersion: api, MinAPIVersion: '1.24', Os: 'linux', Arch: 'amd64' }))
      return
    }
    came()
    response.on('close', went)
  })
  await new Promise((resolve) => server.listen(socket, () => resolve(undefined)))
  t.after(() => {
    server.closeAllConnections()
    server.close()
  })
  return { endpoint: `unix://${socket}`, waiting, gone }
}

/** How long `work` takes, in milliseconds. @param {() => Promise<unknown>} work */
async function timeOf(work) {
  const start = performance.now()
  await work()
  return performance.now() - start
}

module.exports = { ENGINES, folder, lab, name, slowEngine, timeOf }
