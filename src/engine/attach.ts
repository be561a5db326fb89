/** Attaching to a container's own process, before or while it runs, with its log first if asked. */
import { type Duplex, PassThrough } from 'node:stream'
import { conflict } from '../errors.ts'
import { Attachment } from './attachment.ts'
import type { Container } from './container.ts'
import type { ContainerStream } from './containers.ts'
import type { EngineContext } from './context.ts'
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from './detach-keys.ts'
import { readLogs } from './logs.ts'
import type { AttachOptions } from './results.ts'

export async function attachContainer(
  context: EngineContext,
  container: Container,
  ref: string,
  options: AttachOptions,
): Promise<ContainerStream<Duplex>> {
  const { config, state } = container.record
  const tty = config.tty ?? false
  const keys = parseDetachKeys(options.detachKeys || DEFAULT_DETACH_KEYS)
  if (state.status === 'paused') {
    throw conflict(`container ${ref} is paused, unpause the container before attach`)
  }
  if (state.status === 'restarting') {
    throw conflict(`container ${ref} is restarting, wait until the container is running`)
  }
  const streams = { stdout: options.stdout ?? false, stderr: options.stderr ?? false }
  context.states.note(container, 'attach')
  if (!options.stream) {
    const stream = new PassThrough()
    if (options.logs) (await readLogs(context, container, streams)).pipe(stream)
    else stream.end()
    return { tty, stream }
  }
  const attachment = new Attachment({
    ...streams,
    stdin: (options.stdin ?? false) && (config.openStdin ?? false),
    closeStdin: config.stdinOnce ?? false,
    ...(tty && { detachKeys: keys }),
    onDetach: () => context.states.note(container, 'detach'),
  })
  if (options.logs) {
    for await (const chunk of await readLogs(context, container, streams)) attachment.push(chunk as Buffer)
  }
  if (container.task) await attachment.connect(container.task)
  else {
    container.waitingAttachments.add(attachment)
    attachment.once('close', () => container.waitingAttachments.delete(attachment))
  }
  return { tty, stream: attachment }
}
