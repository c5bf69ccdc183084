// Builds the native part and puts it beside the JavaScript. With --release: optimised.
import { execFileSync } from 'node:child_process'
import { copyFileSync, renameSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'

const folder = path.dirname(fileURLToPath(import.meta.url))
const top = path.dirname(folder)
const release = process.argv.includes('--release')

const cargo = (args, options) => execFileSync('cargo', args, { cwd: top, stdio: ['ignore', 'inherit', 'inherit'], ...options })
cargo(['build', '--quiet', '--package', 'dockerkit-node', ...(release ? ['--release'] : [])])
const { target_directory } = JSON.parse(cargo(['metadata', '--no-deps', '--format-version', '1'], { stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 2 ** 26 }))

const library = { linux: 'libdockerkit_node.so', darwin: 'libdockerkit_node.dylib', win32: 'dockerkit_node.dll' }[process.platform]
const target = path.join(folder, `dockerkit.${process.platform}-${process.arch}.node`)
// A new file, never the old one overwritten: a running process may have that one mapped.
copyFileSync(path.join(target_directory, release ? 'release' : 'debug', library), `${target}.new`)
renameSync(`${target}.new`, target)
