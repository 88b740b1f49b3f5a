import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readlink, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, isAbsolute, join, relative } from 'node:path'
import { promisify } from 'node:util'
import { findProgram, subfolders } from './find-program.ts'
import type { Program, Report } from './service.ts'

const run = promisify(execFile)

/** The cache folder of the project. It is ignored by git and may be deleted at any time. */
const cacheFolder = join(import.meta.dirname, '../../../.cache/servers')

/**
 * Returns the cached folder of this name, filled once. A folder gets its name only when it is complete, so that
 * processes that fill it at the same time, or die while they do, leave nothing half done.
 */
async function cached(name: string, fill: (folder: string) => Promise<void>): Promise<string> {
  const folder = join(cacheFolder, name)
  if (existsSync(folder)) return folder
  await mkdir(cacheFolder, { recursive: true })
  const incomplete = await mkdtemp(join(cacheFolder, 'incomplete-'))
  try {
    await fill(incomplete)
    await rename(incomplete, folder).catch(error => {
      if (!existsSync(folder)) throw error
    })
  } finally {
    await rm(incomplete, { recursive: true, force: true })
  }
  return folder
}

/**
 * Debian packages, and those of their dependencies that this machine lacks, unpacked side by side. apt resolves and
 * downloads as it does for root, but with lists and cache in a folder of ours: nothing of the system changes.
 */
export async function fetchDebian(names: readonly string[], report: Report): Promise<string> {
  return cached(`debian-${names[0]}`, async folder => {
    report(`fetching the Debian packages ${names.join(', ')}`)
    const work = join(folder, 'work')
    await mkdir(join(work, 'lists/partial'), { recursive: true })
    await mkdir(join(work, 'cache/archives/partial'), { recursive: true })
    const config = join(work, 'apt.conf')
    await writeFile(
      config,
      `#clear APT::Update::Post-Invoke;
       #clear DPkg::Post-Invoke;
       Dir::State::Lists "${work}/lists";
       Dir::Cache "${work}/cache";
       Debug::NoLocking "1";
       APT::Sandbox::User "";`,
    )
    const apt = async (...args: string[]): Promise<void> => {
      await run('apt-get', ['-qq', ...args], { env: { ...process.env, APT_CONFIG: config } })
    }
    await apt('update')
    await apt('install', '--download-only', '--yes', '--no-install-recommends', '--reinstall', ...names)
    const archives = join(work, 'cache/archives')
    for (const file of await readdir(archives)) {
      if (file.endsWith('.deb')) await run('dpkg-deb', ['-x', join(archives, file), folder])
    }
    await rm(work, { recursive: true })
    await makeLinksRelative(folder)
  })
}

/** An npm package, unpacked and set up by its own script if it has one, then by `prepare`, without its dependencies. */
export async function fetchNpm(
  name: string,
  version: string,
  report: Report,
  prepare: (folder: string) => Promise<void> = async () => {},
): Promise<string> {
  return cached(`npm-${name.replace('/', '-')}-${version}`, async folder => {
    report(`fetching the npm package ${name}`)
    await run('npm', ['pack', '--silent', '--pack-destination', folder, `${name}@${version}`])
    const [archive] = await readdir(folder)
    await run('tar', ['-xzf', join(folder, `${archive}`), '--strip-components=1', '-C', folder])
    await rm(join(folder, `${archive}`))
    await run('npm', ['run', '--silent', '--if-present', 'postinstall'], { cwd: folder })
    await prepare(folder)
  })
}

/** A Python package, unpacked, without its dependencies. Where there is no pip, Debian's is fetched first. */
export async function fetchPip(name: string, version: string, report: Report): Promise<string> {
  return cached(`pip-${name}-${version}`, async folder => {
    const pip = findProgram('pip3')
    const python = pip === undefined ? await fetchPython(report) : { file: pip }
    report(`fetching the Python package ${name}`)
    const args = ['install', '--quiet', '--no-deps', '--target', folder, `${name}==${version}`]
    await run(python.file, [...(python.args ?? []), ...args], { env: { ...process.env, ...python.env } })
  })
}

async function fetchPython(report: Report): Promise<Program> {
  const root = await fetchDebian(['python3-pip'], report)
  const installed = findProgram('python3')
  const PYTHONPATH = join(root, 'usr/lib/python3/dist-packages')
  const args = ['-m', 'pip']
  if (installed !== undefined) return { file: installed, args, env: { PYTHONPATH } }
  const env = { PYTHONPATH, PYTHONHOME: join(root, 'usr'), LD_LIBRARY_PATH: libraryPath(root) }
  return { file: join(root, 'usr/bin/python3'), args, env }
}

/** Where the libraries of an unpacked Debian package are, as LD_LIBRARY_PATH wants it. */
export function libraryPath(root: string): string {
  return ['usr/lib', 'lib']
    .map(folder => join(root, folder))
    .flatMap(folder => subfolders(folder))
    .filter(folder => folder.endsWith('-linux-gnu'))
    .join(':')
}

/** Packages link to absolute paths such as /etc/java; in the unpacked tree these lie below its root. */
async function makeLinksRelative(root: string): Promise<void> {
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isSymbolicLink()) continue
    const link = join(entry.parentPath, entry.name)
    const target = await readlink(link)
    if (!isAbsolute(target) || !existsSync(join(root, target))) continue
    await rm(link)
    await symlink(relative(dirname(link), join(root, target)), link)
  }
}
