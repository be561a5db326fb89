/** `attach/ws`: what attach carries, in a websocket. */
import type { Duplex } from 'node:stream'
import { createWebSocketStream, WebSocketServer } from 'ws'
import { invalid } from '../errors.ts'
import type { Call } from './call.ts'
import { joinStreams } from './join.ts'

const server = new WebSocketServer({ noServer: true, clientTracking: false })

/** Opens the container's stream first, so that a refusal is an HTTP error. */
export async function serveWebSocket(call: Call, open: () => Promise<Duplex>): Promise<void> {
  if (call.upgrade !== 'websocket') throw invalid('websocket: the client is not using the websocket protocol')
  const container = await open()
  const { socket, head } = call.takeSocket()
  await new Promise<void>(resolve => {
    server.handleUpgrade(call.req, socket, head, websocket => {
      const client = createWebSocketStream(websocket)
      // Docker sends text unless the client asked for binary frames; bytes that are no text need the latter.
      resolve(joinStreams(client, container))
    })
  })
}
