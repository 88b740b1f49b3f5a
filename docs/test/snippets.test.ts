// Every TypeScript block of the READMEs and guides is compiled and run as it stands. What a block takes for granted is
// declared in a comment before it, which readers do not see: <!-- given: const user = { name: 'Ada' } -->
// What is to hold after it is asserted in a comment behind it, by `assert` of node:assert: <!-- then: assert.equal(a, 1) -->
import { execFileSync } from 'node:child_process'
import { globSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describeService, type Service, type ServiceName } from '@cachekit/testing'
import { transformSync } from '@swc/core'

const root = join(__dirname, '../..')
/** Below this folder, so that the snippets find the packages. */
const folder = join(__dirname, '../.snippets')
/** Milliseconds: one snippet runs the whole conformance kit. */
const TIMEOUT = 120_000
const BLOCK =
  /(?:<!-- given:((?:(?!-->)[\s\S])*)-->\s*)?^```ts\n([\s\S]*?)^```$(?:\s*<!-- then:((?:(?!-->)[\s\S])*)-->)?/gm

/** Node.js takes types off by itself, but knows no decorators. */
const COMPILER = {
  jsc: {
    target: 'es2022',
    parser: { syntax: 'typescript', decorators: true },
    transform: { decoratorVersion: '2022-03', verbatimModuleSyntax: true },
  },
} as const

/** By which variables the snippets find their store. */
const environments: Readonly<Record<string, (server: Service) => Record<string, string>>> = {
  redis: ({ url }) => ({ REDIS_URL: url }),
  postgres: ({ url }) => ({ POSTGRES_URL: url }),
  memcached: ({ host, port }) => ({ MEMCACHED_SERVER: `${host}:${port}` }),
  mongodb: ({ url }) => ({ MONGODB_URL: url }),
  firestore: ({ host, port }) => ({
    FIRESTORE_EMULATOR_HOST: `${host}:${port}`,
    GOOGLE_CLOUD_PROJECT: 'snippets',
    METADATA_SERVER_DETECTION: 'none',
  }),
  dynamodb: ({ url }) => ({
    DYNAMODB_URL: url,
    AWS_REGION: 'us-east-1',
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
  }),
}

const documents = globSync(['README.md', 'docs/*.md', 'packages/*/README.md'], {
  cwd: root,
  exclude: ['packages/testing/**'],
}).sort()
const snippets = documents.flatMap(document => {
  const text = readFileSync(join(root, document), 'utf8')
  return Array.from(text.matchAll(BLOCK), ([, given = '', code = '', then], index) => {
    const file = join(folder, `${document.replaceAll(/[/.]/g, '-')}-${index + 1}.mts`)
    // Imports come first wherever they stand; the snippet is a module also if it has none.
    const store = Object.keys(environments).find(name => code.includes(`@cachekit/${name}`)) ?? 'redis'
    const assertions = then === undefined ? '' : `import assert from 'node:assert/strict'\n${then}`
    return {
      title: `${document}, snippet ${index + 1}`,
      store,
      file,
      code: `${given}\n${code}\n${assertions}\nexport {}\n`,
    }
  })
})

beforeAll(() => {
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder)
  for (const { file, code } of snippets) {
    writeFileSync(file, code)
    writeFileSync(runnable(file), transformSync(code, COMPILER).code)
  }
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

for (const [store, environment] of Object.entries(environments)) {
  describeService(store as ServiceName, server => {
    const own = snippets.filter(snippet => snippet.store === store)
    test.each(own)('$title runs', ({ file }) => run('node', '--conditions=@cachekit/source', runnable(file)), TIMEOUT)

    beforeAll(() => Object.assign(process.env, environment(server)))
  })
}

const runnable = (file: string): string => file.replace('.mts', '.mjs')

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
