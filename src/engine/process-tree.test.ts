import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { killTree } from './process-tree.ts'

const allPids = () => fs.readdirSync('/proc').map(Number).filter(Boolean)

test('a process goes with its children, and with those whose parent has gone', async () => {
  const mark = `${process.pid}.${Date.now() % 1000}`
  const bystander = spawn('sleep', [`77${mark}`])
  // The second one is an orphan at once.
  const script = `sleep 99${mark} & (sleep 99${mark} &); sleep 99${mark}`
  const root = spawn('sh', ['-c', script], { detached: true, stdio: 'ignore' })
  const running = () =>
    allPids().filter(pid => {
      try {
        return fs.readFileSync(`/proc/${pid}/cmdline`, 'latin1').startsWith(`sleep\x0099${mark}`)
      } catch {
        return false
      }
    })
  try {
    while (running().length < 3) await sleep(5)
    const ended = new Promise(resolve => root.once('exit', (_, signal) => resolve(signal)))
    killTree(root.pid!, allPids)
    assert.equal(await ended, 'SIGKILL')
    while (running().length > 0) await sleep(5)
    assert.equal(bystander.exitCode ?? bystander.signalCode, null)
  } finally {
    bystander.kill('SIGKILL')
  }
})
