// Builds the package in the current folder with plain `tsc`, once as ES modules and once as CommonJS.
import { execFileSync } from 'node:child_process'
import { rmSync, writeFileSync } from 'node:fs'

const tsc = (...options: string[]): void => {
  execFileSync('tsc', ['-p', 'tsconfig.build.json', ...options], { stdio: 'inherit' })
}

rmSync('dist', { recursive: true, force: true })
tsc()
tsc('--outDir', 'dist/cjs', '--module', 'commonjs', '--moduleResolution', 'bundler')
// The package is `"type": "module"`; this file makes Node and TypeScript read the folder as CommonJS.
writeFileSync('dist/cjs/package.json', '{ "type": "commonjs" }\n')
