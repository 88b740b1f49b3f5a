import { execFile } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describeBrowser } from '../src/index.ts'
import { resolveBrowser } from '../src/resolve-browser.ts'

jest.setTimeout(60_000)

describeBrowser(({ file, args = [], env, version }) => {
  test('runs', async () => {
    const options = { env: { ...process.env, ...env } }
    const { stdout } = await promisify(execFile)(file, [...args, '--version'], options)
    expect(stdout).toContain(version)
  })
})

describe('a browser', () => {
  const environment = process.env
  let folder: string

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'cachekit-browser-'))
    process.env = { ...environment, CACHEKIT_WAYS: 'local' }
    delete process.env.CACHEKIT_CHROMIUM
  })
  afterEach(() => {
    rmSync(folder, { recursive: true })
    process.env = environment
  })

  /** What some systems have in the place of the browser. */
  function putNoBrowserOnPath(): string {
    const file = join(folder, 'chromium')
    writeFileSync(file, '#!/bin/sh\necho Please install it first\n')
    chmodSync(file, 0o755)
    process.env.PATH = `${folder}:${environment.PATH}`
    return file
  }

  test('that only tells what to install is none, and named', async () => {
    const file = putNoBrowserOnPath()
    await expect(resolveBrowser(() => {})).rejects.toThrow(
      `chromium cannot be had (local: ${file} --version says no version)`,
    )
  })

  test('that the environment names is the one, and no other takes its place', async () => {
    process.env.CACHEKIT_CHROMIUM = join(folder, 'nothing')
    await expect(resolveBrowser(() => {})).rejects.toThrow('the program in CACHEKIT_CHROMIUM does not run')
  })
})
