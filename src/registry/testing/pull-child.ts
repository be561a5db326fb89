/** A process to be killed: `node pull-child.ts ROOT REFERENCE` pulls and says `begun` when bytes have come. */
import { ContentStore } from '../../image/content-store.ts'
import { ImageStore } from '../../image/image-store.ts'
import type { Snapshots } from '../../image/snapshots.ts'
import { Registries } from '../registries.ts'

const [root = '', reference = ''] = process.argv.slice(2)
const content = new ContentStore(root)
const snapshots = { readAhead: () => ({ drop() {} }) } as unknown as Snapshots
await new Registries(new ImageStore(content, snapshots)).pull(reference, {
  onProgress: ({ progressDetail }) => {
    if ((progressDetail?.current ?? 0) > 0) process.stdout.write('begun\n')
  },
})
