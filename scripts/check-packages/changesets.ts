import assert from 'node:assert/strict'
import { existsSync } from 'node:fs'
import { cp, mkdir, readdir, readFile, symlink, writeFile } from 'node:fs/promises'
import { join, relative } from 'node:path'
import { run } from './command.ts'
import { type PublishedPackage, publishedPackages, readManifest, workspace } from './published-packages.ts'

/** The changelog tells what the package's version brings, or a changeset tells what the next one will. */
export async function checkChangeset({ name, folder, manifest }: PublishedPackage): Promise<string> {
  const changesets = await readdir(join(workspace, '.changeset'))
  for (const file of changesets.filter(file => file.endsWith('.md') && file !== 'README.md')) {
    const header = (await readFile(join(workspace, '.changeset', file), 'utf8')).split('---')[1] ?? ''
    const [, bump] = header.match(new RegExp(`^['"]${name}['"]: (\\w+)$`, 'm')) ?? []
    if (bump !== undefined) return `${bump}, in ${file}`
  }
  const changelog = join(folder, 'CHANGELOG.md')
  const released = existsSync(changelog) && (await readFile(changelog, 'utf8')).includes(`## ${manifest.version}\n`)
  assert.ok(released, `no changeset names ${name}, and no changelog its version ${manifest.version}`)
  return `${manifest.version}, in the changelog`
}

/** Releases what is pending, then a minor of core, in a copy of the workspace: the backends keep their versions. */
export async function checkMinorOfCore(folder: string): Promise<string> {
  const copy = await copyManifests(folder)
  const release = async (): Promise<Map<string, string>> => {
    await run('changeset', ['version'], { cwd: copy })
    return new Map(
      publishedPackages().map(({ name, folder }) => [
        name,
        readManifest(join(copy, relative(workspace, folder))).version,
      ]),
    )
  }
  const before = await release()
  await writeFile(join(copy, '.changeset/minor.md'), "---\n'@cachekit/core': minor\n---\n\nA minor of core.\n")
  const after = await release()

  const core = '@cachekit/core'
  const next = after.get(core)
  assert.notEqual(next, before.get(core))
  after.delete(core)
  before.delete(core)
  assert.deepEqual(after, before, `core became ${next}`)
  return `core becomes ${next}, the others stay`
}

async function copyManifests(folder: string): Promise<string> {
  const copy = join(folder, 'workspace')
  for (const parent of ['packages', 'apps']) {
    for (const entry of await readdir(join(workspace, parent))) {
      await mkdir(join(copy, parent, entry), { recursive: true })
      await cp(join(workspace, parent, entry, 'package.json'), join(copy, parent, entry, 'package.json'))
    }
  }
  for (const entry of ['package.json', 'pnpm-workspace.yaml', '.changeset']) {
    await cp(join(workspace, entry), join(copy, entry), { recursive: true })
  }
  await symlink(join(workspace, 'node_modules'), join(copy, 'node_modules'))
  await run('git', ['init', '--quiet'], { cwd: copy })
  return copy
}
