import { cp, mkdtemp, writeFile } from 'node:fs/promises'
import { delimiter, dirname, join } from 'node:path'
import { type Output, run } from './command.ts'
import { workspace } from './published-packages.ts'

/** Where the packages are tried, and what commands find there. */
export interface Surroundings {
  /** A folder outside the workspace. */
  readonly folder: string
  /** Where npm gets `@cachekit/*` from. */
  readonly registry: string
  /** Added to the user's environment. */
  readonly env: Readonly<Record<string, string>>
}

/** A folder in which somebody uses the packages. */
export interface Consumer {
  readonly folder: string
  /** Runs a command in the folder. */
  run(file: string, ...args: readonly string[]): Promise<Output>
}

/** Installs packages, named as for `npm install`, in a new folder. */
export async function install(surroundings: Surroundings, ...packages: readonly string[]): Promise<Consumer> {
  const folder = await mkdtemp(join(surroundings.folder, 'consumer-'))
  await writeFile(join(folder, 'package.json'), '{ "private": true }\n')
  await writeFile(join(folder, '.npmrc'), `@cachekit:registry=${surroundings.registry}\n`)
  const consumer = consumerIn(surroundings, folder)
  await consumer.run('npm', 'install', '--no-audit', '--no-fund', ...packages)
  return consumer
}

/** Copies a folder of `consumers` to the files of the consumer. */
export async function addFiles(consumer: Consumer, name: string): Promise<void> {
  await cp(join(import.meta.dirname, 'consumers', name), consumer.folder, { recursive: true })
}

/** A project with the files of a folder of `consumers`, inside the consumer's folder: it finds what is installed there. */
export async function addProject(surroundings: Surroundings, outer: Consumer, name: string): Promise<Consumer> {
  const inner = consumerIn(surroundings, join(outer.folder, name))
  await addFiles(inner, name)
  await writeFile(join(inner.folder, 'package.json'), '{ "private": true }\n') // the root of a project to test runners
  return inner
}

function consumerIn({ env }: Surroundings, folder: string): Consumer {
  return { folder, run: (file, ...args) => run(file, args, { cwd: folder, env: { ...outsideEnvironment(), ...env } }) }
}

/**
 * The environment of somebody who is not in this workspace: this Node.js, but none of the workspace's programs, and npm
 * does not learn which script runs it. What the user has configured (registry, proxy, certificates) stays.
 */
export function outsideEnvironment(): NodeJS.ProcessEnv {
  const ofThisScript =
    /^(npm_(package|lifecycle|command|node_|exec)|npm_config_(local_prefix|user_agent)|pnpm_|INIT_CWD$)/i
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !ofThisScript.test(name)))
  const path = (env.PATH ?? '').split(delimiter).filter(folder => !folder.startsWith(workspace))
  return { ...env, PATH: [dirname(process.execPath), ...path].join(delimiter), NO_COLOR: '1' }
}
