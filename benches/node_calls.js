// Prints the time of ping, list and logs through dockerkit and, where it is installed, dockerode, in alternating rounds.
'use strict'

const { Engine } = require('dockerkit')

const LINES = 20000
const ROUNDS = 15

/** @param {() => Promise<unknown>} work */
async function once(work) {
  const start = performance.now()
  await work()
  return performance.now() - start
}

async function main() {
  const endpoint = process.env.DOCKERKIT_LAB_ENGINE ?? 'unix:///var/run/docker.sock'
  const image = process.env.DOCKERKIT_LAB_IMAGE ?? 'dockerkit-lab/busybox:1'
  const engine = await Engine.connect(endpoint)
  const container = await engine.containers.run(image, ['sh', '-c', `i=0; while [ $i -lt ${LINES} ]; do echo line number $i; i=$((i+1)); done`])
  await container.wait()
  const works = {
    ping: { dockerkit: () => engine.ping() },
    list: { dockerkit: () => engine.containers.list({ all: true }) },
    logs: {
      dockerkit: async () => {
        let bytes = 0
        for await (const chunk of await container.logs()) bytes += chunk.data.length
        return bytes
      },
    },
  }
  try {
    const Docker = require(process.env.DOCKERODE ?? 'dockerode')
    const peer = new Docker({ socketPath: endpoint.replace('unix://', '') })
    works.ping.dockerode = () => peer.ping()
    works.list.dockerode = () => peer.listContainers({ all: true })
    works.logs.dockerode = () => peer.getContainer(container.id).logs({ stdout: true, stderr: true })
  } catch {
    console.log('dockerode is not installed: only dockerkit is measured')
  }
  try {
    for (const [what, ways] of Object.entries(works)) {
      const times = Object.fromEntries(Object.keys(ways).map((way) => [way, []]))
      for (let round = 0; round < ROUNDS; round += 1) for (const [way, work] of Object.entries(ways)) times[way].push(await once(work))
      const median = (all) => all.sort((a, b) => a - b)[Math.floor(all.length / 2)]
      console.log(
        what,
        Object.entries(times)
          .map(([way, all]) => `${way} ${median(all).toFixed(2)} ms`)
          .join('  '),
      )
    }
  } finally {
    await container.remove({ force: true })
  }
}

main()
