/// <reference types="node" />

/**
 * What every call takes, beside its own options. A buffer among the arguments is not copied: leave it as it is until the call
 * has ended.
 */
export interface CallOptions {
  /** Is called with every event of progress. An error that it throws ends the call. */
  onEvent?: ((event: Event) => void) | undefined
  /** Ends the call at once: its promise is rejected with a `canceled` error. */
  signal?: AbortSignal | undefined
  /** Ends the call with a `timeout` error when it takes longer, in milliseconds. */
  deadlineMs?: number | undefined
}

/** The options of a call that has an option `signal` of its own; an `AbortSignal` there ends the call. */
export type WithSignal<O extends { signal?: unknown }> = Omit<O, 'signal'> & Omit<CallOptions, 'signal'> & { signal?: O['signal'] | AbortSignal | undefined }

/** Results as they come. Leaving a `for await` loop, or `close()`, ends the work behind them. */
export class Stream<T> implements AsyncIterableIterator<T>, AsyncDisposable {
  protected constructor()
  /** Makes the call now, without waiting for the first item. */
  open(): Promise<this>
  next(): Promise<IteratorResult<T, undefined>>
  return(value?: unknown): Promise<IteratorResult<T, undefined>>
  throw(error?: unknown): Promise<IteratorResult<T, undefined>>
  /** Ends the stream and the work behind it. */
  close(): Promise<void>
  [Symbol.asyncIterator](): this
  [Symbol.asyncDispose](): Promise<void>
}

/** What went wrong (`code`), in which call (`operation`), where (`context`), and what to do (`hint`). */
export class DockerkitError extends Error {
  protected constructor()
  /** The kind of error. Message texts may change; this does not. */
  readonly code: ErrorKind
  /** The call that failed, such as `app.up`. */
  readonly operation: string
  /** Host, resource, path, status and the like. */
  readonly context: Record<string, string>
  /** Whether the same call may succeed later. */
  readonly retryable: boolean
  /** What to do about it. */
  readonly hint: string | null
  /** The places in Compose files, for `invalid_compose`. */
  readonly diagnostics?: Diagnostic[]
  /** The parts that failed, for `partial`. */
  readonly failures?: Failure[]
}

/** Ready-made listeners for `onEvent`. */
export const progress: {
  /** Draws one line for each resource on a terminal, and plain lines elsewhere. Default: standard error. */
  terminal(stream?: NodeJS.WritableStream): (event: Event) => void
}
