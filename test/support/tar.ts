/** Tar archives that no honest program would write: names, links and sizes exactly as told. */

export interface Entry {
  name: string
  /** The type flag; a regular file unless told. */
  type?: string
  link?: string
  content?: string
  /** What the header claims; the content's size unless told. */
  size?: number
}

export function tarOf(entries: Entry[]): Buffer {
  const blocks = entries.flatMap(entry => {
    const content = Buffer.from(entry.content ?? '')
    const header = Buffer.alloc(512)
    const size = entry.size ?? content.length
    header.write(entry.name, 0, 100)
    header.write('0000644\0', 100)
    header.write('0000000\0', 108)
    header.write('0000000\0', 116)
    if (size < 8 ** 11) header.write(size.toString(8).padStart(11, '0') + '\0', 124)
    else {
      // GNU's base-256 form for sizes of 8 GiB and more.
      header.writeBigUInt64BE(BigInt(size), 128)
      header[124] = 0x80
    }
    header.write('14600000000\0', 136)
    header.write(' '.repeat(8), 148)
    header.write(entry.type ?? '0', 156)
    header.write(entry.link ?? '', 157, 100)
    header.write('ustar\x0000', 257)
    const sum = header.reduce((total, byte) => total + byte, 0)
    header.write(sum.toString(8).padStart(6, '0') + '\0 ', 148)
    return [header, content, Buffer.alloc((512 - (content.length % 512)) % 512)]
  })
  return Buffer.concat([...blocks, Buffer.alloc(1024)])
}
