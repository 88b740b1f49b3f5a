// `program.ts write` prints what this version of Node.js stores for each value, `program.ts read` what it could not read of
// that, which it gets as its input.
import { json } from 'node:stream/consumers'
import { all, unread, write } from './stored-values.ts'

const answer =
  process.argv[2] === 'write' ? await write(all) : await unread(all, (await json(process.stdin)) as string[])
process.stdout.write(JSON.stringify(answer))
