/** A person at a terminal: tmux runs a program, keys are typed, the screen is read. */
import { execFileSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

export class Terminal {
  readonly #server = `gantry-${process.pid}-${Date.now()}`

  /** Why there is no terminal here, or `false`. */
  static cannotRun(): string | false {
    try {
      execFileSync('tmux', ['-V'], { stdio: 'pipe' })
      return false
    } catch {
      return 'needs tmux (Debian: apt-get install tmux)'
    }
  }

  /** A shell of 80 by 24 in which `command` was typed. */
  static async open(command: string): Promise<Terminal> {
    const terminal = new Terminal()
    terminal.#tmux('new-session', '-d', '-x', '80', '-y', '24', 'env PS1="$ " sh')
    terminal.#tmux('set-option', '-g', 'status', 'off')
    await terminal.type(`clear; ${command}\n`)
    return terminal
  }

  async type(text: string): Promise<void> {
    for (const part of text.split(/(\n)/)) {
      if (part === '\n') this.#tmux('send-keys', 'Enter')
      else if (part !== '') this.#tmux('send-keys', '-l', part)
    }
  }

  /** Keys by tmux's names: `C-c`, `Up`, … */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) this.#tmux('send-keys', key)
  }

  async resize(columns: number, rows: number): Promise<void> {
    this.#tmux('resize-window', '-x', `${columns}`, '-y', `${rows}`)
  }

  /** The text on the screen, without blanks at its end. */
  screen(): string {
    return this.#tmux('capture-pane', '-p').trimEnd()
  }

  /** Wait until the screen shows `pattern`. The blank after a prompt is not shown, so a final blank in it matches the end. */
  async waitFor(pattern: RegExp): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      if (pattern.test(`${this.screen()} `)) return
      await sleep(50)
    }
    throw new Error(`${pattern} did not appear on the screen:\n${this.screen()}`)
  }

  close(): void {
    this.#tmux('kill-server')
  }

  #tmux(...args: string[]): string {
    return execFileSync('tmux', ['-L', this.#server, '-f', '/dev/null', ...args], { encoding: 'utf8' })
  }
}
