// Errors: one class for each kind, all of them a DockerkitError.
'use strict'

/** What went wrong (`code`), in which call (`operation`), where (`context`), and what to do (`hint`). */
class DockerkitError extends Error {
  constructor(message, { code = 'internal', operation = '', context = {}, retryable = false, hint = null, diagnostics = [], failures = [], cause } = {}) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.operation = operation
    this.context = context
    this.retryable = retryable
    this.hint = hint
    if (diagnostics.length > 0 || code === 'invalid_compose') this.diagnostics = diagnostics
    if (failures.length > 0 || code === 'partial') this.failures = failures
  }

  get name() {
    return this.constructor.name
  }
}

/** Puts the call's name on an error that came from reading its arguments; its stack begins where `entry` was called. */
function inCall(error, operation, entry) {
  if (error.operation === '') {
    error.operation = operation
    error.message = `${operation}: ${error.message}`
  }
  Error.captureStackTrace(error, entry)
  return error
}

const errors = { DockerkitError }
const byCode = Object.create(null)

/** Makes a class for each kind: `not_found` becomes `NotFoundError`. */
function define(kinds) {
  for (const code of kinds) {
    const name = `${code.replace(/(?:^|_)(.)/g, (_, letter) => letter.toUpperCase())}Error`
    byCode[code] = errors[name] = { [name]: class extends DockerkitError {} }[name]
  }
}

function make(message, data) {
  const Class = byCode[data.code] ?? DockerkitError
  return new Class(message, data)
}

/** The error of the right class from the core's data. */
function fromData({ kind, message, diagnostics, failures, ...rest }, diagnostic, failure) {
  return make(message, { ...rest, code: kind, diagnostics: diagnostics.map((d) => diagnostic(d)), failures: failures.map((f) => failure(f)) })
}

function invalid(message, { context, hint = null } = {}) {
  return make(hint === null ? message : `${message}; hint: ${hint}`, { code: 'invalid_input', context, hint })
}

function canceled(operation, reason) {
  const start = operation === '' ? '' : `${operation}: `
  return make(`${start}the caller ended the call`, { code: 'canceled', operation, retryable: true, cause: reason })
}

module.exports = { DockerkitError, canceled, define, errors, fromData, inCall, invalid }
