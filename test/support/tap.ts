/** `node tap.ts PORT UPSTREAM`: what {@link file://./registry.ts} calls a Tap. Takes orders on its standard input, one JSON object a line. */
import * as http from 'node:http'
import * as readline from 'node:readline'

interface Order {
  order: number
  hold?: number
  tooMany?: number
  cut?: boolean
}

const [port, upstream] = process.argv.slice(2).map(Number)
let latest: Order = { order: 0 }
let passed = 0
let tooMany = 0
const waiting: (() => void)[] = []
const say = (line: string) => process.stdout.write(`${line}\n`)

const server = http.createServer((request, response) => {
  const { method, url = '', headers } = request
  const told = {
    method,
    url,
    range: headers.range ?? headers['content-range'],
    status: 0,
    sent: 0,
    received: 0,
  }
  response.on('close', () => say(JSON.stringify(told)))
  request.on('error', () => {})
  response.on('error', () => {})
  const isBlob = url.includes('/blobs/')
  if (isBlob && method === 'GET' && tooMany > 0) {
    tooMany--
    told.status = 429
    request.resume()
    response.writeHead(429, { 'Retry-After': '1' }).end()
    return
  }
  const forward = http.request({ host: '127.0.0.1', port: upstream, method, path: url, headers })
  forward.on('error', () => response.destroy())
  response.on('close', () => forward.destroy())
  forward.on('response', answer => {
    told.status = answer.statusCode!
    response.writeHead(answer.statusCode!, answer.headers)
    void pass(answer, response, isBlob && method === 'GET', bytes => {
      told.sent += bytes
    })
  })
  void pass(request, forward, isBlob && method !== 'GET', bytes => {
    told.received += bytes
  })
})

/** Everything from one side to the other; of a blob only what may pass. */
async function pass(
  from: http.IncomingMessage,
  to: http.ServerResponse | http.ClientRequest,
  isBlob: boolean,
  count: (bytes: number) => void,
): Promise<void> {
  try {
    for await (const data of from) {
      let chunk = data as Buffer
      while (isBlob && latest.hold !== undefined && passed + chunk.length > latest.hold) {
        const part = chunk.subarray(0, latest.hold - passed)
        passed += part.length
        count(part.length)
        if (part.length > 0) to.write(part)
        chunk = chunk.subarray(part.length)
        say(`holding since order ${latest.order}.`)
        await new Promise<void>(resolve => waiting.push(resolve))
      }
      if (isBlob) passed += chunk.length
      count(chunk.length)
      if (!to.write(chunk) && !to.destroyed) {
        await new Promise<void>(resolve => to.once('drain', resolve).once('close', resolve))
      }
    }
    to.end()
  } catch {
    to.destroy()
  }
}

readline.createInterface({ input: process.stdin }).on('line', line => {
  const order = JSON.parse(line) as Order
  if (order.cut) server.closeAllConnections()
  else {
    latest = order
    tooMany = order.tooMany ?? 0
    passed = 0
  }
  for (const go of waiting.splice(0)) go()
  say(`order ${order.order} done`)
})
server.listen(port, '127.0.0.1', () => say('tapping'))
