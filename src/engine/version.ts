/** What this engine calls itself. */
import packageJson from '../../package.json' with { type: 'json' }

export const VERSION: string = packageJson.version
export const GIT_COMMIT = ''
/** RFC 3339. */
export const BUILD_TIME = ''
