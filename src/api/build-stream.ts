/**
 * The classic stream of a build: `Step 1/3 : FROM …`, ` ---> id`, `Running in …`. Vertices are solved side by side; here they are
 * told in the order of the Dockerfile, each one's output when its turn has come.
 */
import type { PlannedStep, ProgressEvent, VertexEvent } from '../build/index.ts'
import type { Progress } from '../engine/results.ts'
import { shortId } from '../image/digest.ts'
import type { Digest } from '../image/types.ts'

interface Seen {
  event?: VertexEvent
  /** What its command printed and nobody has been told yet. */
  output: Buffer[]
}

export class StepStream {
  readonly #send: Progress
  readonly #seen = new Map<Digest, Seen>()
  #steps: PlannedStep[] = []
  #next = 0
  /** The step at the front was announced. */
  #announced = false
  #running = false
  #lastId = ''

  constructor(send: Progress) {
    this.#send = send
  }

  plan(steps: PlannedStep[]): void {
    this.#steps = steps
    this.#advance()
  }

  progress(event: ProgressEvent): void {
    if (event.type === 'vertex') this.#of(event.digest).event = event
    else if (event.type === 'log') this.#of(event.vertex).output.push(event.data)
    else return
    this.#advance()
  }

  #of(digest: Digest): Seen {
    let seen = this.#seen.get(digest)
    if (!seen) this.#seen.set(digest, (seen = { output: [] }))
    return seen
  }

  #line(text: string): void {
    this.#send({ stream: text })
  }

  #advance(): void {
    while (this.#next < this.#steps.length) {
      const step = this.#steps[this.#next]!
      if (!this.#announced) {
        this.#line(`Step ${this.#next + 1}/${this.#steps.length} : ${step.text}\n`)
        this.#announced = true
      }
      if (step.vertex !== undefined && !this.#tell(step, this.#of(step.vertex))) return
      if (step.vertex === undefined && this.#lastId) this.#line(` ---> ${this.#lastId}\n`)
      this.#next++
      this.#announced = false
      this.#running = false
    }
  }

  /** Whether the step is over. */
  #tell(step: PlannedStep, { event, output }: Seen): boolean {
    const id = shortId(step.vertex!)
    const isRun = /^\s*run\b/i.test(step.text)
    if (isRun && !this.#running && event?.started !== undefined && !event.cached) {
      this.#running = true
      this.#line(` ---> Running in ${id}\n`)
    }
    for (const data of output.splice(0)) this.#line(data.toString('utf8'))
    if (event?.completed === undefined || event.error !== undefined) return false
    if (event.cached && !/^\s*from\b/i.test(step.text)) this.#line(' ---> Using cache\n')
    if (this.#running) this.#line(` ---> Removed intermediate container ${id}\n`)
    this.#line(` ---> ${id}\n`)
    this.#lastId = id
    return true
  }
}
