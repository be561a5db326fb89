/** `docker search` against a server that speaks the old index protocol. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Registries } from './registries.ts'
import { fakeServer, imageStore } from './testing/kit.ts'

const one = { name: 'x/one', description: 'first', star_count: 5, is_official: true, is_automated: false }
const two = { name: 'x/two', description: '', star_count: 0, is_official: false, is_automated: true }

test('what is found, and which of it is shown', async t => {
  const { host, asked } = await fakeServer(t, (_, response) =>
    response.end(
      JSON.stringify({ num_results: 2, results: [one, two, { name: 'x/three', star_count: 50 }] }),
    ),
  )
  const registries = new Registries(imageStore(t))
  const names = async (filters: Record<string, string[]>, limit?: number) =>
    (await registries.search(`${host}/library/x`, { filters, ...(limit && { limit }) })).map(
      ({ name }) => name,
    )
  assert.deepEqual(await names({}), ['x/one', 'x/two', 'x/three'])
  assert.equal(asked.at(-1)!.url, '/v1/search?q=x&n=25')
  assert.deepEqual(await names({ stars: ['5'] }, 3), ['x/one', 'x/three'])
  assert.equal(asked.at(-1)!.url, '/v1/search?q=x&n=3')
  assert.deepEqual(await names({ 'is-official': ['false'], stars: ['1'] }), ['x/three'])
  // Docker has it of nothing any more.
  assert.deepEqual(await names({ 'is-automated': ['true'] }), [])
  const [, second] = await registries.search(`${host}/x`, { auth: { username: 'ann', password: 'secret' } })
  assert.deepEqual(second, { ...two, is_automated: false })
  assert.match(asked.at(-1)!.headers.authorization!, /^Basic /)
})

test("what cannot be asked, in Docker's words", async t => {
  const { host } = await fakeServer(t, (_, response) => response.writeHead(404).end())
  const registries = new Registries(imageStore(t))
  const cases: [term: string, options: object, message: string][] = [
    ['a://b', {}, 'invalid repository name: repository name (a://b) should not have a scheme'],
    [`${host}/x`, { limit: 101 }, 'limit 101 is outside the range of [1, 100]'],
    [`${host}/x`, { filters: { color: ['red'] } }, "invalid filter 'color'"],
    [
      `${host}/x`,
      { filters: { stars: ['many'] } },
      `invalid filter 'stars=many': strconv.Atoi: parsing "many": invalid syntax`,
    ],
    [`${host}/x`, { filters: { 'is-official': ['maybe'] } }, "invalid filter 'is-official=[maybe]'"],
    [`${host}/x`, {}, 'Unexpected status code 404'],
  ]
  for (const [term, options, message] of cases)
    await assert.rejects(registries.search(term, options), { message })
})
