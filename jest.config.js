import { readdirSync } from 'node:fs'
import { join } from 'node:path'

const root = import.meta.dirname

/** How the tests of one package or app are run. */
export function jestProject(folder) {
  return {
    rootDir: folder,
    displayName: folder.split('/').at(-1),
    testMatch: ['<rootDir>/test/**/*.test.ts'],
    transform: {
      '\\.ts$': ['@swc/jest', { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, sourceMaps: 'inline' }],
    },
    // Packages of the workspace are read from their sources, so that nothing has to be built first.
    testEnvironmentOptions: {
      customExportConditions: ['@cachekit/source', 'node', 'node-addons', 'require', 'default'],
    },
  }
}

/** The servers of a run: see packages/testing/README.md. */
export const services = {
  globalSetup: join(root, 'packages/testing/src/jest/global-setup.ts'),
  globalTeardown: join(root, 'packages/testing/src/jest/global-teardown.ts'),
  reporters: ['default', join(root, 'packages/testing/src/jest/reporter.ts')],
}

const folders = ['packages', 'apps'].flatMap(parent =>
  readdirSync(join(root, parent)).map(name => join(root, parent, name)),
)

export default { ...services, projects: [...folders, join(root, 'docs')].map(jestProject) }
