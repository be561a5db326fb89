/** Trying again: which failures are worth it, how long to wait, and when to give up. */
import { setTimeout as sleep } from 'node:timers/promises'
import { RegistryError, TransportError } from './errors.ts'

export interface RetryPolicy {
  /** Attempts that bring nothing; an attempt that makes progress starts the count anew. */
  attempts: number
  /** Milliseconds before the second attempt; doubled for each after it. */
  baseDelay: number
  /** Milliseconds; also the most that a `Retry-After` is honoured for. */
  maxDelay: number
  /** 0 to 1; `Math.random` unless a test holds it. */
  random?: () => number
}

export const defaultRetryPolicy: RetryPolicy = { attempts: 5, baseDelay: 500, maxDelay: 60_000 }

export interface Attempt {
  /** From 1. */
  readonly number: number
  /** Call when bytes have come to stay: the count of vain attempts starts anew. */
  progressed(): void
}

export interface RetryOptions {
  signal?: AbortSignal | undefined
  policy?: RetryPolicy | undefined
  /** Before each wait: what failed, and for how many milliseconds it waits. */
  onRetry?: ((error: unknown, delay: number) => void) | undefined
  /** {@link isTransient} unless told. */
  isTransient?: (error: unknown) => boolean
}

/** The result of the first attempt that succeeds. Throws what the last one threw. */
export async function retrying<T>(
  work: (attempt: Attempt) => Promise<T>,
  options: RetryOptions = {},
): Promise<T> {
  const { signal, onRetry } = options
  const policy = options.policy ?? defaultRetryPolicy
  let vain = 0
  for (let number = 1; ; number++) {
    signal?.throwIfAborted()
    try {
      return await work({ number, progressed: () => (vain = 0) })
    } catch (error) {
      signal?.throwIfAborted()
      vain++
      if (!(options.isTransient ?? isTransient)(error) || vain >= policy.attempts) throw error
      const delay = delayOf(error, vain, policy)
      onRetry?.(error, delay)
      await sleep(delay, undefined, signal ? { signal } : {})
    }
  }
}

/** Half of the exponential step is fixed, half is chance, so that clients cut off together do not come back together. */
function delayOf(error: unknown, vain: number, policy: RetryPolicy): number {
  if (error instanceof RegistryError && error.retryAfter !== undefined) {
    return Math.min(error.retryAfter, policy.maxDelay)
  }
  const step = Math.min(policy.baseDelay * 2 ** (vain - 1), policy.maxDelay)
  return step / 2 + (step / 2) * (policy.random ?? Math.random)()
}

/** A transfer that broke off or did not bring what was promised: worth another try, from where it stopped. */
export class IncompleteTransfer extends TransportError {
  constructor(message: string, cause?: unknown) {
    super('INCOMPLETE', message, cause)
    this.name = 'IncompleteTransfer'
  }
}

const LASTING = /^(ERR_TLS|CERT_|DEPTH_ZERO|SELF_SIGNED|UNABLE_TO|ENOTFOUND|ERR_INVALID|EPROTO|ERR_SSL)/

/** Whether time may heal it: connections that break, servers that are overloaded. Refusals stay refusals. */
export function isTransient(error: unknown): boolean {
  if (error instanceof RegistryError)
    return error.status === 429 || error.status === 408 || error.status >= 500
  if (error instanceof TransportError) return !LASTING.test(error.code)
  return false
}

/** Milliseconds of a `Retry-After` header: seconds or a date (RFC 9110). */
export function parseRetryAfter(header: string | undefined, now = Date.now()): number | undefined {
  if (!header) return undefined
  if (/^\d+$/.test(header)) return Number(header) * 1000
  const date = Date.parse(header)
  return Number.isNaN(date) ? undefined : Math.max(0, date - now)
}
