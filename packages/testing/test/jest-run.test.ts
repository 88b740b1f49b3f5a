import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { connect } from 'node:net'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describeService } from '../src/index.ts'

jest.setTimeout(60_000) // servers and runs start here, maybe while the machine is busy

interface Run {
  readonly status: number | null
  /** Everything that was printed, with standard error first. */
  readonly output: string
  readonly lastLine: string | undefined
}

const jestProgram = require.resolve('jest/bin/jest', { paths: [join(__dirname, '../../..')] })
const config = join(__dirname, 'fixtures/run/jest.config.js')
const environment = { ...process.env, CI: '', CACHEKIT_REQUIRE: '', CACHEKIT_BROKER: '' }

/** Runs files of fixtures/run as `pnpm test` would. */
function run(files: string, variables: Record<string, string> = {}): Run {
  const { status, stdout, stderr } = spawnSync(process.execPath, [jestProgram, '--config', config, files], {
    env: { ...environment, ...variables },
    encoding: 'utf8',
    timeout: 60_000,
  })
  return { status, output: stderr + stdout, lastLine: stdout.split('\n').at(-2) }
}

const nowhere = { CACHEKIT_WAYS: 'docker', DOCKER_HOST: 'unix:///nowhere/docker.sock' }

describe('a test run', () => {
  test('ends with one plain line', () => {
    expect(run('plain')).toMatchObject({ status: 0, lastLine: '2 passed, 0 failed, 1 skipped' })
    expect(run('plain', { FAIL: 'yes' })).toMatchObject({ status: 1, lastLine: '1 passed, 1 failed, 1 skipped' })
  })

  test('counts a file that cannot be run as a failure', () => {
    expect(run('plain|broken')).toMatchObject({ status: 1, lastLine: '2 passed, 1 failed, 1 skipped' })
  })

  test('that is kept from ending fails', () => {
    const { status, lastLine, output } = run('left-running')
    expect([status, lastLine]).toEqual([1, '1 passed, 0 failed, 0 skipped'])
    expect(output).toContain('something that they left keeps the run from ending: ')
  })

  test('skips a service that is not to be had, and says so', () => {
    const { status, lastLine, output } = run('redis.ts', nowhere)
    expect([status, lastLine]).toEqual([0, '0 passed, 0 failed, 1 skipped'])
    expect(output).toContain('✗ redis      NOT PROVEN: redis cannot be had (no Docker daemon answers)')
  })

  test.each([{ CI: 'true' }, { CACHEKIT_REQUIRE: 'all' }, { CACHEKIT_REQUIRE: 'redis' }])(
    'fails where a required service is not to be had: %j',
    variables => {
      const { status, lastLine } = run('redis.ts', { ...nowhere, ...variables })
      expect([status, lastLine]).toEqual([1, '0 passed, 1 failed, 0 skipped'])
    },
  )

  test('fails where the server in the environment does not answer', () => {
    const { status, lastLine, output } = run('redis.ts', { CACHEKIT_REDIS_URL: 'redis://:secret@127.0.0.1:1' })
    expect([status, lastLine]).toEqual([1, '0 passed, 1 failed, 0 skipped'])
    expect(output).not.toContain('secret')
  })
})

describeService('redis', () => {
  test('a run shares one server between its files, and ends it', async () => {
    const { status, lastLine, output } = run('redis')
    expect([status, lastLine]).toEqual([0, '2 passed, 0 failed, 0 skipped'])
    expect(output).toMatch(/✓ redis {6}\d+\.\d+/)
    const urls = [...output.matchAll(/tested on (\S+)/g)].map(([, url]) => url)
    expect(urls).toHaveLength(2)
    expect(new Set(urls).size).toBe(1)
    expect(await isOpen(`${urls[0]}`)).toBe(false)
  })

  test('a run that is killed takes its servers with it', async () => {
    const child = spawn(process.execPath, [jestProgram, '--config', config, 'endless'], { env: environment })
    const [output] = await once(child.stdout, 'data')
    const url = String(output).replace('tested on ', '').trim()
    expect(await isOpen(url)).toBe(true)
    child.kill('SIGKILL')
    const deadline = Date.now() + 20_000
    while ((await isOpen(url)) && Date.now() < deadline) await sleep(50)
    expect(await isOpen(url)).toBe(false)
  })
})

/** Whether somebody listens there. */
async function isOpen(url: string): Promise<boolean> {
  const { hostname, port } = new URL(url)
  const socket = connect(Number(port), hostname)
  const open = await new Promise<boolean>(resolve => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  })
  socket.destroy()
  return open
}
