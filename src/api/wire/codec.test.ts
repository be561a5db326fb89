import assert from 'node:assert/strict'
import { test } from 'node:test'
import { containerConfig } from './container-config.ts'
import { decodeCreateRequest } from './create-request.ts'
import { hostConfig } from './host-config.ts'

const refused = (body: unknown, message: string) =>
  assert.throws(() => decodeCreateRequest(body, 51), { kind: 'invalid', message })

test('a wrong type is refused in the words of Go', () => {
  refused(
    { Image: 1 },
    'invalid JSON: json: cannot unmarshal number into Go struct field .Image of type string',
  )
  refused({ Tty: 'x' }, 'invalid JSON: json: cannot unmarshal string into Go struct field .Tty of type bool')
  refused(
    { HostConfig: { Memory: 'x' } },
    'invalid JSON: json: cannot unmarshal string into Go struct field .HostConfig.Memory of type int64',
  )
  refused(
    { HostConfig: { Memory: 1.5 } },
    'invalid JSON: json: cannot unmarshal number 1.5 into Go struct field .HostConfig.Memory of type int64',
  )
  refused(
    { HostConfig: { PortBindings: { '80/tcp': [{ HostPort: 80 }] } } },
    'invalid JSON: json: cannot unmarshal number into Go struct field .HostConfig.PortBindings.80~1tcp.0.HostPort of type string',
  )
  refused([], 'invalid JSON: json: cannot unmarshal array into Go value of type container.CreateRequest')
  refused({ Cmd: {} }, 'invalid JSON: json: cannot unmarshal object into Go value of type string')
})

test('a body that says nothing is refused', () => {
  for (const body of [null, {}]) refused(body, 'config cannot be empty in order to create a container')
})

test('names match without regard to case, and unknown ones are ignored', () => {
  const { config, host } = decodeCreateRequest(
    { image: 'a', CMD: 'x', Bogus: 1, hostconfig: { memory: 5 } },
    51,
  )
  assert.deepEqual(config, { image: 'a', cmd: ['x'] })
  assert.deepEqual(host, { memory: 5 })
})

test('a zero says as little as nothing, but for what can be null', () => {
  const host = hostConfig.decode({ Memory: 0, Privileged: false, PidsLimit: 0, Init: false, Binds: [] }, '')
  assert.deepEqual(host, { pidsLimit: 0, init: false, binds: [] })
})

test('what came in goes out again', () => {
  const wire = {
    Hostname: 'h',
    ExposedPorts: { '80/tcp': {} },
    Env: ['A=b'],
    Cmd: [],
    Healthcheck: { Test: ['CMD', 'x'], Retries: 2 },
    StopTimeout: 0,
  }
  const encoded = containerConfig.encode(containerConfig.decode(wire, '')!)
  for (const [key, value] of Object.entries(wire)) assert.deepEqual(encoded[key], value, key)
  assert.equal(encoded['Entrypoint'], null)
  assert.equal(encoded['User'], '')
  assert.ok(!('Shell' in encoded))
})

test('an endpoint keeps its addresses beside the rest', () => {
  const { networks } = decodeCreateRequest(
    {
      Image: 'a',
      NetworkingConfig: {
        EndpointsConfig: {
          net: { IPAMConfig: { IPv4Address: '10.0.0.2' }, Aliases: ['x'], DriverOpts: null },
        },
      },
    },
    51,
  )
  assert.deepEqual(networks, { net: { aliases: ['x'], ipv4Address: '10.0.0.2' } })
})

test('clients of old versions get what they were promised', () => {
  assert.equal(decodeCreateRequest({ Image: 'a' }, 40).host.cgroupnsMode, 'host')
  const { networks } = decodeCreateRequest({ Image: 'a', MacAddress: '02:00:00:00:00:01' }, 43)
  assert.deepEqual(networks, { default: { macAddress: '02:00:00:00:00:01' } })
})
