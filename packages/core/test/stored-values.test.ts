import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Random } from '../src/conformance/random.ts'
import { decodeRecord } from '../src/record.ts'
import { all, kinds, unread, write } from './stored/stored-values.ts'

const root = join(__dirname, '../../..')

/** Milliseconds for one run of a program. */
const TIMEOUT = 120_000

/** The versions that core is for: the first, the last, and the one of this workspace. */
const versions: Readonly<Record<string, string>> = {
  22: 'packages/testing/node_modules/node22/bin/node',
  24: 'node_modules/node/bin/node',
  26: 'packages/testing/node_modules/node26/bin/node',
}

function run(version: string, command: 'write' | 'read', input = ''): string {
  return execFileSync(
    join(root, versions[version] as string),
    ['--conditions=@cachekit/source', join(__dirname, 'stored/program.ts'), command],
    { input, encoding: 'utf8', timeout: TIMEOUT, maxBuffer: 1 << 28, stdio: ['pipe', 'pipe', 'inherit'] },
  )
}

test('every value is read as it was written', async () => {
  expect(await unread(all, await write(all))).toEqual([])
  expect(all.length).toBeGreaterThan(500)
})

test('what the first release wrote is read', async () => {
  const stored = JSON.parse(readFileSync(join(__dirname, 'stored/first-release.json'), 'utf8'))
  expect(await unread(kinds, stored)).toEqual([])
})

describe.each(Object.keys(versions))('what Node.js %s wrote', writer => {
  let stored: string

  beforeAll(() => {
    stored = run(writer, 'write')
  }, TIMEOUT)

  test('is of this version', () => {
    const program = join(root, versions[writer] as string)
    expect(execFileSync(program, ['--version'], { encoding: 'utf8' })).toMatch(`v${writer}.`)
  })

  test.each(Object.keys(versions))(
    'is read by Node.js %s',
    reader => {
      expect(JSON.parse(run(reader, 'read', stored))).toEqual([])
    },
    TIMEOUT,
  )
})

test(
  'a bit that flips is always noticed: any one of a small record, and any that was tried of a large one',
  async () => {
    const random = new Random(1)
    for (const [index, text] of (await write(all)).entries()) {
      const bytes = Buffer.from(text, 'base64')
      const record = decodeRecord(bytes)
      // An integer that is stored as it is has no checksum.
      if (record?.kind === 'integer') continue
      const bits = bytes.byteLength * 8
      const small = index < kinds.length && bytes.byteLength <= 512
      for (let n = 0; n < (small ? bits : 20); n++) {
        const bit = small ? n : random.below(bits)
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
        if (decodeRecord(bytes) !== undefined) throw new Error(`bit ${bit} of ${all[index]?.title}`)
        bytes[bit >> 3] = (bytes[bit >> 3] ?? 0) ^ (1 << (bit & 7))
      }
      expect(decodeRecord(bytes)).toEqual(record)
    }
  },
  TIMEOUT,
)
