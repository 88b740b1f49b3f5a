import { readFileSync } from 'node:fs'
import { findPackageJSON } from 'node:module'
import { arch, cpus, loadavg, platform, release, totalmem } from 'node:os'

/** Where, when and with what something was measured. */
export interface Circumstances {
  readonly date: string
  readonly machine: {
    readonly cpu: string
    readonly cores: number
    readonly memory: string
    readonly system: string
    /** The load average of the minute before: about 0 on a machine that has nothing else to do. */
    readonly load: number
  }
  readonly versions: Readonly<Record<string, string>>
}

export function circumstances(packages: Iterable<string>): Circumstances {
  const versions = Object.fromEntries([...new Set(packages)].map(name => [name, versionOf(name)]))
  return {
    date: new Date().toISOString(),
    machine: {
      cpu: cpus()[0]?.model ?? 'unknown',
      cores: cpus().length,
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
      system: `${platform()} ${release()} ${arch()}`,
      load: Math.round((loadavg()[0] as number) * 10) / 10,
    },
    versions: { node: process.versions.node, ...versions },
  }
}

function versionOf(name: string): string {
  const path = findPackageJSON(name, import.meta.url)
  if (path === undefined) throw new Error(`${name} is not installed.`)
  return JSON.parse(readFileSync(path, 'utf8')).version
}
