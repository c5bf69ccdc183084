'use strict'
// Loads a Compose file, adds a service, changes an image, and prints the project.

const path = require('node:path')
const { Project, errors } = require('dockerkit')

async function main() {
  const project = await Project.load(path.join(__dirname, '..', 'shop', 'compose.yaml'))

  // Each change makes a new project, checked as a file is; the first one stays as it is.
  let changed = await project.withService('cache', { image: 'cache:2', expose: [6379], restart: 'unless-stopped' })
  changed = await changed.set('services.web.image', 'shop/web:2')
  changed = await changed.set('services.web.environment.CACHE', 'cache:6379')

  for (const warning of changed.warnings) console.warn(warning.message)
  process.stdout.write(await changed.toYaml())

  // What is wrong is told with its key path and the nearest name.
  try {
    await changed.set('services.web.imag', 'shop/web:3')
  } catch (error) {
    if (!(error instanceof errors.InvalidComposeError)) throw error
    for (const problem of error.diagnostics ?? []) console.error(`${problem.path}: ${problem.message} (did you mean ${problem.suggestion}?)`)
  }
}

main().catch((error) => {
  console.error(String(error))
  process.exitCode = 1
})
