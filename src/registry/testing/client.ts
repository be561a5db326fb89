/** A client of the distribution protocol that does nothing on its own: each call is one request. */
import assert from 'node:assert/strict'
import { digestOf } from '../../image/digest.ts'
import { makeImage } from './kit.ts'

export const octets = { 'Content-Type': 'application/octet-stream' }

/** `fetch` with a base; headers of the answer by name. */
export function client(base: string) {
  const call = async (
    method: string,
    target: string,
    init: { body?: Uint8Array | string; headers?: Record<string, string> } = {},
  ) => {
    const response = await fetch(new URL(target, base), {
      method,
      redirect: 'manual',
      ...(init as RequestInit),
    })
    const body = Buffer.from(await response.arrayBuffer())
    return {
      status: response.status,
      header: (name: string) => response.headers.get(name),
      body,
      code: codeOf(body),
    }
  }
  const push = async (name: string, bytes: Uint8Array) => {
    const digest = digestOf(bytes)
    const answer = await call('POST', `/v2/${name}/blobs/uploads/?digest=${digest}`, {
      body: bytes,
      headers: octets,
    })
    assert.equal(answer.status, 201)
    return digest
  }
  return { call, push }
}

function codeOf(body: Buffer): string | undefined {
  try {
    return JSON.parse(body.toString()).errors?.[0]?.code
  } catch {
    return undefined
  }
}

/** An image made from a seed, under a tag or its digest. */
export async function pushImage(
  { call, push }: ReturnType<typeof client>,
  name: string,
  seed: number,
  reference: string,
) {
  const image = makeImage(seed, [3000])
  for (const bytes of image.blobs.values()) await push(name, bytes)
  const answer = await call('PUT', `/v2/${name}/manifests/${reference}`, {
    body: image.manifestBytes,
    headers: { 'Content-Type': image.mediaType },
  })
  assert.equal(answer.status, 201)
  return image
}
