// Loads the native part that was built for this platform.
'use strict'

const path = require('node:path')

const name = `dockerkit.${process.platform}-${process.arch}.node`

try {
  module.exports = require(path.join(__dirname, name))
} catch (cause) {
  const reason = cause.code === 'MODULE_NOT_FOUND' ? `this package holds no ${name}` : cause.message
  throw new Error(`dockerkit has no native part for this platform: ${reason}; build it with \`npm run build\``, { cause })
}
