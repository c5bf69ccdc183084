// Makes three machines on this host, joins them, and spreads the shop over them: from nothing to there and back.
'use strict'

const fs = require('node:fs')
const path = require('node:path')
const { App, Cluster, Engine, Project } = require('dockerkit')

const SHOP = path.join(__dirname, '..', 'shop')
const GREETING = path.join(SHOP, 'config', 'greeting.txt')

/** @param {{ toString(): string }} event */
const show = (event) => console.log(String(event))

let begin = performance.now()
/** Says how long a part took. @param {string} name */
function done(name) {
  console.log(`== ${name}: ${((performance.now() - begin) / 1000).toFixed(1)} s\n`)
  begin = performance.now()
}

/** What the shop's front says, at the node that its task runs on. @param {Cluster} cluster @param {import('dockerkit').Stack} stack */
async function ask(cluster, stack) {
  const tasks = await stack.ps()
  const web = tasks.find((t) => t.service.endsWith('_web') && t.state === 'running' && t.desiredState === 'running')
  const machine = cluster.machines.find((m) => m.name === web?.node)
  const answer = await fetch(`http://${await machine?.ip()}:8080/`)
  return (await answer.text()).trim()
}

/** @param {Cluster} cluster */
async function run(cluster) {
  const project = await Project.load(path.join(SHOP, 'compose.yaml'))
  await new App(await Engine.connect(), project).build()
  for (const service of Object.values((await project.config()).services)) await cluster.pushImage(service.image, { onEvent: show })
  done('images built and on every node')

  const stack = await cluster.stack(project)
  console.log(String(await stack.plan()))
  await stack.up({ wait: true, onEvent: show })
  for (const task of await stack.ps()) if (task.state === 'running') console.log(`${task.name} runs on ${task.node}`)
  console.log(await ask(cluster, stack))
  done('up')

  const before = fs.readFileSync(GREETING)
  try {
    fs.writeFileSync(GREETING, 'Hello again, with nothing built anew\n')
    console.log(String(await stack.plan()))
    await stack.up({ wait: true, onEvent: show })
  } finally {
    fs.writeFileSync(GREETING, before)
  }
  console.log(await ask(cluster, stack))
  done('another greeting')

  const snapshot = await cluster.snapshot()
  console.log(String(snapshot))
  const victim = snapshot.nodes.find((n) => !n.leader && n.runningTasks > 0)
  if (victim === undefined) throw new Error('no node to lose')
  const changes = await cluster.watch()
  await cluster.machines.find((m) => m.name === victim.name)?.kill()
  let moved = 0
  for await (const change of changes) {
    console.log(change.text)
    if (change.kind === 'task_changed' && change.state === 'running' && change.node !== victim.name) moved += 1
    if (moved >= victim.runningTasks) break
  }
  done(`${victim.name} lost, and its tasks moved`)
}

async function main() {
  const cluster = await Cluster.local('demo', { nodes: 3, onEvent: show })
  done('three machines, joined')
  await run(cluster).finally(() => cluster.destroy())
  done('gone')
}

main()
