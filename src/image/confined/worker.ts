/** The worker thread's main module: runs one task after another, each confined to its own root. */
import { parentPort } from 'node:worker_threads'
import { kindOf, messageOf } from '../../errors.ts'
import * as linux from '../../linux/index.ts'
import { apply } from '../layer/apply-task.ts'
import { copy } from '../layer/copy-task.ts'
import { diff } from '../layer/diff-task.ts'
import { exportTree } from '../layer/export-task.ts'
import { type Task, TaskPort, type ToTask } from './task.ts'

/** All of them are loaded before the first confinement: afterwards no module can be read. */
const TASKS = { apply, copy, diff, export: exportTree }

export type Tasks = typeof TASKS

let current: TaskPort | undefined

parentPort?.on('message', (message: ToTask) => {
  if (message.type === 'job') void run(message)
  else current?.feed(message.type === 'input' ? message.bytes : undefined)
})

async function run({ task, root, data, credit }: ToTask & { type: 'job' }): Promise<void> {
  const port = new TaskPort(credit)
  current = port
  try {
    linux.confineThread(root)
    const result = await (TASKS[task as keyof Tasks] as Task<unknown, unknown>)(data, port)
    port.flush()
    port.send({ type: 'done', result })
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? String(error.code) : undefined
    port.send({ type: 'failed', message: messageOf(error), kind: kindOf(error), code })
  }
}
