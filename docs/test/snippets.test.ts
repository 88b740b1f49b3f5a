// Every TypeScript block of the READMEs and guides is compiled and run as it stands. What a block takes for granted is
// declared in a comment before it, which readers do not see: <!-- given: const user = { name: 'Ada' } -->
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeService } from '@cachekit/testing'

const root = join(__dirname, '../..')
/** Below this folder, so that the snippets find the packages. */
const folder = join(__dirname, '../.snippets')
/** Milliseconds: one snippet runs the whole conformance kit. */
const TIMEOUT = 120_000
const BLOCK = /(?:<!-- given:((?:(?!-->)[\s\S])*)-->\s*)?^```ts\n([\s\S]*?)^```$/gm

const documents = globSync(['README.md', 'docs/*.md', 'packages/{core,memory,mongodb,redis}/README.md'], {
  cwd: root,
}).sort()
const snippets = documents.flatMap(document => {
  const text = readFileSync(join(root, document), 'utf8')
  return Array.from(text.matchAll(BLOCK), ([, given = '', code = ''], index) => {
    const file = join(folder, `${document.replaceAll(/[/.]/g, '-')}-${index + 1}.mts`)
    // Imports come first wherever they stand; the snippet is a module also if it has none.
    return { title: `${document}, snippet ${index + 1}`, file, code: `${given}\n${code}\nexport {}\n` }
  })
})

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const { file, code } of snippets) writeFileSync(file, code)
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

test(
  'all snippets compile',
  () => {
    const config = {
      extends: '../../tsconfig.json',
      include: ['*.mts'],
      exclude: [],
      compilerOptions: { isolatedDeclarations: false, allowJs: true },
    }
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(config))
    run('tsc', '-p', folder)
  },
  TIMEOUT,
)

describeService('redis', redis => {
  describeService('mongodb', mongodb => {
    test.each(snippets)('$title runs', ({ file }) => run('node', '--conditions=@cachekit/source', file), TIMEOUT)

    beforeAll(() => {
      process.env.REDIS_URL = redis.url
      process.env.MONGODB_URL = mongodb.url
    })
  })
})

/** Fails with what the command printed. */
function run(command: string, ...options: string[]): void {
  try {
    execFileSync(command, options, {
      cwd: folder,
      env: { ...process.env, PATH: `${root}/node_modules/.bin:${process.env.PATH}` },
      encoding: 'utf8',
      timeout: TIMEOUT,
    })
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string }
    throw new Error(`${stdout}${stderr}` || String(error))
  }
}
