/** The exit record: a few lines of text that the shim writes to `exit` in its folder, and sends with the exit event. */
import { readFileSync } from 'node:fs'
import { hasCode } from '../errors.ts'
import type { ExitRecord } from './launcher.ts'

/**
 * `code 137`, `signal 9`, `time SECONDS.NANOSECONDS`, `dropped 0`, then any number of `file NAME BYTES` with the content
 * (and a newline) after each.
 */
export function parseExitRecord(text: string): ExitRecord {
  const bytes = Buffer.from(text)
  const record: ExitRecord = {
    exitCode: 0,
    exitedAt: '',
    oomKilled: false,
    files: {},
    droppedLines: 0,
  }
  for (let at = 0; at < bytes.length; ) {
    const end = bytes.indexOf(10, at)
    if (end < 0) break
    const [key, first, second] = bytes.toString('utf8', at, end).split(' ')
    at = end + 1
    if (key === 'code') record.exitCode = Number(first)
    else if (key === 'signal' && first !== '0') record.signal = Number(first)
    else if (key === 'time') record.exitedAt = formatTime(first!)
    else if (key === 'dropped') record.droppedLines = Number(first)
    else if (key === 'lost') record.lost = true
    else if (key === 'file') {
      const length = Number(second)
      record.files[first!] = bytes.toString('utf8', at, at + length)
      at += length + 1
    }
  }
  record.oomKilled = Object.values(record.files).some(content => /^oom_kill [1-9]/m.test(content))
  return record
}

/** The record in `file`; `undefined` where there is none. */
export function readExitRecord(file: string): ExitRecord | undefined {
  try {
    return parseExitRecord(readFileSync(file, 'utf8'))
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined
    throw error
  }
}

/** `1700000000.123456789` as RFC 3339, without trailing zeros, as Go prints it. */
function formatTime(time: string): string {
  const [seconds, nanoseconds = ''] = time.split('.')
  const whole = new Date(Number(seconds) * 1000).toISOString().slice(0, 19)
  const fraction = nanoseconds.replace(/0+$/, '')
  return `${whole}${fraction && `.${fraction}`}Z`
}
