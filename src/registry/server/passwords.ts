/** An htpasswd file with bcrypt hashes. It is read again when it changes. */
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import bcrypt from 'bcryptjs'
import { invalid } from '../../errors.ts'

/** Proven passwords are remembered (hashed) this long, since bcrypt is slow on purpose. Milliseconds. */
const REMEMBER = 10 * 60_000
/** A hash to compare with for users who are not there, so that time does not tell. */
const NOBODY = '$2b$10$abcdefghijklmnopqrstuuYQ7Yv1XpJ0zqv0Y3uT5y3m1zqk1bV2i'

export class Passwords {
  readonly #file: string
  #users = new Map<string, string>()
  #version = ''
  readonly #proven = new Map<string, number>()
  #comparing: Promise<unknown> = Promise.resolve()

  /** Throws `invalid` for a line that is not `name:$2y$…`. */
  constructor(file: string) {
    this.#file = file
    this.#read()
  }

  #read(): void {
    const { mtimeMs, size, ino } = fs.statSync(this.#file)
    const version = `${mtimeMs} ${size} ${ino}`
    if (version === this.#version) return
    const users = new Map<string, string>()
    for (const [i, line] of fs.readFileSync(this.#file, 'utf8').split('\n').entries()) {
      if (line.trim() === '' || line.startsWith('#')) continue
      const colon = line.indexOf(':')
      const hash = line.slice(colon + 1).trim()
      if (colon < 1 || !/^\$2[aby]\$\d\d\$[./A-Za-z0-9]{53}$/.test(hash)) {
        throw invalid(`${this.#file}:${i + 1}: not a name and a bcrypt hash (htpasswd -B)`)
      }
      users.set(line.slice(0, colon), hash)
    }
    this.#users = users
    this.#version = version
    this.#proven.clear()
  }

  async check(name: string, password: string): Promise<boolean> {
    try {
      this.#read()
    } catch {
      // Being rewritten: what was read last counts.
    }
    const key = createHash('sha256').update(`${name}\0${password}`).digest('base64')
    if ((this.#proven.get(key) ?? 0) > Date.now()) return true
    const hash = this.#users.get(name)
    // One at a time: a flood of guesses must not take the processor from everyone else.
    const comparison = this.#comparing.then(() => bcrypt.compare(password, hash ?? NOBODY))
    this.#comparing = comparison.catch(() => {})
    const right = (await comparison) && hash !== undefined
    if (right) this.#proven.set(key, Date.now() + REMEMBER)
    return right
  }
}
