import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { publint } from 'publint'
import { formatMessage } from 'publint/utils'
import { run } from './command.ts'
import { type PublishedPackage, workspace } from './published-packages.ts'

/** What would be published of a package. */
export interface Tarball {
  readonly file: string
  /** Paths of its files. */
  readonly paths: readonly string[]
}

export async function pack(published: PublishedPackage, folder: string): Promise<Tarball> {
  const { stdout } = await run('pnpm', ['pack', '--json', '--pack-destination', folder], { cwd: published.folder })
  const { filename, files } = JSON.parse(stdout) as { filename: string; files: { path: string }[] }
  return { file: filename, paths: files.map(({ path }) => path) }
}

/** What a user needs is in the tarball, and nothing that is not for users. */
export async function checkContents({ paths }: Tarball): Promise<string> {
  for (const path of ['LICENSE', 'README.md', 'package.json', 'dist/esm/index.js', 'dist/cjs/index.js']) {
    assert.ok(paths.includes(path), `${path} is missing`)
  }
  const strangers = paths.filter(
    path => !/^((bin|dist|src)\/|LICENSE$|README\.md$|CHANGELOG\.md$|package\.json$)/.test(path),
  )
  assert.deepEqual(strangers, [], 'neither code nor what describes it')
  const tests = paths.filter(path =>
    /(^|\/)(__tests__|tests?|mutants?|fixtures?)\/|[.-](test|spec|mutant)\./.test(path),
  )
  assert.deepEqual(tests, [], 'test files')
  return `${paths.length} files`
}

/** A package is publishable: package.json leads every resolver to files that exist and are what they should be. */
export async function checkWithPublint(tarball: Tarball): Promise<string> {
  const bytes = await readFile(tarball.file)
  const { messages, pkg } = await publint({ strict: true, pack: { tarball: new Uint8Array(bytes).buffer } })
  assert.equal(messages.length, 0, messages.map(message => formatMessage(message, pkg)).join('\n'))
  return ''
}

/** TypeScript finds the types that belong to the code, for `import` and for `require`. */
export async function checkWithAttw(tarball: Tarball): Promise<string> {
  await run('attw', ['--profile', 'node16', '--no-emoji', '--no-color', tarball.file], { cwd: workspace })
  return ''
}
