/** Certificates that nobody but their own key vouches for. */
import { execFileSync } from 'node:child_process'
import * as path from 'node:path'

/** `NAME.pem` in `folder`, for a server at `address` or a client, with its key in `NAME-key.pem`. @returns both paths */
export function selfSigned(
  folder: string,
  name: string,
  address = '127.0.0.1',
): { cert: string; key: string } {
  const cert = path.join(folder, `${name}.pem`)
  const key = path.join(folder, `${name}-key.pem`)
  const kind = ['-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2']
  const names = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=IP:${address}`]
  execFileSync('openssl', ['req', ...kind, ...names, '-keyout', key, '-out', cert], { stdio: 'pipe' })
  return { cert, key }
}
