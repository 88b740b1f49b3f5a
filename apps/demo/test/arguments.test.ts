import { createServer } from 'node:net'
import { runDemo } from './run-demo.ts'

jest.setTimeout(60_000) // programs start here, maybe while the machine is busy

async function withPort(use: (port: number) => Promise<void>, keepOpen: boolean): Promise<void> {
  const server = createServer()
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const address = server.address()
  if (!keepOpen) server.close()
  await use(typeof address === 'object' && address ? address.port : 0)
  server.close()
}

test.each([
  [['--bakend', 'redis'], "Unknown option '--bakend'."],
  [['redis'], "Unexpected argument 'redis'."],
  [
    ['--backend', 'oracle'],
    '--backend takes memory or redis or postgres or memcached or mongodb or firestore or dynamodb, not "oracle".',
  ],
  [
    ['--backend', 'toString'],
    '--backend takes memory or redis or postgres or memcached or mongodb or firestore or dynamodb, not "toString".',
  ],
  [['--url', 'redis://127.0.0.1:6379'], '--url says where a server is, but memory is none'],
  [['--backend', 'redis', '--url', 'not a url with secret'], '--url takes a URL such as redis://127.0.0.1:6379.'],
  [['--requests', '0'], '--requests takes a whole number from 1 to 40000, not "0".'],
  [['--requests', '40001'], '--requests takes a whole number from 1 to 40000, not "40001".'],
  [['--requests', '1e3'], '--requests takes a whole number from 1 to 40000, not "1e3".'],
  [['--port', '65536'], '--port takes a whole number from 0 to 65535, not "65536".'],
])('%j is refused with status 2 and a reason', async (options, reason) => {
  const { status, stdout, stderr } = await runDemo(...options)
  expect(stderr).toContain(reason)
  expect(stderr).not.toMatch(/secret|^ +at /m)
  expect({ status, stdout }).toEqual({ status: 2, stdout: '' })
})

test('--help names every option', async () => {
  const { status, stdout } = await runDemo('--help')
  for (const option of ['backend', 'url', 'requests', 'port', 'exit', 'help']) expect(stdout).toContain(`--${option}`)
  expect(status).toBe(0)
})

test('a store that is not there is one clear message, without the password', async () => {
  await withPort(async port => {
    const { status, stdout, stderr } = await runDemo(
      '--exit',
      '--backend',
      'redis',
      '--url',
      `redis://me:secret@127.0.0.1:${port}`,
    )
    expect(stderr).toContain(`Cannot use redis at redis://127.0.0.1:${port}`)
    expect(stderr).toContain('docker compose up -d redis')
    expect(stderr).not.toMatch(/secret|^ +at /m)
    expect({ status, stdout }).toEqual({ status: 1, stdout: '' })
  }, false)
})

test('a port that is taken is one clear message', async () => {
  await withPort(async port => {
    const { status, stderr } = await runDemo('--requests', '1', '--port', `${port}`)
    expect(stderr).toContain(`Cannot listen on port ${port}`)
    expect(stderr).not.toMatch(/^ +at /m)
    expect(status).toBe(1)
  }, true)
})
