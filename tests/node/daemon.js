// Engines of a test's own, which it may kill and hold; nothing of the lab's engines is touched.
'use strict'

const { execFileSync, spawn } = require('node:child_process')
const fs = require('node:fs')
const net = require('node:net')
const path = require('node:path')
const { Engine } = require('dockerkit')

const SCRIPT = path.resolve(__dirname, '../lab/daemon.sh')

/** The engines' programs on this machine: its own, and that of the lab's second engine. */
function programs() {
  const own = (process.env.PATH ?? '').split(':').map((folder) => path.join(folder, 'dockerd'))
  const compose = process.env.DOCKERKIT_LAB_COMPOSE
  const newer = compose ? [path.resolve(compose, '../../../../..', 'usr/sbin/dockerd')] : []
  return [own.find((file) => fs.existsSync(file)), ...newer].filter((file) => file !== undefined && fs.existsSync(file)).map(String)
}

/** Whether an engine answers on a socket. @param {string} socket @returns {Promise<boolean>} */
function answers(socket) {
  return new Promise((resolve) => {
    const stream = net.connect(socket, () => stream.write('GET /_ping HTTP/1.0\r\nHost: engine\r\n\r\n'))
    stream.on('data', (data) => (resolve(data.toString().startsWith('HTTP/1.0 200')), stream.destroy()))
    stream.on('error', () => resolve(false))
    stream.on('close', () => resolve(false))
  })
}

/**
 * A dockerd with a socket, folders and a bridge of its own, until the test is over.
 * @param {import('node:test').TestContext} t
 * @param {string} program
 * @param {string[]} args
 * @param {string} disk the size of a disk of its own, such as `64m`
 */
async function daemon(t, program, args = [], disk = '') {
  // The path of a socket must be short.
  const folder = fs.mkdtempSync('/tmp/dk-n')
  const socket = path.join(folder, 'docker.sock')
  const data = path.join(folder, 'data')
  if (disk !== '') {
    fs.mkdirSync(data)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${disk}`, 'dk-disk', data])
  }
  /** @type {import('node:child_process').ChildProcess} */ let child
  /** @type {Promise<unknown>} */ let over
  const start = async () => {
    child = spawn('sh', [SCRIPT, 'run', folder, program, ...args], { stdio: 'ignore' })
    over = new Promise((resolve) => child.once('exit', resolve))
    for (let n = 0; !(await answers(socket)); n++) {
      if (child.exitCode !== null || n > 600) throw new Error(fs.readFileSync(path.join(folder, 'log'), 'utf8'))
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
  }
  await start()
  t.after(async () => {
    // Containers of one that was killed are ended by the next one.
    if (child.exitCode !== null || child.signalCode !== null) await start()
    child.kill('SIGCONT')
    child.kill('SIGTERM')
    const late = setTimeout(() => child.kill('SIGKILL'), 25_000)
    await over
    clearTimeout(late)
    execFileSync('sh', [SCRIPT, 'clean', folder])
  })
  const endpoint = `unix://${socket}`
  return {
    endpoint,
    /** Fills its disk until so many bytes are left, by a file that is given back. @param {number} left */
    fill(left) {
      const filler = path.join(data, 'filler')
      for (let tries = 0; ; tries++) {
        const { bavail, bsize } = fs.statfsSync(data)
        try {
          fs.writeFileSync(filler, Buffer.alloc(bavail * bsize - left))
          return filler
        } catch (error) {
          // The engine wrote in between; what was taken so far is given back.
          if (/** @type {{ code?: string }} */ (error).code !== 'ENOSPC' || tries === 100) throw error
          fs.rmSync(filler)
        }
      }
    },
    /** What it has read so far, in bytes. */
    read: () => Number(/rchar: (\d+)/.exec(fs.readFileSync(`/proc/${child.pid}/io`, 'utf8'))?.[1]),
    kill: async () => (child.kill('SIGKILL'), over),
    restart: start,
    signal: (/** @type {NodeJS.Signals} */ name) => child.kill(name),
    /** Gives it an image of another engine. @param {string} from @param {string} image */
    async image(from, image) {
      const parts = []
      for await (const part of (await Engine.connect(from)).images.save([image])) parts.push(part)
      await (await Engine.connect(endpoint)).images.load({ data: Buffer.concat(parts) })
    },
  }
}

module.exports = { daemon, programs }
