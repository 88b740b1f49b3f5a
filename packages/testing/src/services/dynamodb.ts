import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, join } from 'node:path'
import { fetchNpm } from '../fetch-program.ts'
import type { Program, ServiceDefinition } from '../service.ts'
import { fetchJava, findJava } from './java.ts'

const jarName = 'DynamoDBLocal.jar'
const quiet = ['-disableTelemetry']

export const dynamodb: ServiceDefinition = {
  name: 'dynamodb',
  defaultPort: 8000,
  url: (host, port) => `http://${host}:${port}`,

  find() {
    const java = findJava()
    const folders = [join(homedir(), 'dynamodb-local'), '/opt/dynamodb-local', '/usr/local/share/dynamodb-local']
    const jar = folders.map(folder => join(folder, jarName)).find(existsSync)
    return java === undefined || jar === undefined ? undefined : withJar(java, jar)
  },
  async fetch(report) {
    const java = await fetchJava(report)
    const folder = await fetchNpm('amplify-dynamodb-simulator', '2.9.30', report)
    return withJar(java, join(folder, 'emulator', jarName))
  },
  syncsOften: true,
  programArgs: (port, folder) => ['-port', `${port}`, '-sharedDb', '-dbPath', folder, ...quiet],
  containerCommand: port => ['-jar', jarName, '-port', `${port}`, '-sharedDb', '-dbPath', '.', ...quiet],

  async version(url) {
    // It wants signed requests; its refusal of this one says as well that it answers.
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) })
    await response.arrayBuffer()
    return undefined
  },
  /** Its first table takes it seconds on a busy machine: Java loads its classes, SQLite among them. */
  async initialize(url) {
    const TableName = 'warm-up'
    const AttributeName = 'key'
    const Item = { key: { S: 'k' } }
    await request(url, 'CreateTable', {
      TableName,
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [{ AttributeName, AttributeType: 'S' }],
      KeySchema: [{ AttributeName, KeyType: 'HASH' }],
    })
    await request(url, 'PutItem', { TableName, Item })
    await request(url, 'GetItem', { TableName, Key: Item })
    await request(url, 'DeleteTable', { TableName })
  },
}

/** It wants a signature, and does not look at it. */
async function request(url: string, action: string, body: object): Promise<void> {
  const response = await fetch(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/x-amz-json-1.0',
      'x-amz-target': `DynamoDB_20120810.${action}`,
      authorization:
        'AWS4-HMAC-SHA256 Credential=local/20200101/us-east-1/dynamodb/aws4_request, SignedHeaders=host, Signature=0',
    },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`${action}: ${await response.text()}`)
}

function withJar(java: Program, jar: string): Program {
  const args = [`-Djava.library.path=${join(dirname(jar), 'DynamoDBLocal_lib')}`, '-Xmx1g', '-jar', jar]
  const env = { ...process.env, ...java.env }
  const version = execFileSync(java.file, [...args, '-version'], { encoding: 'utf8', env }).trim()
  return { ...java, args, version }
}
