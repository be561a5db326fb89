/** Launches a container, starts it, says so and stays: the test kills it. argv: exec-root, id, plan as JSON. */
import { createLauncher } from '../launcher.ts'

const [root, id, plan] = process.argv.slice(2)
const task = await createLauncher({ root: root! }).launch({ id: id!, plan: JSON.parse(plan!) })
await task.start()
process.send!('started')
setInterval(() => {}, 1000)
