import { readdirSync } from 'node:fs'

const folders = ['packages', 'apps'].flatMap(parent => readdirSync(parent).map(name => `${parent}/${name}`))

/** Every package and app is a jest project: `pnpm test redis` runs the test files with "redis" in their path. */
export default {
  projects: folders.map(folder => ({
    displayName: folder.split('/')[1],
    rootDir: folder,
    testMatch: ['<rootDir>/test/**/*.test.ts'],
    transform: {
      '\\.ts$': ['@swc/jest', { jsc: { target: 'es2023', parser: { syntax: 'typescript' } }, sourceMaps: 'inline' }],
    },
    // Workspace packages are read from their sources, so that nothing has to be built first.
    testEnvironmentOptions: {
      customExportConditions: ['@cachekit/source', 'node', 'node-addons', 'require', 'default'],
    },
  })),
  globalSetup: './packages/testing/src/jest/global-setup.ts',
  globalTeardown: './packages/testing/src/jest/global-teardown.ts',
  reporters: ['default', './packages/testing/src/jest/reporter.ts'],
}
